"""Faces in memory and the batches made of them."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from config import CROPS, dataset_of
from face_batches import TrainingBatches, crop_batches, load_faces, read_index
from image_utility import from_targets, read_image, to_targets, transform, warp
from methods import encode_regression
from recipes import RECIPES, STILL

SMALL = dataclasses.replace(RECIPES["quick"], input_size=48, batch_size=4)


@pytest.fixture(scope="module")
def faces(prepared_300w):
    return load_faces(prepared_300w, "300W", "train", 48)


def batches_of(faces, seed=1, first_step=0, augmentation=None):
    recipe = dataclasses.replace(SMALL, augmentation=augmentation or SMALL.augmentation)
    batches = TrainingBatches(faces, CROPS["square"], recipe, encode_regression, seed)
    batches.first_step = first_step
    return batches


def test_shrunk_faces_keep_their_landmarks(prepared_300w, faces):
    whole = load_faces(prepared_300w, "300W", "train")
    for i in range(len(faces)):
        there = transform(whole.landmarks[i], faces.matrices[i])
        share = faces.images[i].shape[0] / whole.images[i].shape[0]
        expected = (transform(whole.landmarks[i], whole.matrices[i]) + 0.5) * share - 0.5
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


def test_a_sample_is_a_part_of_the_faces_and_depends_on_the_seed(faces):
    some = faces.sample(3, seed=1)
    assert len(some) == 3 and set(some.names) < set(faces.names)
    for i, name in enumerate(some.names):
        whole = faces.names.index(name)
        np.testing.assert_array_equal(some.landmarks[i], faces.landmarks[whole])
        np.testing.assert_array_equal(some.matrices[i], faces.matrices[whole])
        assert some.images[i] is faces.images[whole]
    assert faces.sample(3, seed=1).summary() == some.summary()
    assert len({faces.sample(3, seed).summary()["sha256"] for seed in range(8)}) > 1
    with pytest.raises(ValueError, match="cannot draw that many train faces. Received 0; 1 to"):
        faces.sample(0, seed=1)


def test_a_batch_depends_on_seed_and_step_alone(faces):
    first, again = batches_of(faces), batches_of(faces, first_step=5)
    for a, b in zip(first[7], again[2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[7][0] != batches_of(faces, seed=2)[7][0]).any()


def test_every_round_shows_every_face_once(faces):
    batches = batches_of(faces)
    rounds, steps = 4, len(faces)  # 4 rounds of n faces in n batches of 4
    shown = sum((batches.chosen(step) for step in range(steps)), [])
    for number in range(rounds):
        assert sorted(shown[number * len(faces) : (number + 1) * len(faces)]) == list(range(len(faces)))


def test_still_faces_are_the_crops_of_evaluation(faces):
    batches = batches_of(faces, augmentation=STILL)
    images, targets = batches[0]
    every, matrices = next(crop_batches(faces, CROPS["square"], 48, batch_size=len(faces)))
    chosen = batches.chosen(0)
    np.testing.assert_array_equal(images, every[chosen])
    landmarks = transform(faces.landmarks[chosen], matrices[chosen])
    np.testing.assert_allclose(targets, to_targets(landmarks, 48), atol=1e-6)


def test_a_flip_mirrors_image_and_partners(faces):
    still, mirrored = (batches_of(faces, augmentation=dataclasses.replace(STILL, flip=p)) for p in (0, 1))
    (image, targets), (other, other_targets) = still[0], mirrored[0]
    partners = list(dataset_of("300W").layout.partners)
    back = from_targets(other_targets, 48)[:, partners]
    back[..., 0] = 48 - back[..., 0]
    np.testing.assert_allclose(back, from_targets(targets, 48), atol=1e-4)
    assert np.abs(other[:, :, 1:] - image[:, :, :0:-1]).max() < 0.02  # mirrored about 24, the middle of the crop


def test_images_are_float_in_unit_range(faces):
    images, targets = batches_of(faces)[0]
    assert images.dtype == targets.dtype == np.float32
    assert images.shape == (4, 48, 48, 3) and targets.shape == (4, 136)
    assert 0 <= images.min() and images.max() <= 1


def test_names_are_those_of_the_batch(faces):
    batches = batches_of(faces)
    assert batches.names(3) == [faces.names[i] for i in batches.chosen(3)]


def test_an_epoch_shows_every_face_as_often_as_the_recipe_says(faces):
    recipe = dataclasses.replace(SMALL, repeats=3)
    batches = TrainingBatches(faces, CROPS["square"], recipe, encode_regression, 1)
    assert batches.steps_per_epoch == round(3 * len(faces) / 4)


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
        read_index(tmp_path, dataset_of("300W"))


def test_a_lost_stored_face_is_named(prepared_300w, tmp_path):
    shutil.copytree(prepared_300w, tmp_path / "data")
    row = json.loads((tmp_path / "data/w300/index.json").read_text())["faces"][0]
    (tmp_path / "data/w300" / row["file"]).write_bytes(b"")
    with pytest.raises(ValueError, match=row["file"].rsplit("/")[-1]):
        load_faces(tmp_path / "data", "300W", row["split"])


def test_faces_of_another_set_join_where_the_landmarks_are_the_same(prepared_300w, faces):
    others = load_faces(prepared_300w, "300W", "test", 48)
    both = faces.joined(others)
    assert len(both) == len(faces) + len(others) and both.names[len(faces) :] == others.names
    np.testing.assert_array_equal(both.landmarks[-1], others.landmarks[-1])
    np.testing.assert_array_equal(both.matrices[-1], others.matrices[-1])
    assert len(both.crop_matrices(CROPS["square"], 48)) == len(both)
    other_points = dataclasses.replace(others, dataset=dataset_of("WFLW"))
    with pytest.raises(ValueError, match="WFLW cannot join those of 300W. Received 98 landmarks; the same 68"):
        faces.joined(other_points)


def test_a_stored_face_that_is_gone_is_named(prepared_300w, tmp_path):
    shutil.copytree(prepared_300w / "w300", tmp_path / "w300")
    row = next(row for row in read_index(tmp_path, dataset_of("300W"))["faces"] if row["split"] == "test")
    (tmp_path / "w300" / row["file"]).unlink()
    with pytest.raises(
        ValueError, match="No such file or directory.*, though the index names it. Prepare the data set again"
    ):
        load_faces(tmp_path, "300W", "test")
