"""Losses and network of ACE-Net, and complete runs of its methods."""

import dataclasses
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from gradients import gradient
from keras import ops

import data_helper
import predict
import test as evaluation
import train
from ace_net import ridges
from ace_net.filters import filters
from ace_net.losses import (
    ACELoss,
    HeatLoss,
    contour_loss,
    contourness,
    far_loss,
    heat_loss,
    landmark_loss,
    line_loss,
    terms,
)
from ace_net.model import heatmap_network
from ace_net.outlines import OUTLINE, from_landmarks, get_contour_map
from ace_net.targets import MAPS, encode_weak, full_targets, heatmaps, weak_targets
from benchmarks import ace_net_sheet, ace_net_tables, ace_net_terms
from cnn_model import get_network
from config import CONTOURS
from face_datasets.catalogue import DATASETS, Part
from face_datasets.layouts import LAYOUT_68
from inference import web_demo
from synthetic_faces import render_face
from synthetic_faces.face import get_landmarks
from utils.image_files import write_image

SIGMA = 2


def straight(angle: float, size: int = 41) -> np.ndarray:
    """A heatmap (1, size, size, 1) of a line through the middle pixel."""
    middle, reach = size // 2, size * np.array([np.cos(angle), np.sin(angle)])
    return heatmaps(np.array([[middle - reach, middle + reach]]), np.array([0]), (1, size, size, 1))


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    return np.stack([get_landmarks(seed) for seed in range(200, 204)]) * 256 - 0.5


# ---------------------------------------------------------------------------------------------------------------------
# Contourness
# ---------------------------------------------------------------------------------------------------------------------


def test_the_closed_form_is_the_best_of_3600_directions():
    size, half = 2 * 2 * SIGMA + 1, 2 * SIGMA
    maps = np.random.default_rng(0).normal(0.2, 0.5, (20, size, size, 1)).astype(np.float32)
    heat = np.maximum(maps[..., 0], 0).astype(np.float64)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    gauss = np.exp(-(x**2 + y**2) / SIGMA**2)
    angle = np.pi * np.arange(3600) / 3600
    across = y * np.cos(angle)[:, None, None] - x * np.sin(angle)[:, None, None]
    template = 1 - 2 * across**2 / SIGMA**2  # Eq. 16
    score = 2 * np.einsum("byx,ayx,yx->ba", heat, template, gauss).max(axis=1) - (heat**2 * gauss).sum(axis=(1, 2))
    np.testing.assert_allclose(ops.convert_to_numpy(contourness(maps))[:, 0, half, half], score, atol=1e-3)


def test_filters_are_those_of_equation_20():
    g0, g1, g2 = filters(SIGMA)
    y, x = np.mgrid[-4:5, -4:5]
    gauss = np.exp(-(x**2 + y**2) / 4)
    np.testing.assert_allclose(np.outer(g0, g2), (1 - x**2 / 2) * gauss)
    np.testing.assert_allclose(-0.5 * np.outer(g1, g1), -x * y / 2 * gauss)


def test_contourness_of_perfect_lines():
    scores = [
        float(ops.convert_to_numpy(contourness(straight(angle)))[0, 0, 20, 20]) for angle in np.linspace(0, np.pi, 37)
    ]
    assert scores[0] == pytest.approx(4.92, abs=0.005) and min(scores) == pytest.approx(4.92, abs=0.005)
    assert max(scores) == pytest.approx(5.00, abs=0.01)
    losses = ops.convert_to_numpy(contour_loss(np.array([-40.0, 0.0, *scores, 9.0], np.float32)))
    assert losses.min() == 0 and losses.max() <= 1 and losses[0] > 0.999


def test_contourness_of_an_empty_map_is_zero():
    assert not ops.convert_to_numpy(contourness(np.full((1, 16, 16, 2), -1, np.float32))).any()


def test_extraction_has_the_same_contourness():
    heat = np.random.default_rng(4).random((1, 40, 48, 1), np.float32)
    np.testing.assert_allclose(
        ridges.contourness(heat[0, ..., 0], SIGMA)[0], ops.convert_to_numpy(contourness(heat))[0, 0], atol=1e-4
    )


