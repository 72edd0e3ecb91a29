"""metrics.py against hand-computed numbers, and its command line against good and bad files."""

import json

import numpy as np
import pytest

import config
import metrics
from face_datasets.catalogue import get_dataset
from face_datasets.normalisers import normaliser_distance

W300 = get_dataset("300W")
COFW = get_dataset("COFW")


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def faces_68(rng, count):
    """Truth (count, 68, 2) whose inter-ocular distance is exactly 50 pixels."""
    truth = rng.uniform(0, 200, (count, 68, 2))
    truth[:, 36:48] = 0.0
    truth[:, 36], truth[:, 45] = (100, 80), (130, 120)  # 3-4-5 triangle: 50 apart
    truth[:, 37:42], truth[:, [42, 43, 44, 46, 47]] = (94, 80), (143, 72)
    return truth


# --------------------------------------------------------------------------------------------------------------------
# Errors of faces
# --------------------------------------------------------------------------------------------------------------------


def test_normaliser_distance_by_hand(rng):
    truth = faces_68(rng, 3)
    np.testing.assert_allclose(normaliser_distance(truth, W300.layout, "inter-ocular"), 50.0)
    pupils = (143 * 5 + 130) / 6 - 95, (72 * 5 + 120) / 6 - 80  # means of six landmarks, x and y apart
    np.testing.assert_allclose(normaliser_distance(truth, W300.layout, "inter-pupil"), np.hypot(*pupils))


@pytest.mark.parametrize(
    "dataset, name, points",
    [
        ("300W", "inter-ocular", (36, 45)),
        ("COFW", "inter-ocular", (8, 9)),
        ("COFW", "inter-pupil", (16, 17)),
        ("WFLW", "inter-ocular", (60, 72)),
        ("WFLW", "inter-pupil", (96, 97)),
    ],
)
def test_normalisers_are_the_published_points(rng, dataset, name, points):
    layout = get_dataset(dataset).layout
    truth = rng.uniform(0, 200, (4, layout.points, 2))
    expected = np.hypot(*(truth[:, points[0]] - truth[:, points[1]]).T)
    np.testing.assert_allclose(normaliser_distance(truth, layout, name), expected)


def test_zero_distance_names_the_face(rng):
    truth = faces_68(rng, 2)
    truth[1, 36] = truth[1, 45]
    with pytest.raises(ValueError, match="ibug/b.jpg.*zero"):
        normaliser_distance(truth, W300.layout, "inter-ocular", ["a.jpg", "ibug/b.jpg"])
    with pytest.raises(ValueError, match="number 1"):
        normaliser_distance(truth, W300.layout, "inter-ocular")


def test_box_normalisers_by_hand(rng):
    truth = rng.uniform(10, 20, (2, 68, 2))
    truth[:, 0], truth[:, 1] = (0, 5), (40, 95)  # the box around the landmarks: 40 x 90, a square of side 60
    boxes = np.array([[0, 0, 100, 100], [10, 20, 59, 120]], float)  # sides 100 and sqrt(49 * 100)
    np.testing.assert_allclose(normaliser_distance(truth, W300.layout, "landmark-box"), [60.0, 60.0])
    np.testing.assert_allclose(normaliser_distance(truth, W300.layout, "box", boxes=boxes), [100.0, 70.0])
    with pytest.raises(ValueError, match="'box' needs a box of every face.*landmark-box"):
        normaliser_distance(truth, W300.layout, "box")
    boxes[1, 2] = 10  # without width
    with pytest.raises(ValueError, match="box distance of face 'b.jpg' is zero"):
        normaliser_distance(truth, W300.layout, "box", ["a.jpg", "b.jpg"], boxes)
    for wrong in (np.nan, np.inf):
        boxes[1, 2] = wrong
        with pytest.raises(ValueError, match=f"box distance of face 'b.jpg' is {wrong}"):
            normaliser_distance(truth, W300.layout, "box", ["a.jpg", "b.jpg"], boxes)


def test_unknown_normaliser(rng):
    with pytest.raises(ValueError, match="inter-galactic.*inter-ocular"):
        normaliser_distance(faces_68(rng, 1), W300.layout, "inter-galactic")


