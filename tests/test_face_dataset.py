"""FaceDataset: loading, subsets, concatenation, crops; errors of damaged data sets."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from config import CROPS
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import crop_batches, load_faces, read_index
from image_utility import transform, warp
from utils.image_files import read_image


@pytest.fixture(scope="module")
def faces(prepared_300w):
    return load_faces(prepared_300w, "300W", "train", 48)


def test_shrunk_faces_keep_their_landmarks(prepared_300w, faces):
    complete = load_faces(prepared_300w, "300W", "train")
    for i in range(len(faces)):
        there = transform(complete.landmarks[i], faces.matrices[i])
        factor = faces.images[i].shape[0] / complete.images[i].shape[0]
        expected = (transform(complete.landmarks[i], complete.matrices[i]) + 0.5) * factor - 0.5
        np.testing.assert_allclose(there, expected, atol=1e-6)
        assert np.ptp(there, axis=0).max() <= 48.5


def test_crops_of_stored_faces_are_crops_of_the_image(prepared_300w, raw_300w):
    stored = load_faces(prepared_300w, "300W", "test")
    images, matrices = next(crop_batches(stored, CROPS["square"], 100, batch_size=6))
    for name, image, matrix in zip(stored.names, images, matrices, strict=True):
        direct = warp(read_image(raw_300w / name), matrix, 100) / 255
        assert np.abs(image - direct).mean() < 0.01  # twice through JPEG


def test_every_face_once_in_order_and_the_last_batch_smaller(faces):
    sizes = [len(images) for images, _ in crop_batches(faces, CROPS["tight"], 32, batch_size=4)]
    assert sum(sizes) == len(faces)
    assert sizes[:-1] == [4] * (len(sizes) - 1)


def test_a_random_subset_depends_on_the_seed(faces):
    some = faces.random_subset(3, seed=1)
    assert len(some) == 3 and set(some.names) < set(faces.names)
    for i, name in enumerate(some.names):
        complete = faces.names.index(name)
        np.testing.assert_array_equal(some.landmarks[i], faces.landmarks[complete])
        np.testing.assert_array_equal(some.matrices[i], faces.matrices[complete])
        assert some.images[i] is faces.images[complete]
    assert faces.random_subset(3, seed=1).fingerprint() == some.fingerprint()
    assert len({faces.random_subset(3, seed).fingerprint()["sha256"] for seed in range(8)}) > 1
    with pytest.raises(ValueError, match="train faces. Received 0; expected 1 to"):
        faces.random_subset(0, seed=1)


def test_a_set_that_is_not_prepared_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="data_helper.py --dataset 300W"):
        load_faces(tmp_path, "300W", "train")


def test_an_absent_split_lists_what_there_is(prepared_300w):
    with pytest.raises(ValueError, match=r"no private faces.*train.*missing parts.*01_Indoor"):
        load_faces(prepared_300w, "300W", "private")


@pytest.mark.parametrize("text", ["", "[]", '{"dataset": "300W"}', '{"dataset": "COFW", "version": 1}'])
def test_a_broken_index_is_an_error(text, tmp_path):
    (tmp_path / "w300").mkdir()
    (tmp_path / "w300" / "index.json").write_text(text)
    with pytest.raises(ValueError, match="index.json"):
        read_index(tmp_path, get_dataset("300W"))


def test_a_lost_stored_face_is_named(prepared_300w, tmp_path):
    shutil.copytree(prepared_300w, tmp_path / "data")
    row = json.loads((tmp_path / "data/w300/index.json").read_text())["faces"][0]
    (tmp_path / "data/w300" / row["file"]).write_bytes(b"")
    with pytest.raises(ValueError, match=row["file"].rsplit("/")[-1]):
        load_faces(tmp_path / "data", "300W", row["split"])


def test_data_sets_of_one_layout_are_concatenated(prepared_300w, faces):
    others = load_faces(prepared_300w, "300W", "test", 48)
    both = faces.concatenate(others)
    assert len(both) == len(faces) + len(others) and both.names[len(faces) :] == others.names
    np.testing.assert_array_equal(both.landmarks[-1], others.landmarks[-1])
    np.testing.assert_array_equal(both.matrices[-1], others.matrices[-1])
    assert len(both.crop_matrices(CROPS["square"], 48)) == len(both)
    other_points = dataclasses.replace(others, dataset=get_dataset("WFLW"))
    with pytest.raises(ValueError, match="WFLW .* 300W. Received 98 landmarks; expected the same 68"):
        faces.concatenate(other_points)


def test_a_stored_face_that_is_gone_is_named(prepared_300w, tmp_path):
    shutil.copytree(prepared_300w / "w300", tmp_path / "w300")
    row = next(row for row in read_index(tmp_path, get_dataset("300W"))["faces"] if row["split"] == "test")
    (tmp_path / "w300" / row["file"]).unlink()
    with pytest.raises(
        ValueError, match="No such file or directory.*, though the index names it. Prepare the data set again"
    ):
        load_faces(tmp_path, "300W", "test")