@pytest.mark.parametrize("angle", np.linspace(0, np.pi, 7)[:-1])
def test_the_normal_of_a_ridge_lies_across_it(angle):
    normal = float(ridges.contourness(straight(angle)[0, ..., 0], SIGMA)[1][20, 20])  # Eqs. 25 and 26
    assert np.cos(normal - angle) == pytest.approx(0, abs=0.01)


# ---------------------------------------------------------------------------------------------------------------------
# Terms
# ---------------------------------------------------------------------------------------------------------------------


def test_heat_loss_by_hand():
    true, predicted = np.zeros((1, 2, 2, 2), np.float32), np.zeros((1, 2, 2, 2), np.float32)
    true[0, 0, 0, 0], predicted[0, 1, 1, 0], predicted[0, 0, 1, 1] = 1, 0.5, 9
    squared = 10 * 1 + (1 + 9 * 0.5) * 0.25  # weight 1 + (alpha - 1) max(H, |error|); the second map is not annotated
    loss = ops.convert_to_numpy(heat_loss(true, predicted, np.array([[1.0, 0.0]], np.float32), alpha=10))
    assert loss[0] == pytest.approx(np.sqrt(squared / 4))


def test_the_weights_of_the_heat_loss_have_no_slope():
    """W err / (n L), as if W were given; through W it would be larger wherever |error| decides W."""
    rng = np.random.default_rng(5)
    true, predicted = rng.uniform(0, 1, (2, 2, 6, 6, 3)).astype(np.float32)
    annotated = np.array([[1, 0, 1], [1, 1, 1]], np.float32)
    error = predicted.astype(np.float64) - true
    weight = (1 + 9 * np.maximum(true, np.abs(error))) * annotated[:, None, None]
    pixels = 36 * annotated.sum(axis=1)[:, None, None, None]  # n, of one image
    loss = np.sqrt((weight * error**2).sum(axis=(1, 2, 3), keepdims=True) / pixels)
    slope = gradient(lambda x: heat_loss(true, x, annotated, alpha=10), predicted)
    np.testing.assert_allclose(slope, weight * error / (pixels * loss), rtol=1e-4, atol=1e-7)


def test_full_and_far_terms_are_zero_on_a_perfect_heatmap(landmarks):
    outlines = from_landmarks(landmarks, get_contour_map(LAYOUT_68))
    full = full_targets(outlines, 256, 2)
    perfect = full.heat
    assert not ops.convert_to_numpy(HeatLoss().call(full.pack(), perfect)).any()
    weak = weak_targets(outlines, 256, 2).pack()
    part = {name: ops.convert_to_numpy(value) for name, value in terms(weak, perfect).items()}
    assert not part["heat"].any() and not part["far"].any()
    # Between pixels, at bends and at the ends of lines contourness is below its maximum: smaller, not zero
    assert 0 < part["landmark"].mean() < 0.5 and 0 < part["line"].mean() < part["landmark"].mean()
    nothing = {name: ops.convert_to_numpy(value) for name, value in terms(weak, 0 * perfect).items()}
    assert nothing["landmark"].min() > 0.89 and nothing["line"].min() > 0.89


def test_a_line_beside_its_landmarks_costs_the_landmark_term_and_not_the_line_term():
    def scores(row: float):
        line = np.array([[[0.0, row], [127.0, row]]])
        score = contourness(heatmaps(line, np.array([0]), (1, 128, 128, 1)))
        points = np.array([[[[20, 60, 1], [100, 60, 1], [0, 0, 0]]]], np.float32)
        along = np.stack([np.linspace(20, 100, 48), np.full(48, 60), np.zeros(48), np.ones(48)], axis=-1)
        weak = np.ones((1, 1), np.float32)
        samples = along[None, None].astype(np.float32)
        return float(landmark_loss(score, points, weak)[0]), float(line_loss(score, samples, weak)[0])

    assert scores(60) == (pytest.approx(0, abs=5e-3), pytest.approx(0, abs=5e-3))
    landmark, line = scores(64)  # 4 pixels away
    assert landmark > 0.8 and line == pytest.approx(0, abs=5e-3)
    landmark, line = scores(70)  # farther than D
    assert landmark > 0.8 and line > 0.8


def test_the_far_term_is_the_heat_far_from_the_line():
    predicted, far = np.zeros((1, 4, 4, 1), np.float32), np.ones((1, 4, 4, 1), np.float32)
    predicted[0, 0, 0, 0], predicted[0, 3, 3, 0] = 1, 1
    far[0, 3, 3, 0] = 0
    loss = ops.convert_to_numpy(far_loss(far, predicted, np.ones((1, 1), np.float32), alpha=10))
    assert loss[0] == pytest.approx(np.sqrt(10 / 16))


