"""benchmarks/occlusion.py: its table by hand, predictions without a shape, runs with the same last name."""

import json

import numpy as np
import pytest

from benchmarks import comparison_plots, occlusion
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import FaceDataset
from synthetic_faces import get_landmarks

W300 = get_dataset("300W")
EYES = 100.0  # pixels between the outer corners


def faces_of(landmarks):
    count = len(landmarks)
    names, still = [f"{number}.jpg" for number in range(count)], np.tile(np.eye(2, 3), (count, 1, 1))
    images = [np.full((200, 200, 3), 5 * number, np.uint8) for number in range(count)]
    return FaceDataset(W300, "test", names, images, landmarks, still, [()] * count, [])


class Given:
    """A space of faces from which the distance of a face is the x of its first landmark."""

    def distance(self, landmarks):
        return landmarks[:, 0, 0]


@pytest.fixture
def two_faces():
    landmarks = np.random.default_rng(0).uniform(0, 90, (2, 68, 2))
    landmarks[:, 36], landmarks[:, 45] = (0, 50), (EYES, 50)
    landmarks[:, 0, 0] = 10, 30
    return faces_of(landmarks)


def test_the_table_by_hand(two_faces):
    """Two faces, three landmarks hidden: one of an eye, two of the jaw."""
    hidden = np.zeros((2, 68), bool)
    hidden[0, [3, 40]] = hidden[1, 5] = True
    visible = two_faces.landmarks + np.array([[[0.0, 5]], [[0, 9]]])  # the second face is wrong, above 8 %
    occluded = two_faces.landmarks + np.where(hidden, 30.0, 1.0)[..., None] * (0, 1)
    worse = occluded + (0, 40)  # both faces are wrong
    predictions = [
        occlusion.Prediction("l2", "", visible, occluded),
        occlusion.Prediction("heatmap", "argmax", worse, worse),
    ]
    truth, seen, under, *others = occlusion.make_rows(predictions, two_faces, hidden, Given())
    assert truth == {"entry": "truth", "faces": 2, "to face space %": 20.0}
    assert (seen["entry"], seen["kind"], under["kind"]) == ("l2", "visible", "occluded")
    assert [row["entry"] for row in others] == ["heatmap, argmax"] * 2
    expected = {"faces": 2, "NMSE": 0.07, "NMSE eyes": 0.07, "wrong faces": 1, "without shape": 0}
    expected |= {"NMSE under the patch": (0.05 * 2 + 0.09) / 3, "NMSE beside it": (0.05 * 66 + 0.09 * 67) / 133}
    expected |= {"to face space %": 20.0, "to face space %, wrong faces": 30.0}
    assert {name: seen[name] for name in expected} == pytest.approx(expected)
    expected = {"NMSE": (3 * 0.3 + 133 * 0.01) / 136, "NMSE eyes": (0.3 + 23 * 0.01) / 24, "wrong faces": 0}
    expected |= {"NMSE under the patch": 0.3, "NMSE beside it": 0.01, "to face space %, wrong faces": None}
    assert {name: under[name] for name in expected} == pytest.approx(expected)
    assert [row["wrong faces"] for row in others] == [2, 2]
    shared = [(row["wrong for all"], row["to face space %, wrong for all"]) for row in (seen, under, *others)]
    assert shared == [(1, 30.0), (0, None), (1, 30.0), (0, None)]


@pytest.fixture(scope="module")
def rendered():
    return np.stack([get_landmarks(seed) for seed in range(30)]).astype(np.float64)


def test_predictions_in_one_point_have_no_shape_and_cost_no_other(rendered):
    space, faces = occlusion.FaceSpace(rendered, W300.layout), faces_of(rendered[:3])
    predicted = rendered[:3].copy()
    predicted[1] = 71.3  # all landmarks in one pixel
    away = space.distance(predicted)
    assert np.isnan(away).tolist() == [False, True, False]
    np.testing.assert_allclose(away[[0, 2]], space.distance(rendered[[0, 2]]))
    hidden = np.zeros((3, 68), bool)
    hidden[0, 0] = True
    nowhere = np.full_like(predicted, 5.0)
    _, one, none = occlusion.make_rows([occlusion.Prediction("map", "", predicted, nowhere)], faces, hidden, space)
    assert (one["without shape"], none["without shape"]) == (1, 3)
    assert one["to face space %"] == pytest.approx(away[[0, 2]].mean()) and one["wrong faces"] == 1
    assert one["to face space %, wrong faces"] is None and none["to face space %"] is None


def test_runs_of_several_comparisons_keep_their_names(rendered, tmp_path, monkeypatch):
    """Two folders of one last name: two rows and two curves."""
    settings = {"method": "l2", "crop": "square", "input_size": 64}
    for bench in ("first", "second"):
        folder = tmp_path / "all" / bench / "runs/mnv2_l2_7"
        folder.mkdir(parents=True)
        (folder / "best.keras").touch()
        (folder / "settings.json").write_text(json.dumps({"settings": settings}))
    faces, curves = faces_of(rendered), []
    monkeypatch.setattr(occlusion, "load_faces", lambda *given: faces)
    predicted = (rendered, rendered + 1)
    monkeypatch.setattr(occlusion, "predict", lambda folder, run, *kinds: [occlusion.Prediction(run, "", *predicted)])
    monkeypatch.setattr(comparison_plots, "draw_ceds", lambda path, nmes, title: curves.append(list(nmes)))
    occlusion.compare("300W", tmp_path / "all", tmp_path / "out", "data", "test")
    names = ["first/runs/mnv2_l2_7", "second/runs/mnv2_l2_7"]
    assert curves == [names] * 4
    assert all((tmp_path / "out/table.md").read_text().count(f"| {name} |") == 2 for name in names)
    occlusion.compare("300W", tmp_path / "all/first/runs/mnv2_l2_7", tmp_path / "out", "data", "test")
    assert curves[-1] == ["mnv2_l2_7"]
