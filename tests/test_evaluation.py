"""test.py and evaluation/: predictions, scores, files, figures, and errors."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import config
import metrics
import test as evaluation
from ace_net.outlines import OUTLINE
from evaluation import plots
from evaluation.evaluator import predict_faces
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import FaceDataset
from face_datasets.normalisers import normaliser_distance
from image_utility import mirror_landmarks, to_targets, transform
from methods import get_method
from utils.image_files import write_image

COFW = get_dataset("COFW")
SQUARE = config.CROPS["square"]
SIZE = 32  # of the network's input
COUNT = 5
OFFICIAL = COFW.subsets.get("test", {})


def make_faces(count=COUNT):
    """Faces of one shape at different places and sizes, so that their square crops hold the same landmarks."""
    rng = np.random.default_rng(3)
    shape = rng.uniform(0, 1, (29, 2))
    shape[8], shape[9] = (0.25, 0.3), (0.75, 0.3)  # inter-ocular distance: half of the box's side
    shape[0], shape[1] = (0, 0), (1, 1)  # the box
    sides = rng.uniform(40, 80, count)
    corners = rng.uniform(100, 200, (count, 2))
    landmarks = corners[:, None] + sides[:, None, None] * shape  # (count, 29, 2)
    matrices = np.array(
        [[[0.5, 0, 10 - 0.5 * x], [0, 0.5, 10 - 0.5 * y]] for x, y in corners]
    )  # half size, 10 px border
    images = [rng.integers(0, 256, (60, 60, 3), np.uint8) for _ in range(count)]
    names = [f"test/{i}.jpg" for i in range(count)]
    return FaceDataset(COFW, "test", names, images, landmarks, matrices, [("full",)] * count, [])


def crop_landmarks(faces):
    """Landmarks (n, 29, 2) in the pixels of the square crop."""
    return transform(faces.landmarks, faces.crop_matrices(SQUARE, SIZE))


class FakeModel:
    """Stands in for a network: `predict(images)` gives landmarks (batch, 29, 2) in crop pixels."""

    input_shape = (None, SIZE, SIZE, 3)

    def __init__(self, predict):
        self.predict, self.shapes = predict, []

    def predict_on_batch(self, images):
        self.shapes.append(images.shape)
        return to_targets(self.predict(images), SIZE)


def predict(model, faces, **options):
    return predict_faces(model, get_method("l2").codec, faces, SQUARE, **options)


# --------------------------------------------------------------------------------------------------------------------
# Prediction
# --------------------------------------------------------------------------------------------------------------------


def test_predictions_come_back_to_image_pixels():
    faces = make_faces()
    landmarks = crop_landmarks(faces)[0]  # the same for all
    model = FakeModel(lambda images: np.repeat(landmarks[None], len(images), axis=0))
    np.testing.assert_allclose(predict(model, faces), faces.landmarks, atol=1e-6)


def test_nme_of_a_known_error_in_the_crop():
    """An error of one crop pixel is 1.2 box sides / SIZE in the image; the inter-ocular distance is half a box side."""
    faces = make_faces()
    landmarks = crop_landmarks(faces)[0] + (1.0, 0.0)
    model = FakeModel(lambda images: np.repeat(landmarks[None], len(images), axis=0))
    distance = normaliser_distance(faces.landmarks, COFW.layout, "inter-ocular")
    nmes = metrics.nme(predict(model, faces), faces.landmarks, distance)
    np.testing.assert_allclose(nmes, 100 * 1.2 / SIZE / 0.5, rtol=1e-6)


def test_every_batch_has_one_shape_and_every_face_one_prediction():
    faces = make_faces(5)
    model = FakeModel(lambda images: np.zeros((len(images), 29, 2)))
    assert predict(model, faces, batch_size=2).shape == (5, 29, 2)
    assert model.shapes == [(2, SIZE, SIZE, 3)] * 3
    model.shapes.clear()
    assert predict(model, faces, batch_size=64).shape == (5, 29, 2)
    assert model.shapes == [(5, SIZE, SIZE, 3)]


def test_flip_reads_the_mirrored_crop_with_partners():
    faces = make_faces()
    truth = crop_landmarks(faces)[0]
    mirrored = mirror_landmarks(truth * (-1, 1) + (SIZE - 1, 0), COFW.layout.partners)
    for image in faces.images:
        image[:] = 0
        image[:, :30] = 255  # the left half is bright

    def by_brightness(images):
        left_is_bright = images[:, :, : SIZE // 2].mean(axis=(1, 2, 3)) > images[:, :, SIZE // 2 :].mean(axis=(1, 2, 3))
        return np.where(left_is_bright[:, None, None], truth, mirrored)

    np.testing.assert_allclose(predict(FakeModel(by_brightness), faces, flip=True), faces.landmarks, atol=1e-6)


def test_flip_moves_a_pixel_to_its_own_mirror_image():
    faces = make_faces()

    def brightest_pixel(images):
        places = images.sum(axis=-1).reshape(len(images), -1).argmax(axis=1)
        points = np.stack([places % SIZE, places // SIZE], axis=-1).astype(float)
        return np.repeat(points[:, None], 29, axis=1)

    straight = predict(FakeModel(brightest_pixel), faces)
    np.testing.assert_allclose(predict(FakeModel(brightest_pixel), faces, flip=True), straight, atol=1e-9)


def test_a_model_of_another_landmark_count_is_refused():
    model = FakeModel(lambda images: np.zeros((len(images), 68, 2)))
    with pytest.raises(ValueError, match=r"COFW.*\(68, 2\).*\(29, 2\)"):
        predict(model, make_faces())


def test_errors_of_predictions_are_found_again():
    """Truth and noise of a known size: the mean length of a 2-D normal error is sigma sqrt(pi / 2)."""
    faces = make_faces(40)
    truth, rng = crop_landmarks(faces)[0], np.random.default_rng(1)
    model = FakeModel(lambda images: truth + rng.normal(0, 0.5, (len(images), 29, 2)))
    result = metrics.evaluate(predict(model, faces), faces.landmarks, COFW, faces.subsets, OFFICIAL)
    expected = 0.5 * np.sqrt(np.pi / 2) * 100 * 1.2 / SIZE / 0.5
    assert result["subsets"]["full"]["nme"] == pytest.approx(expected, rel=0.03)


def test_a_codec_scores_its_predictions():
    faces, codec = make_faces(), get_method("l2").codec
    truth = codec.truth(faces, "unused")
    predicted = truth + (1.0, 0.0)
    errors = codec.errors(predicted, truth, faces)
    np.testing.assert_allclose(errors, 100 / faces.normaliser_distance())
    evaluation = codec.evaluate(predicted, truth, faces)
    assert evaluation["subsets"]["full"]["nme"] == pytest.approx(errors.mean())
    (entries,) = codec.files(predicted, truth, faces).values()
    assert entries[0] == {"image": "test/0.jpg", "landmarks": predicted[0].tolist()}
    assert "NME %" in codec.table(evaluation, faces)


@pytest.mark.parametrize(("method", "metric", "points"), [("l2", "NME", 68), ("ace", "NME^AC", OUTLINE)])
def test_a_codec_has_a_metric_and_a_layout(method, metric, points):
    codec = get_method(method).codec
    assert codec.metric == metric and codec.layout(get_dataset("300W")).points == points


def test_contours_cannot_be_cropped_around_their_mean():
    get_method("l2").codec.check_crop(config.CROPS["centroid"])
    with pytest.raises(ValueError, match="'centroid'.*square"):
        get_method("ace").codec.check_crop(config.CROPS["centroid"])


def test_landmarks_must_be_finite_and_contours_need_not():
    points = np.full((2, OUTLINE, 2), np.nan)
    points[0, :3] = 1.0
    assert [len(face) for face in get_method("ace").codec.landmarks(points)] == [3, 0]
    with pytest.raises(ValueError, match="not finite"):
        get_method("l2").codec.landmarks(points)


# --------------------------------------------------------------------------------------------------------------------
# Test().test_model and the command line, with a real model and prepared faces on disk
# --------------------------------------------------------------------------------------------------------------------


def save_model(path, landmarks, settings=None):
    """A network that predicts the same landmarks (points, 2) in crop pixels for every image."""
    keras.utils.clear_session()
    image = keras.Input((SIZE, SIZE, 3))
    features = keras.layers.GlobalAveragePooling2D()(image)
    outputs = keras.layers.Dense(landmarks.size, kernel_initializer="zeros")(features)
    model = keras.Model(image, outputs)
    model.layers[-1].bias.assign(to_targets(landmarks, SIZE))
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    content = {"settings": settings or {"dataset": "COFW", "method": "l2", "crop": "square"}}
    (path.parent / "settings.json").write_text(json.dumps(content))
    return path


@pytest.fixture
def prepared(tmp_path):
    """A data root with prepared COFW faces, of which only some were found."""
    faces, folder = make_faces(), tmp_path / "data" / "cofw"
    (folder / "faces").mkdir(parents=True)
    rows, truth = [], []
    for i, name in enumerate(faces.names):
        write_image(folder / f"faces/{i}.jpg", faces.images[i])
        row = {"image": name, "landmarks": faces.landmarks[i].tolist(), "subsets": ["full"]}
        truth.append(row)
        more = {"file": f"faces/{i}.jpg", "split": "test", "matrix": faces.matrices[i].tolist()}
        rows.append(row | more | {"box": None, "occluded": None, "photo": name})
    missing = [{"part": COFW.parts[1].path, "count": 507}, {"part": COFW.parts[0].path, "count": 1345}]
    index = {"dataset": "COFW", "version": 1, "missing": missing, "skipped": [], "faces": rows}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "truth_test.json").write_text(json.dumps(truth))
    return tmp_path / "data"


@pytest.fixture
def weights(tmp_path):
    """Weights whose prediction is one crop pixel to the right of the truth: NME 7.5 %."""
    return save_model(tmp_path / "run" / "best.keras", crop_landmarks(make_faces())[0] + (1.0, 0.0))


def test_command_line_end_to_end(prepared, weights, tmp_path, capsys):
    out = tmp_path / "results"
    arguments = ["--dataset", "COFW", "--data-dir", str(prepared), "--weights", str(weights), "--out", str(out)]
    assert evaluation.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "5 of 507 official faces" in printed and "crop square" in printed
    assert "COFW_test_color.mat (507 faces)" in printed and "COFW_train" not in printed
    assert sorted(path.name for path in out.iterdir()) == ["ced.png", "metrics.json", "predictions.json", "worst.png"]
    written = json.loads((out / "metrics.json").read_text())
    assert written["subsets"]["full"]["nme"] == pytest.approx(7.5, rel=1e-3)
    assert written["subsets"]["full"]["fr@8"] == 0.0

    # The predictions file gives the same numbers to metrics.py.
    again = tmp_path / "again.json"
    files = [str(out / "predictions.json"), str(prepared / "cofw" / "truth_test.json")]
    assert metrics.main([*files, "--dataset", "COFW", "--out", str(again)]) == 0
    of = {"weights": "best.keras", "crop": "square", "split": "test", "flip": False}
    assert json.loads(again.read_text()) | of == written


def test_original_call_writes_nothing_unless_asked(prepared, weights, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    result = evaluation.Test().test_model(
        ds_name=config.DatasetName.cofw, pretrained_model_path=weights, data_dir=prepared
    )
    assert result["subsets"]["full"]["n"] == COUNT
    assert sorted(tmp_path.rglob("*")) == before


def test_flip_of_a_prediction_that_ignores_the_image(prepared, weights):
    """Averaging a fixed prediction with its mirror image changes it."""
    straight = evaluation.Test().test_model("COFW", weights, data_dir=prepared)
    flipped = evaluation.Test().test_model("COFW", weights, data_dir=prepared, flip=True)
    assert flipped["subsets"]["full"]["nme"] != pytest.approx(straight["subsets"]["full"]["nme"])


def test_path_of_the_original_finds_converted_weights(prepared, tmp_path):
    save_model(tmp_path / "cofw/EF_3/cofw_EF3_ACRLoss.keras", crop_landmarks(make_faces())[0])
    asked = tmp_path / "ACRLoss/cofw/EF_3/cofw_EF3_ACRLoss.h5"
    with pytest.warns(UserWarning, match="is read instead"):
        result = evaluation.Test().test_model("COFW", asked, data_dir=prepared)
    assert result["subsets"]["full"]["nme"] == pytest.approx(0.0, abs=1e-3)


def test_another_crop_than_that_of_the_weights_warns(prepared, weights):
    with pytest.warns(UserWarning, match="best.keras.*'square'.*'tight'"):
        evaluation.Test().test_model("COFW", weights, data_dir=prepared, crop="tight")


def test_weights_of_another_landmark_count_are_named(prepared, tmp_path):
    weights = save_model(tmp_path / "w300.keras", np.zeros((68, 2)))
    with pytest.raises(ValueError, match=r"w300.keras is not for COFW. Received 136 outputs.*58"):
        evaluation.Test().test_model("COFW", weights, data_dir=prepared)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"crop": "round"}, "unknown crop.*round.*square"),
        ({"split": "train"}, "unknown split.*train.*private"),
        ({"split": "private"}, "no private faces"),
        ({"method": "magic"}, "unknown method.*magic"),
        ({"ds_name": "300X"}, "300X"),
        ({"ds_name": "WFLW"}, "is not for WFLW"),
        ({"data_dir": "nowhere"}, "not prepared.*data_helper.py"),
    ],
)
def test_mistakes_of_the_call(prepared, weights, options, message):
    options = {"ds_name": "COFW", "data_dir": prepared} | options
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        evaluation.Test().test_model(pretrained_model_path=weights, **options)


def test_command_line_reports_missing_weights(prepared, weights, tmp_path, capsys):
    absent = weights.with_name("absent.keras")
    arguments = ["--dataset", "COFW", "--data-dir", str(prepared), "--out", str(tmp_path / "out")]
    assert evaluation.main([*arguments, "--weights", str(absent)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("test.py: ") and "best.keras" in error
    assert not (tmp_path / "out").exists()


def test_the_module_is_ours_and_no_test_file():
    assert Path(evaluation.__file__) == Path(metrics.__file__).with_name("test.py")
    assert evaluation.Test.__test__ is False


# --------------------------------------------------------------------------------------------------------------------
# Figures
# --------------------------------------------------------------------------------------------------------------------


def is_png(path):
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_figures_are_written_atomically(tmp_path):
    faces = make_faces()
    result = metrics.evaluate(faces.landmarks + 1, faces.landmarks, COFW, faces.subsets)
    plots.draw_ced(tmp_path / "ced.png", np.full(COUNT, 30.0), {"full": np.ones(COUNT, bool)}, result)
    rows = [{"epoch": 0, "loss": 0.1, "val_nme": 20.0}]
    plots.draw_curves(tmp_path / "new" / "curves.png", rows, "NME", "inter-ocular")
    plots.draw_face_grid(
        tmp_path / "worst.png", faces.images[:1], faces.landmarks, faces.landmarks, ["one face"], COFW.layout, "title"
    )
    assert all(is_png(tmp_path / name) for name in ("ced.png", "new/curves.png", "worst.png"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ced.png", "new", "worst.png"]


@pytest.mark.integration
def test_equal_curves_can_be_told_apart():
    styles = plots.ced_styles(5)
    assert all(one["linestyle"] != other["linestyle"] for one, other in itertools.pairwise(styles))


def test_figures_do_not_touch_pyplot():
    """Importing pyplot would choose a backend for the notebook that imports us."""
    code = "import sys, evaluation.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(plots.__file__).parents[1]).returncode == 0