@pytest.mark.parametrize("value", [0.0, -1.0, 0.5, 1.0])
def test_gradients_are_finite_on_empty_and_flat_maps(landmarks, value):
    target = encode_weak(from_landmarks(landmarks[:1], get_contour_map(LAYOUT_68)), 256)[2]
    slope = gradient(lambda x: ACELoss().call(target, x), np.full((1, 128, 128, MAPS), value, np.float32))
    assert np.isfinite(slope).all()


def test_gradients_are_finite_at_zero_error(landmarks):
    target = full_targets(from_landmarks(landmarks[:1], get_contour_map(LAYOUT_68)), 256, 8)
    assert not gradient(lambda x: HeatLoss().call(target.pack(), x), target.heat).any()


def test_the_printed_reading_divides_by_the_pixels_before_the_root():
    """Of one image, 256 pixels in each of two annotated maps: sqrt(512) times less."""
    true, rng = np.zeros((1, 16, 16, 3), np.float32), np.random.default_rng(0)
    predicted, annotated = rng.uniform(0, 1, true.shape).astype(np.float32), np.float32([[1, 0, 1]])
    mean, printed = (float(heat_loss(true, predicted, annotated, power=power)[0]) for power in (0.5, 1.0))
    assert printed == pytest.approx(mean / np.sqrt(512), rel=1e-5)


def test_alpha_below_one_is_an_error():
    with pytest.raises(ValueError, match="Received 0.5"):
        ACELoss(alpha=0.5)
    assert ACELoss.from_config(ACELoss(alpha=4).get_config()).constants["alpha"] == 4


# ---------------------------------------------------------------------------------------------------------------------
# Network and runs
# ---------------------------------------------------------------------------------------------------------------------


def multiply_adds(model: keras.Model) -> int:
    kernels = [
        (layer.kernel.shape, layer.output.shape) for layer in model.layers if isinstance(layer, keras.layers.Conv2D)
    ]
    return sum(int(np.prod(kernel)) * output[1] * output[2] for kernel, output in kernels)


def test_three_sets_of_maps_in_two_fifths_of_a_billion_multiply_adds():
    """Above the 0.5 GFLOPs of the issue where a multiply-add counts as two: 0.73."""
    model = heatmap_network(get_network("ACE-Net"), MAPS, 256, 0.99)
    assert [output.shape[1:] for output in model.outputs] == [(32, 32, 25), (32, 32, 25), (128, 128, 25)]
    assert multiply_adds(model) == pytest.approx(0.364e9, rel=0.01) and model.count_params() == 1_018_811


def test_the_backbone_is_replaceable():
    model = heatmap_network(get_network("mobileNetV2"), MAPS, 64, 0.99)
    assert [output.shape[1:] for output in model.outputs] == [(8, 8, 25), (8, 8, 25), (32, 32, 25)]
    with pytest.raises(ValueError, match="multiple of 64"):
        heatmap_network(get_network("ACE-Net"), MAPS, 112, 0.99)


def test_the_small_network_regresses_no_landmarks():
    with pytest.raises(ValueError, match="ACE-Net predicts heatmaps"):
        train.Train(arch="ACE-Net", dataset_name="300W", save_path="unused", method="l2").compiled(1)


def test_outlines_have_no_centroid_to_crop_around():
    with pytest.raises(ValueError, match="Received the crop 'centroid'.*square, tight, ace"):
        train.Train(arch="ACE-Net", dataset_name="300W", save_path="unused", method="ace", crop="centroid")


