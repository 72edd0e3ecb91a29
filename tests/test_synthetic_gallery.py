"""Pictures of rendered faces, and the comparison of their shapes with real ones."""

import numpy as np
import pytest

from benchmarks import synthetic_gallery, synthetic_shapes
from benchmarks.synthetic_shapes import compare_shapes
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import read_index
from synthetic_faces import get_landmarks
from utils.image_files import read_image


@pytest.fixture(scope="module")
def shapes():
    return np.stack([get_landmarks(seed) for seed in range(160)])


def test_rotated_shapes_explain_each_other(shapes):
    rotation = np.array([[0.6, 0.8], [-0.8, 0.6]])
    found = compare_shapes(shapes, 3.0 * shapes @ rotation + [5, -2])
    assert found.mean_distance == pytest.approx(0, abs=1e-6)
    assert 0.95 <= found.explained < 1 and 5 < found.modes < 40
    np.testing.assert_allclose(found.rendered_mean, found.real_mean, atol=1e-9)
    np.testing.assert_allclose(found.rendered_modes[0], found.real_modes[0], atol=1e-6)


def test_modes_are_as_long_as_a_standard_deviation():
    """Shapes that vary along one direction alone, by -1, 0 and 1 of it."""
    base = np.random.default_rng(0).normal(size=(68, 2))
    base -= base.mean(axis=0)
    base /= np.linalg.norm(base)
    direction = np.random.default_rng(1).normal(size=(68, 2)) * 1e-3
    found = compare_shapes(base + np.array([-1, 0, 1])[:, None, None] * direction, np.stack([base] * 3))
    assert found.modes == 1
    assert np.sum(found.real_modes**2) == pytest.approx(np.sum(direction**2) * 2 / 3, rel=0.1)
    assert found.explained < 0.2  # rendered shapes without variance explain nothing


def test_fewer_faces_than_coordinates(shapes):
    assert 0 < compare_shapes(shapes, shapes[:20]).explained < 1


def test_shapes_of_another_layout(shapes):
    with pytest.raises(ValueError, match=r"\(faces, 68, 2\).*\(160, 29, 2\)"):
        compare_shapes(shapes[:, :29], shapes)


def test_contact_sheet(tmp_path):
    options = ["--out", str(tmp_path / "sheet.jpg"), "--size", "32", "--grid", "2"]
    assert synthetic_gallery.main(options) == 0
    assert read_image(tmp_path / "sheet.jpg").shape == (64, 64, 3)


def test_numbered_landmarks(tmp_path):
    assert synthetic_gallery.main(["--landmarks", "--out", str(tmp_path / "numbers.png"), "--size", "200"]) == 0
    assert read_image(tmp_path / "numbers.png").shape[1] == 1000


def test_shapes_beside_those_of_a_prepared_data_set(prepared_300w, tmp_path, capsys):
    out = tmp_path / "shapes.png"
    options = ["--dataset", "300W", "--data-dir", str(prepared_300w), "--out", str(out), "--faces", "40"]
    assert synthetic_shapes.main(options) == 0
    faces = read_index(prepared_300w, get_dataset("300W"))["faces"]
    training = sum(face["split"] in ("train", "validation") for face in faces)
    assert f"real faces: {training};" in capsys.readouterr().out and out.stat().st_size > 20_000


@pytest.mark.parametrize("dataset, error", [("300W", "300W is not prepared"), ("faces", "unknown data set")])
def test_data_sets_that_cannot_be_compared(dataset, error, tmp_path, capsys):
    options = ["--dataset", dataset, "--data-dir", str(tmp_path), "--out", str(tmp_path / "shapes.png")]
    assert synthetic_shapes.main(options) == 1
    assert error in capsys.readouterr().err
