"""The pictures of the rendered faces, and how their shapes are compared with real ones."""

import numpy as np
import pytest

from benchmarks import synthetic_gallery as gallery
from benchmarks.synthetic_shapes import compare_shapes
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import read_index
from synthetic_faces import get_landmarks
from utils.image_files import read_image


@pytest.fixture(scope="module")
def shapes():
    return np.stack([get_landmarks(seed) for seed in range(160)])


def test_a_set_explains_itself_however_it_is_turned(shapes):
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    found = compare_shapes(shapes, 3.0 * shapes @ turn + [5, -2], 0.95)
    assert found.mean_distance == pytest.approx(0, abs=1e-6)
    assert 0.95 <= found.explained < 1 and 5 < found.modes < 40
    np.testing.assert_allclose(found.rendered_mean, found.real_mean, atol=1e-9)
    np.testing.assert_allclose(found.rendered_modes[0], found.real_modes[0], atol=1e-6)


def test_modes_are_as_long_as_a_standard_deviation():
    """Shapes that vary along one direction alone, by -1, 0 and 1 of it."""
    base = np.random.default_rng(0).normal(size=(68, 2))
    base -= base.mean(axis=0)
    base /= np.linalg.norm(base)
    away = np.random.default_rng(1).normal(size=(68, 2)) * 1e-3
    found = compare_shapes(base + np.array([-1, 0, 1])[:, None, None] * away, np.stack([base] * 3), 0.95)
    assert found.modes == 1
    assert np.sum(found.real_modes**2) == pytest.approx(np.sum(away**2) * 2 / 3, rel=0.1)
    assert found.explained < 0.2  # rendered shapes without variance explain nothing


def test_fewer_faces_than_coordinates(shapes):
    assert 0 < compare_shapes(shapes, shapes[:20], 0.95).explained < 1


def test_shapes_of_another_form(shapes):
    with pytest.raises(ValueError, match=r"must be \(faces, 68, 2\). Received an array of shape \(160, 29, 2\)"):
        compare_shapes(shapes[:, :29], shapes, 0.95)


def test_the_pictures_are_drawn(prepared_300w, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gallery, "SHEET", 2)
    monkeypatch.setattr(gallery, "COMPARED", 40)
    assert gallery.main(["sheet", "--out", str(tmp_path / "sheet.jpg"), "--size", "32"]) == 0
    assert read_image(tmp_path / "sheet.jpg").shape == (64, 64, 3)
    words = ["shapes", "--dataset", "300W", "--data-dir", str(prepared_300w), "--out", str(tmp_path / "shapes.png")]
    assert gallery.main(words) == 0
    faces = read_index(prepared_300w, get_dataset("300W"))["faces"]
    shipped = sum(face["split"] in ("train", "validation") for face in faces)
    assert f"real faces: {shipped};" in capsys.readouterr().out and (tmp_path / "shapes.png").stat().st_size > 20_000


def test_sets_that_are_not_prepared_are_named(tmp_path, capsys):
    words = ["shapes", "--data-dir", str(tmp_path), "--out", str(tmp_path / "shapes.png")]
    assert gallery.main(words) == 1
    assert "300W is not prepared" in capsys.readouterr().err
    assert gallery.main([*words, "--dataset", "faces"]) == 1
    assert "unknown data set" in capsys.readouterr().err
