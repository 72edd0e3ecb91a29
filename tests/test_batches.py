"""Batches of augmented faces: their faces, order and augmentation."""

import dataclasses

import numpy as np
import pytest

from config import CROPS
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import crop_batches, load_faces
from image_utility import from_targets, to_targets, transform
from methods import encode_regression
from training.batches import AugmentedBatches, CPUAugmentation, Shuffled
from training.recipes import NO_AUGMENTATION, RECIPES

SMALL = dataclasses.replace(RECIPES["quick"], input_size=48, batch_size=4)


@pytest.fixture(scope="module")
def faces(prepared_300w):
    return load_faces(prepared_300w, "300W", "train", 48)


def batches_of(faces, seed=1, first_step=0, **changes):
    order, augment = Shuffled(len(faces), seed), CPUAugmentation(48)
    recipe = dataclasses.replace(SMALL, **changes)
    batches = AugmentedBatches(faces, order, augment, CROPS["square"], recipe, encode_regression, seed)
    batches.first_step = first_step
    return batches


def test_a_batch_depends_on_seed_and_step_alone(faces):
    first, again = batches_of(faces), batches_of(faces, first_step=5)
    for a, b in zip(first[7], again[2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[7][0] != batches_of(faces, seed=2)[7][0]).any()


def test_every_pass_shows_every_face_once(faces):
    batches = batches_of(faces)
    passes, steps = 4, len(faces)  # 4 passes over n faces in n batches of 4
    shown = sum((batches.indices(step) for step in range(steps)), [])
    for number in range(passes):
        assert sorted(shown[number * len(faces) : (number + 1) * len(faces)]) == list(range(len(faces)))


def test_faces_without_augmentation_are_the_crops_of_evaluation(faces):
    batches = batches_of(faces, augmentation=NO_AUGMENTATION)
    images, targets = batches[0]
    every, matrices = next(crop_batches(faces, CROPS["square"], 48, batch_size=len(faces)))
    indices = batches.indices(0)
    np.testing.assert_array_equal(images, every[indices])
    landmarks = transform(faces.landmarks[indices], matrices[indices])
    np.testing.assert_allclose(targets, to_targets(landmarks, 48), atol=1e-6)


def test_a_flip_mirrors_image_and_partners(faces):
    plain, mirrored = (batches_of(faces, augmentation=dataclasses.replace(NO_AUGMENTATION, flip=p)) for p in (0, 1))
    (image, targets), (other, other_targets) = plain[0], mirrored[0]
    partners = list(get_dataset("300W").layout.partners)
    back = from_targets(other_targets, 48)[:, partners]
    back[..., 0] = 48 - back[..., 0]
    np.testing.assert_allclose(back, from_targets(targets, 48), atol=1e-4)
    assert np.abs(other[:, :, 1:] - image[:, :, :0:-1]).max() < 0.02  # mirrored about 24, the centre of the crop


def test_the_last_epochs_have_an_augmentation_of_their_own(faces):
    batches = batches_of(faces, epochs=10, final_fraction=0.3, final_augmentation=NO_AUGMENTATION)
    final, usual = batches_of(faces, augmentation=NO_AUGMENTATION), batches_of(faces)
    first = 7 * batches.steps_per_epoch
    np.testing.assert_array_equal(batches[first - 1][0], usual[first - 1][0])
    np.testing.assert_array_equal(batches[first][0], final[first][0])


def test_images_are_float_in_unit_range(faces):
    images, targets = batches_of(faces)[0]
    assert images.dtype == targets.dtype == np.float32
    assert images.shape == (4, 48, 48, 3) and targets.shape == (4, 136)
    assert 0 <= images.min() and images.max() <= 1


def test_names_are_those_of_the_batch(faces):
    batches = batches_of(faces)
    assert batches.names(3) == [faces.names[i] for i in batches.indices(3)]


def test_an_epoch_shows_every_face_as_often_as_the_recipe_says(faces):
    assert batches_of(faces, repeats=3).steps_per_epoch == round(3 * len(faces) / 4)