def test_terms_on_perfect_heatmaps(capsys):
    assert ace_net_terms.main([]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["heat", "far", "landmark", "line"] and len(printed) == 3
    for line in printed[1:]:
        heat, far, landmark, of_line = map(float, line.split()[-4:])
        assert heat < 1e-3 and far < 1e-3 and 0 < of_line < landmark < 0.05


@pytest.fixture(scope="module")
def data_dir(prepared_300w, tmp_path_factory):
    """300W of conftest, and a few rendered faces."""
    folder = tmp_path_factory.mktemp("ace")
    shutil.copytree(prepared_300w / "w300", folder / "w300")
    few = dataclasses.replace(
        DATASETS["synthetic"], parts=(Part("train", "train", 10), Part("test", "test", 4)), render_size=96
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "synthetic", few)
        data_helper.prepare("synthetic", data_dir=folder, workers=1)
        yield folder


def run(data_dir, folder, method: str) -> int:
    options = ["--dataset", "300W", "--data-dir", str(data_dir), "--arch", "ACE-Net", "--method", method]
    options += ["--recipe", "ace_short", "--crop", "ace", "--input-size", "64", "--batch-size", "4", "--epochs", "1"]
    return train.main([*options, "--save-path", str(folder)])


def contours_on_a_picture(tmp_path, weights: str) -> dict:
    """Return the face that predict.py --contours finds in a rendered picture."""
    picture, out = str(tmp_path / "face.png"), tmp_path / "predicted"
    write_image(picture, render_face(3, 200).image)
    options = [picture, "--out", str(out), "--weights", weights, "--detector", "none", "--contours"]
    assert predict.main(options) == 0
    assert (out / "drawn" / "face.jpg").is_file()
    return json.loads((out / "landmarks.json").read_text())[0]["faces"][0]


@pytest.mark.integration
def test_rendered_faces_that_a_method_needs_are_prepared(data_dir, tmp_path, monkeypatch):
    """Before anything else is done; here it stops there."""
    prepared = []

    def prepare(*arguments):
        prepared.append(arguments)
        raise ValueError("that is all")

    monkeypatch.setattr(data_helper, "prepare_embedded", prepare)
    assert run(data_dir, tmp_path / "ace", "ace") == 1
    assert prepared == [(str(data_dir), "ace")]


@pytest.mark.integration
def test_ace_net_trains_on_real_and_rendered_faces_and_is_evaluated(data_dir, tmp_path, capsys):
    assert run(data_dir, tmp_path / "ace", "ace") == 0
    result = json.loads((tmp_path / "ace" / "metrics.json").read_text())
    assert result["metric"] == "NME^AC" and result["subsets"]["full"]["n"] == 6
    assert "validation: inter-ocular NME^AC" in capsys.readouterr().out
    weights = str(tmp_path / "ace" / "best.keras")
    out = tmp_path / "rendered"
    options = ["--dataset", "synthetic", "--data-dir", str(data_dir), "--weights", weights, "--out", str(out)]
    assert evaluation.main(options) == 0
    assert {file.name for file in out.iterdir()} == {
        "metrics.json",
        "predictions.json",
        "truth.json",
        "ced.png",
        "worst.png",
    }
    result = json.loads((out / "metrics.json").read_text())
    assert (result["weights"], result["crop"], result["split"]) == ("best.keras", "ace", "test")
    face = contours_on_a_picture(tmp_path, weights)
    assert face["landmarks"] == [point for point in face["anchors"].values() if point]

    capsys.readouterr()
    for extra in (["--flip-test"], ["--contours", "line"], ["--contours", "line", "--sparse"]):
        assert evaluation.main([*options, *extra]) == 1
        assert "predicts contours, not landmarks. Received" in capsys.readouterr().err

    drawn, text, rows = web_demo.predict_picture(str(tmp_path / "face.png"), weights, "none", contours=True)
    assert drawn.shape == (200, 200, 3) and f"{len(rows)} landmarks" in text and len(rows) == len(face["landmarks"])

    assert ace_net_terms.main(["--weights", weights, "--data-dir", str(data_dir), "--batches", "1"]) == 0
    printed = capsys.readouterr().out.splitlines()[-5:]
    names, *rows = [line.split() for line in printed]
    assert " ".join(names) == "coarse 1 coarse 2 heat far landmark line"
    assert [" ".join(row[:2]) for row in rows] == ["new, real", "new, rendered", "trained, real", "trained, rendered"]
    sizes = {" ".join(row[:2]): [float(word) for word in row[2:]] for row in rows}
    assert all(min(sizes[f"{state}, real"][3:]) > 0 for state in ("new", "trained"))
    assert all(sizes[f"{state}, rendered"][3:] == [0, 0, 0] for state in ("new", "trained"))  # nothing weak on them
    assert ace_net_sheet.main(["--out", str(tmp_path / "sheet.png"), "--weights", weights]) == 0
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize("also", [[], ["synthetic"]], ids=["of the method", "named besides"])
def test_batches_mix_real_and_rendered_faces_equally(data_dir, tmp_path, also):
    options = {"method": "ace", "recipe": "ace_short", "crop": "ace", "data_dir": data_dir, "input_size": 64}
    batches = train.Train(
        arch="ACE-Net", dataset_name="300W", save_path=tmp_path, extra_datasets=also, **options
    ).batches()
    names = [name for step in range(40) for name in batches.names(step)]
    rendered = sum(name.startswith("train/") for name in names)
    assert rendered == pytest.approx(len(names) / 2, abs=len(batches.order.bins[0]))
    images, targets = batches[0]
    assert images.shape == (16, 64, 64, 3) and [target.shape[1] for target in targets[:2]] == [8 * 8 * 25 + 25] * 2
    assert batches.landmarks.shape[1] == OUTLINE


@pytest.mark.integration
def test_landmark_heatmaps_are_landmarks_and_can_be_joined(data_dir, tmp_path):
    assert run(data_dir, tmp_path / "lmk", "lmk_line") == 0
    result = json.loads((tmp_path / "lmk" / "metrics.json").read_text())
    assert "landmarks" in result and len(result["landmarks"]) == 68
    weights = str(tmp_path / "lmk" / "best.keras")
    options = ["--dataset", "synthetic", "--data-dir", str(data_dir), "--weights", weights, "--contours", "line"]
    assert evaluation.main([*options, "--out", str(tmp_path / "joined")]) == 0
    assert json.loads((tmp_path / "joined" / "metrics.json").read_text())["metric"] == "NME^AC"
    face = contours_on_a_picture(tmp_path, weights)
    assert len(face["landmarks"]) == 68 and list(face["contours"]) == list(CONTOURS)


def test_true_landmarks_joined_are_nearer_with_splines_and_with_all_68(data_dir, tmp_path, capsys):
    nme = {}
    for curve in ("line", "interp"):
        for sparse in ([], ["--sparse"]):
            out = tmp_path / f"{curve}{len(sparse)}"
            truth = str(data_dir / "synthetic" / "truth_test.json")
            options = ["--dataset", "synthetic", "--data-dir", str(data_dir), "--landmarks", truth, "--contours", curve]
            assert evaluation.main([*options, *sparse, "--out", str(out)]) == 0
            result = json.loads((out / "metrics.json").read_text())
            assert (result["contours"], result["sparse"], result["split"]) == (curve, bool(sparse), "test")
            nme[curve, bool(sparse)] = result["parts"]["eyes"]
    assert nme["interp", False] < nme["line", False] < nme["line", True]
    assert nme["interp", True] < nme["line", True]

    capsys.readouterr()
    assert ace_net_tables.main([str(tmp_path / "line0"), str(tmp_path / "interp0")]) == 0
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["line0", "interp0"]
    assert [row[head.index("eyes")] for row in rows] == [f"{nme[curve, False]:.2f}" for curve in ("line", "interp")]


def evaluated(folder, **changed):
    """Return a folder of results as test.py writes it for contours, with some values changed."""
    full = {"n": 4, "nme": 2.0, "auc@6": 0.7, "share@1.25": 0.1, "missing": 1.0, "nme_found": None}
    metrics = {"metric": "NME^AC", "dataset": "FRL", "parts": {}, "subsets": {"full": full}} | changed
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return str(folder)


def test_rows_that_do_not_belong_in_one_table_are_errors(tmp_path, capsys):
    ours, landmarks = evaluated(tmp_path / "ours"), evaluated(tmp_path / "landmarks")
    Path(landmarks, "metrics.json").write_text(json.dumps({"dataset": "300W", "subsets": {}}))
    for other, reason in (
        (evaluated(tmp_path / "other", dataset="synthetic"), "evaluations of the same faces can be compared"),
        (landmarks, "Received ValueError('the metric NME')"),
        (evaluated(tmp_path / "broken", subsets={}), "Received KeyError('full')"),
        (evaluated(tmp_path / "null", parts=None), "Received AttributeError"),
        (str(tmp_path / "none"), str(tmp_path / "none")),
    ):
        assert ace_net_tables.main([ours, other]) == 1
        assert reason in capsys.readouterr().err
    assert ace_net_tables.main([ours]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "| ours | 2.00 | 0.7000 | 0.1000 | 1.0000 |  |"
