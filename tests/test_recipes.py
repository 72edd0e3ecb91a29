"""Rows of the table of recipes, and recipes as runs store them."""

import dataclasses
import json

import pytest

from training.recipes import RECIPES, Recipe, average_momentum


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
    assert Recipe.from_dict(json.loads(json.dumps(dataclasses.asdict(recipe)))) == recipe


def test_absent_names_have_their_defaults():
    stored = {"name": "mine", "input_size": 64, "epochs": 1, "batch_size": 2, "learning_rate": 0.1}
    assert Recipe.from_dict(stored) == Recipe("mine", 64, epochs=1, batch_size=2, learning_rate=0.1)


@pytest.mark.parametrize("where", [(), ("augmentation",)])
def test_unknown_names_are_errors(where):
    stored = json.loads(json.dumps(dataclasses.asdict(RECIPES["faces"])))
    content = stored[where[0]] if where else stored
    content["fused"] = 3
    with pytest.raises(ValueError, match="Received fused"):
        Recipe.from_dict(stored)


def test_averages_are_as_long_as_their_fraction_of_the_run():
    assert average_momentum(0.05, 10_000) == pytest.approx(0.998)  # 500 steps
    assert average_momentum(0.01, 10_000) == pytest.approx(0.99)
    assert average_momentum(0.01, 100) == pytest.approx(0.9)  # ten steps at least
