"""Rows of the table of recipes, and the words of those that older runs stored."""

import dataclasses
import json

import pytest

from training.recipes import RECIPES, Recipe
from training.run_record import different_settings, in_todays_words, read_record


@pytest.mark.parametrize(
    "words, message",
    [
        ({"decay": "cosin"}, "unknown decay. Received 'cosin'; known: cosine, constant, inverse"),
        ({"warm_up": 0.1}, "warm_up belongs to the decay 'cosine'. Received it with 'constant'"),
        ({"decay": "cosine", "inverse": 1e-6}, "inverse belongs to the decay 'inverse'. Received it with 'cosine'"),
        ({"decay": "inverse"}, "the decay 'inverse' needs a number"),
        ({"final_fraction": 1.5}, "final_fraction must be between 0 and 1. Received 1.5"),
    ],
)
def test_a_rate_that_would_not_be_as_the_row_says_is_refused(words, message):
    with pytest.raises(ValueError, match=message):
        Recipe("mine", 64, epochs=1, batch_size=2, learning_rate=1e-3, **words)


def test_a_stored_recipe_is_read_back():
    recipe = dataclasses.replace(RECIPES["faces_from_weights"], final_fraction=0.2)
    assert Recipe.of_words(json.loads(json.dumps(dataclasses.asdict(recipe)))) == recipe


def test_a_factor_of_the_features_has_another_name_than_the_kind_of_head(tmp_path):
    """`head` was the name of both; a run that says so is the same run."""
    recipe = dataclasses.asdict(RECIPES["faces"])
    now = {"method": "l1", "recipe": recipe}
    older = {"method": "l1", "recipe": {("head" if name == "head_scale" else name): recipe[name] for name in recipe}}
    (tmp_path / "settings.json").write_text(json.dumps({"settings": older}))
    stored = read_record(tmp_path / "settings.json")["settings"]
    assert stored["recipe"]["head_scale"] == 0.05 and "head" not in stored["recipe"]
    assert different_settings(stored, now) == [] and different_settings(older, now) == ["recipe"]
    assert in_todays_words(stored) == stored and in_todays_words({"method": "l1"}) == {"method": "l1"}