def test_nme_by_hand(rng):
    truth = faces_68(rng, 2)
    predicted = truth.copy()
    predicted[0] += (3.0, 4.0)  # every landmark 5 px off, 5 / 50 = 10 %
    predicted[1, :17] += (0.0, 2.0)  # the jaw, 17 of 68 landmarks, 2 px off: 4 %, over the face 1 %
    distance = np.full(2, 50.0)
    np.testing.assert_allclose(metrics.nme(predicted, truth, distance), [10.0, 1.0])
    np.testing.assert_allclose(metrics.landmark_nme(predicted, truth, distance), [7.0] * 17 + [5.0] * 51)
    parts = metrics.part_nme(predicted, truth, distance, W300.layout)
    assert parts == pytest.approx({"jaw": 7.0, "brows": 5.0, "nose": 5.0, "eyes": 5.0, "mouth": 5.0})


def test_nme_does_not_depend_on_the_order_of_landmarks_or_the_size_of_the_image(rng):
    truth = faces_68(rng, 5)
    predicted, distance = truth + rng.normal(0, 3, truth.shape), rng.uniform(30, 60, 5)
    expected = metrics.nme(predicted, truth, distance)
    order = rng.permutation(68)
    np.testing.assert_allclose(metrics.nme(predicted[:, order], truth[:, order], distance), expected)
    np.testing.assert_allclose(metrics.nme(3 * predicted + 7, 3 * truth + 7, 3 * distance), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nme_refuses_numbers_that_are_not_finite(rng, bad):
    truth = faces_68(rng, 2)
    predicted = truth.copy()
    predicted[1, 3, 0] = bad
    with pytest.raises(ValueError, match="finite"):
        metrics.nme(predicted, truth, np.ones(2))


def test_nme_refuses_arrays_that_do_not_fit(rng):
    truth = faces_68(rng, 2)
    with pytest.raises(ValueError, match=r"\(2, 67, 2\)"):
        metrics.nme(truth[:, :67], truth, np.ones(2))
    with pytest.raises(ValueError, match="n > 0"):
        metrics.nme(truth[:0], truth[:0], np.ones(0))


# --------------------------------------------------------------------------------------------------------------------
# Errors of many faces, in one number
# --------------------------------------------------------------------------------------------------------------------


def test_failure_rate_counts_faces_above_the_threshold():
    nmes = np.array([1.0, 8.0, 8.1, 20.0])
    assert metrics.failure_rate(nmes, 8.0) == 0.5  # a face at the threshold has not failed
    assert metrics.failure_rate(nmes, 10.0) == 0.25


def test_ced_by_hand():
    errors, fractions = metrics.ced(np.array([4.0, 2.0, 4.0, 12.0]))
    np.testing.assert_array_equal(errors, [0.0, 2.0, 4.0, 12.0])
    np.testing.assert_array_equal(fractions, [0.0, 0.25, 0.75, 1.0])


def test_auc_by_hand():
    assert metrics.auc(np.array([0.0]), 8.0) == 1.0
    assert metrics.auc(np.array([8.0, 30.0]), 8.0) == 0.0
    assert metrics.auc(np.array([4.0, 2.0, 12.0, 10.0]), 10.0) == pytest.approx((0.6 + 0.8) / 4)


def test_auc_is_the_area_under_the_step_function(rng):
    nmes = rng.gamma(3, 2, 200)
    errors, fractions = metrics.ced(nmes)
    for threshold in config.FAILURE_THRESHOLDS:
        grid = (np.arange(400_000) + 0.5) * threshold / 400_000  # midpoints
        area = fractions[np.searchsorted(errors, grid, side="right") - 1].mean()
        assert metrics.auc(nmes, threshold) == pytest.approx(area, abs=1e-5)


def test_summaries_do_not_depend_on_the_order_of_faces(rng):
    nmes = rng.gamma(3, 2, 50)
    mixed = rng.permutation(nmes)
    assert metrics.auc(mixed, 8.0) == pytest.approx(metrics.auc(nmes, 8.0))
    assert metrics.failure_rate(mixed, 8.0) == metrics.failure_rate(nmes, 8.0)
    np.testing.assert_array_equal(metrics.ced(mixed)[0], metrics.ced(nmes)[0])


@pytest.mark.parametrize("error, value", [(0.0, 0.95), (4.06, 0.821), (3.34, 0.855), (10.1, 0.0)])
def test_author_auc_of_faces_that_all_have_the_same_error(error, value):
    assert metrics.author_auc(np.full(7, error)) == pytest.approx(value, abs=5e-4)


def test_author_auc_is_not_auc():
    nmes = np.full(3, 4.06)
    assert metrics.auc(nmes, 10.0) == pytest.approx(0.594)
    assert metrics.author_auc(nmes) > 0.8


# --------------------------------------------------------------------------------------------------------------------
# Evaluation
# --------------------------------------------------------------------------------------------------------------------


def test_official_counts():
    assert W300.subsets.get("test", {}) == {"full": 689, "common": 554, "challenging": 135}
    assert W300.subsets.get("private", {}) == {"full": 600, "private": 600, "indoor": 300, "outdoor": 300}
    assert W300.subsets.get("validation", {}) == {}
    assert COFW.subsets.get("test", {}) == {"full": 507}
    assert COFW.subsets.get("private", {}) == {}
    assert get_dataset("WFLW").subsets.get("test", {})["make-up"] == 206


def evaluate_shifted(rng, shifts, subsets, **options):
    """Evaluation of 300W faces whose landmarks all lie shifts[i] pixels to the right of the truth."""
    truth = faces_68(rng, len(shifts))
    predicted = truth + np.array(shifts)[:, None, None] * (1.0, 0.0)
    return metrics.evaluate(predicted, truth, W300, subsets, **options)


def test_evaluate_gives_the_agreed_form(rng):
    subsets = [("full", "common"), ("full", "common"), ("full", "challenging")]
    evaluation = evaluate_shifted(rng, [1, 2, 6], subsets, official=W300.subsets.get("test", {}))
    assert (evaluation["dataset"], evaluation["normaliser"]) == ("300W", "inter-ocular")
    assert list(evaluation["subsets"]) == ["full", "common", "challenging"]
    assert evaluation["subsets"]["full"] == pytest.approx(
        {"n": 3, "n_official": 689, "nme": 6.0, "fr@8": 1 / 3, "fr@10": 1 / 3, "auc@8": (0.75 + 0.5) / 3}
        | {"auc@10": (0.8 + 0.6) / 3, "median": 4.0}
    )
    assert evaluation["subsets"]["common"]["nme"] == pytest.approx(3.0)
    assert evaluation["subsets"]["challenging"]["n_official"] == 135
    assert evaluation["normalisers"]["inter-ocular"]["subsets"] == evaluation["subsets"]
    assert evaluation["normalisers"]["inter-pupil"]["subsets"]["full"]["nme"] > 6.0
    assert evaluation["parts"] == pytest.approx(dict.fromkeys(W300.layout.parts, 6.0))
    assert evaluation["landmarks"] == pytest.approx([6.0] * 68)
    assert set(evaluation["author_auc@10"]) == {"full", "common", "challenging"}
    json.dumps(evaluation, allow_nan=False)


def test_the_published_numbers_of_300w_fit_together(rng):
    """Common 3.36 and challenging 5.36 give full 3.752: full is every face, not a mean of subsets."""
    subsets = [("common",)] * 554 + [("challenging",)] * 135
    evaluation = evaluate_shifted(rng, [1.68] * 554 + [2.68] * 135, subsets)
    assert evaluation["subsets"]["full"]["nme"] == pytest.approx(3.752, abs=5e-4)


def test_evaluate_does_not_depend_on_the_order_of_faces(rng):
    truth = faces_68(rng, 6)
    predicted = truth + rng.normal(0, 2, truth.shape)
    subsets = [("common",), ("challenging",)] * 3
    order = rng.permutation(6)
    mixed = metrics.evaluate(predicted[order], truth[order], W300, [subsets[i] for i in order])
    straight = metrics.evaluate(predicted, truth, W300, subsets)
    for subset, row in straight["subsets"].items():
        assert mixed["subsets"][subset] == pytest.approx(row)
    np.testing.assert_allclose(mixed["landmarks"], straight["landmarks"])


def test_evaluate_refuses_landmarks_of_another_data_set(rng):
    truth = faces_68(rng, 2)
    with pytest.raises(ValueError, match=r"COFW.*29.*\(2, 68, 2\)"):
        metrics.evaluate(truth, truth, COFW, [(), ()])


def test_table_labels_every_number(rng):
    official = W300.subsets.get("test", {})
    text = metrics.table(evaluate_shifted(rng, [1, 3], [("common",)] * 2, official=official), official)
    lines = [line.split() for line in text.splitlines()]
    assert text.startswith("300W: 2 of 689 official faces")
    assert ["inter-ocular", "common", "2", "554", "4.00", "4.00", "0.0000", "0.0000", "0.5000", "0.6000"] in lines
    assert ["inter-ocular", "challenging", "0", "135", *"------"] in lines
    unknown = metrics.table(evaluate_shifted(rng, [1, 3], [()] * 2))
    assert "2 of - official faces" in unknown


# --------------------------------------------------------------------------------------------------------------------
# Files and the command line
# --------------------------------------------------------------------------------------------------------------------


def cofw_entries(count=3, shift=0.0):
    """Entries of COFW faces with landmarks 8 and 9 20 px apart, shifted to the right by `shift` pixels."""
    landmarks = np.random.default_rng(0).uniform(0, 100, (29, 2))
    landmarks[8], landmarks[9] = (10, 50), (30, 50)
    return [{"image": f"test/{i}.jpg", "landmarks": (landmarks + (shift, 0)).tolist()} for i in range(count)]


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


@pytest.fixture
def score(tmp_path, capsys):
    """Run the command line on two files' contents; return exit code, printed text, errors and the folder."""

    def run(predictions, truth, *options, dataset="COFW"):
        paths = write(tmp_path / "predictions.json", predictions), write(tmp_path / "truth.json", truth)
        code = metrics.main([*paths, "--dataset", dataset, *options])
        out, err = capsys.readouterr()
        return code, out, err, tmp_path

    return run


def test_command_line_end_to_end(score, tmp_path):
    out_file = tmp_path / "new" / "metrics.json"
    code, out, err, _ = score(cofw_entries(shift=1.0)[::-1], cofw_entries(), "--out", str(out_file))
    assert (code, err) == (0, "")
    evaluation = json.loads(out_file.read_text())
    assert evaluation["subsets"]["full"]["nme"] == pytest.approx(5.0)  # 1 px of 20
    assert (evaluation["subsets"]["full"]["n"], evaluation["subsets"]["full"]["n_official"]) == (3, 507)
    assert "inter-ocular  full    3       507   5.00" in out
    assert [path.name for path in out_file.parent.iterdir()] == ["metrics.json"]


def test_command_line_with_another_normaliser(score, tmp_path):
    truth = cofw_entries()
    left, right = (np.array(truth[0]["landmarks"][point]) for point in (16, 17))
    expected = 100 / np.hypot(*(left - right))
    code, out, _, folder = score(
        cofw_entries(shift=1.0), truth, "--normaliser", "inter-pupil", "--out", str(tmp_path / "m.json")
    )
    evaluation = json.loads((folder / "m.json").read_text())
    assert code == 0 and evaluation["normaliser"] == "inter-pupil"
    assert evaluation["subsets"]["full"]["nme"] == pytest.approx(expected)
    assert out.splitlines()[2].startswith("inter-pupil")


def test_boxes_of_a_truth_file(score, tmp_path):
    truth = [{**entry, "box": [10, 10, 30, 60]} for entry in cofw_entries()]  # 20 x 50, a square of side sqrt(1000)
    predictions, out = cofw_entries(shift=1.0), str(tmp_path / "m.json")
    assert score(predictions, truth, "--normaliser", "box", "--out", out)[0] == 0
    assert json.loads((tmp_path / "m.json").read_text())["subsets"]["full"]["nme"] == pytest.approx(100 / 1000**0.5)
    del truth[1]["box"]
    code, _, err, _ = score(predictions, truth, "--normaliser", "box")
    assert code == 1 and "needs a box of every face" in err


def test_truth_of_the_private_set_is_counted_as_such(rng, score):
    truth = [
        {"image": f"01_Indoor/{i}.png", "landmarks": face.tolist(), "subsets": ["private", "indoor"]}
        for i, face in enumerate(faces_68(rng, 2))
    ]
    code, out, _, _ = score(truth, truth, dataset="300W")
    assert code == 0
    assert out.startswith("300W: 2 of 600 official faces")
    assert ["inter-ocular", "outdoor", "0", "300", *"------"] in [line.split() for line in out.splitlines()]


def test_validation_faces_have_no_official_number(score):
    code, out, _, _ = score(cofw_entries(), cofw_entries(), "--split", "validation")
    assert code == 0 and out.startswith("COFW: 3 of - official faces")


def test_extra_predictions_are_reported(score):
    code, out, _, _ = score(cofw_entries(5), cofw_entries(3))
    assert code == 0
    assert "2 predictions" in out and "test/3.jpg" in out


def test_a_face_without_prediction_is_an_error(score):
    code, out, err, folder = score(cofw_entries(1), cofw_entries(3), "--out", "never.json")
    assert (code, out) == (1, "")
    assert "lacks 2 of the 3 faces" in err and "test/1.jpg" in err and "predictions.json" in err
    assert not (folder / "never.json").exists()


def broken(change):
    """Entries of which the second was changed."""
    entries = cofw_entries(2)
    change(entries[1])
    return entries


@pytest.mark.parametrize(
    "entries, messages",
    [
        ("{", ["is not JSON"]),
        ("", ["is not JSON"]),
        ({"image": "a"}, ["JSON object", "expected a list"]),
        ([], ["holds no face"]),
        ([1], ["entry 0", "number"]),
        ([{"file": "a", "landmarks": []}], ["entry 0", "['file', 'landmarks']", '"image": NAME']),
        ([{"image": "a", "faces": []}], ["entry 0", "['faces', 'image']", '"landmarks"']),
        (cofw_entries(2) + cofw_entries(1), ["entry 2", "test/0.jpg", "repeated"]),
        (broken(lambda e: e["landmarks"].pop()), ["entry 1", "test/1.jpg", "(28, 2)", "expected 29"]),
        (broken(lambda e: e["landmarks"][3].append(1.0)), ["entry 1", "test/1.jpg", "length", "expected 29"]),
        (broken(lambda e: e["landmarks"].__setitem__(3, [1.0, float("nan")])), ["landmark 3", "nan", "not finite"]),
        (broken(lambda e: e["landmarks"].__setitem__(3, [1.0, None])), ["entry 1", "not a number"]),
        (broken(lambda e: e["landmarks"].__setitem__(3, [1.0, "2"])), ["entry 1", "not a number"]),
        (broken(lambda e: e.update(landmarks=None)), ["entry 1", "not a number", "expected 29"]),
        (broken(lambda e: e.update(landmarks=[])), ["entry 1", "(0,)", "expected 29"]),
        (broken(lambda e: e.update(subsets="common")), ["entry 1", "list of names", "common"]),
        (broken(lambda e: e.update(box=[1, 2, 3])), ["entry 1", "test/1.jpg", "[left, top, right, bottom]"]),
        (broken(lambda e: e.update(box=[1, 2, 3, "4"])), ["entry 1", "finite numbers"]),
        (broken(lambda e: e.update(box=[1, 2, [3], 4])), ["entry 1", "finite numbers"]),
    ],
)
@pytest.mark.parametrize("which", ["predictions", "truth"])
def test_bad_files_give_one_clear_error(score, which, entries, messages):
    contents = {"predictions": cofw_entries(2), "truth": cofw_entries(2)} | {which: entries}
    code, out, err, _ = score(contents["predictions"], contents["truth"])
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1 and f"{which}.json" in err
    for message in messages:
        assert message in err


def test_other_mistakes_on_the_command_line(score, tmp_path, capsys):
    for options, message in [
        (("--dataset", "300X"), "300X"),
        (("--normaliser", "box"), "box"),
        (("--dataset", "WFLW"), "expected 98"),
    ]:
        code, _, err, _ = score(cofw_entries(), cofw_entries(), *options)
        assert code == 1 and message in err
    assert metrics.main([str(tmp_path / "absent.json"), str(tmp_path / "truth.json"), "--dataset", "COFW"]) == 1
    assert "absent.json" in capsys.readouterr().err


def test_truth_with_empty_subsets_is_of_validation_faces(score):
    """data_helper.py writes their truth with subsets that are empty."""
    truth = [{**entry, "subsets": []} for entry in cofw_entries()]
    _, out, _, _ = score(cofw_entries(shift=1.0), truth)
    assert "507" not in out


def test_another_normaliser_of_zero_costs_only_its_own_figures(rng):
    truth = rng.uniform(0, 100, (3, 29, 2))
    truth[1, 16] = truth[1, 17]  # the pupils of one face coincide
    evaluation = metrics.evaluate(truth + 1, truth, COFW, [("full",)] * 3)
    assert list(evaluation["normalisers"]) == ["inter-ocular"]
    with pytest.raises(ValueError, match="inter-pupil distance"):
        metrics.evaluate(truth + 1, truth, COFW, [("full",)] * 3, normaliser="inter-pupil")
