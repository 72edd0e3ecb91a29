"""Endless batches of augmented training faces."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

import keras
import numpy as np

from config import Crop
from face_datasets.face_dataset import FaceDataset
from face_datasets.layouts import Layout
from face_datasets.records import PURPOSE, REQUIREMENTS, FaceRecords
from image_utility import (
    apply_photometric,
    compose,
    invert,
    mirror_landmarks,
    sample_affine,
    sample_photometric,
    to_network,
    transform,
    warp,
)
from training.recipes import Recipe
from utils.optional_packages import import_package

MEAN_FACES = 1000  # faces of a stream whose mean initialises a new network
_ORDER, _AUGMENTATION = 0, 1  # random streams of a seed; face_dataset.SUBSET_STREAM is another


# --------------------------------------------------------------------------------------------------------------------
# Order: position in the endless sequence of faces -> index of a face
# --------------------------------------------------------------------------------------------------------------------


class Order(Protocol):
    """The endless order of the training faces."""

    def __getitem__(self, position: int) -> int:
        """Return the index of the face at a position, counted from 0 over all passes."""


class Shuffled:
    """Passes over the faces, each showing every face once, in an order of its own.

    Args:
        count: number of faces.
        seed: random seed.
    """

    def __init__(self, count: int, seed: int):
        self.pass_length, self.seed = count, seed
        self._cached_pass = lru_cache(maxsize=2)(self._shuffled)  # a batch lies in at most two passes

    def __getitem__(self, position: int) -> int:
        pass_number, rank = divmod(position, self.pass_length)
        return int(self._cached_pass(pass_number)[rank])

    def _shuffled(self, pass_number: int) -> np.ndarray:
        """Return the faces of a pass, (pass_length,)."""
        return np.random.default_rng((self.seed, _ORDER, pass_number)).permutation(self.pass_length)


class BalancedBins(Shuffled):
    """Passes that show equally many faces of every bin.

    Args:
        bins: face indices of every bin.
        balance: maps the bins' sizes to the number of faces of each bin in a pass: `min` under-samples larger bins,
            anew in each pass; `max` repeats faces of smaller bins.
        seed: random seed.
    """

    def __init__(self, bins: Sequence[np.ndarray], balance: Callable[[Sequence[int]], int], seed: int):
        self.bins = list(bins)
        self.per_bin = balance([len(members) for members in self.bins])
        super().__init__(len(self.bins) * self.per_bin, seed)

    def _shuffled(self, pass_number: int) -> np.ndarray:
        rng = np.random.default_rng((self.seed, _ORDER, pass_number))
        return rng.permutation(np.concatenate([_draw(rng, members, self.per_bin) for members in self.bins]))


def _draw(rng: np.random.Generator, members: np.ndarray, count: int) -> np.ndarray:
    """Draw `count` members: all of them as often as they fit, and the rest without repetition."""
    times, rest = divmod(count, len(members))
    drawn = [rng.choice(members, rest, replace=False)] if rest else []
    return np.concatenate([*[members] * times, *drawn])


def stream_order(count: int, seed: int) -> Order:
    """Return passes over the records of a stream, shuffled without a table of their order.

    Raises:
        ImportError: the package grain is not installed.
    """
    grain = import_package("grain", PURPOSE, REQUIREMENTS)
    return grain.MapDataset.range(count).seed(seed).shuffle().repeat()  # every pass in another order


# --------------------------------------------------------------------------------------------------------------------
# Batches
# --------------------------------------------------------------------------------------------------------------------


class CPUAugmentation:
    """Augmentation with OpenCV; `device_augmentation.GPUAugmentation` does the same in `keras.ops`.

    Args:
        size: side of the images in pixels.
    """

    def __init__(self, size: int):
        self.size = size

    def __call__(
        self, faces: FaceDataset, indices: Sequence[int], matrices: np.ndarray, photometric: np.ndarray
    ) -> np.ndarray:
        """Return the augmented images of a batch.

        Args:
            faces: the faces of the batch.
            indices: their indices in the source; not used.
            matrices: (batch, 2, 3), from stored faces to images.
            photometric: (batch,) of type image_utility.PHOTOMETRIC.

        Returns:
            (batch, size, size, 3), float32 in [0, 1].
        """
        images = np.empty((len(faces), self.size, self.size, 3), np.uint8)
        for image, stored, matrix, drawn in zip(images, faces.images, matrices, photometric, strict=True):
            image[:] = apply_photometric(warp(stored, matrix, self.size), drawn)
        return to_network(images)


class AugmentedBatches(keras.utils.PyDataset):
    """Endless batches of augmented training faces; batch `step` depends on the seed and on `step` alone.

    Batches continue across passes, so that no face is left out and every batch is full.

    Args:
        source: the training faces, in memory or as a stream.
        order: their order.
        augment: makes the images: `CPUAugmentation` or `device_augmentation.GPUAugmentation`.
        crop: a row of config.CROPS.
        recipe: a row of recipes.RECIPES: batch size, input size and augmentation.
        encode: maps points (batch, points, 2) in crop pixels and the size to the network's targets.
        seed: random seed of the augmentation.
        layout: of the points; default: the data set's.
        points: (faces, points, 2) in image pixels, augmented and encoded instead of the landmarks of a source in
            memory; default: the landmarks.

    Attributes:
        landmarks: (faces, points, 2) in crop pixels, not augmented: of all faces in memory, or of the first MEAN_FACES
            of a stream.
        first_step: the step that index 0 stands for; a resumed run sets it.
    """

    def __init__(
        self,
        source: FaceDataset | FaceRecords,
        order: Order,
        augment: Callable,
        crop: Crop,
        recipe: Recipe,
        encode: Callable,
        seed: int,
        layout: Layout | None = None,
        points: np.ndarray | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.source, self.order, self.augment = source, order, augment
        self.crop, self.recipe, self.encode, self.seed = crop, recipe, encode, seed
        self.size, self.first_step = recipe.input_size, 0
        self.layout = layout or source.dataset.layout
        self._geometry = None
        if isinstance(source, FaceDataset):  # what is the same in every pass is computed once
            self._geometry = self._crop_geometry(source, source.landmarks if points is None else points)
            self.landmarks = self._geometry[0]
        else:
            faces = source.read([int(order[position]) for position in range(min(len(source), MEAN_FACES))])
            self.landmarks = self._crop_geometry(faces, faces.landmarks)[0]

    @property
    def num_batches(self):
        return None  # endless: `fit` gets the steps of an epoch

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch."""
        return self.recipe.steps_per_epoch(len(self.source))

    def indices(self, step: int) -> list[int]:
        """Return the indices of the faces in batch `step`, (batch,)."""
        first = step * self.recipe.batch_size
        return [int(self.order[position]) for position in range(first, first + self.recipe.batch_size)]

    def names(self, step: int) -> list[str]:
        """Return the image names of the faces in batch `step`."""
        return self.source.read(self.indices(step)).names

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.shard(index, 0, 1)

    def shard(self, index: int, rank: int, ranks: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the part of a batch that belongs to one of several devices.

        Args:
            index: of the batch, from `first_step`.
            rank: number of the device, from 0.
            ranks: number of devices, each with an equal part.

        Returns:
            images (part, size, size, 3), float32 in [0, 1], and targets.
        """
        step = self.first_step + index
        rng = np.random.default_rng((self.seed, _AUGMENTATION, step))
        count = self.recipe.batch_size
        augmentation = self.recipe.augmentation_at(step, self.steps_per_epoch)
        affines, flips = sample_affine(rng, count, augmentation, self.size)
        photometric = sample_photometric(rng, count, augmentation, self.size)
        part = slice(rank * count // ranks, (rank + 1) * count // ranks)
        affines, flips, photometric = affines[part], flips[part], photometric[part]
        indices = self.indices(step)[part]
        faces = self.source.read(indices)
        if self._geometry:
            points, to_crop = (values[indices] for values in self._geometry)
        else:
            points, to_crop = self._crop_geometry(faces, faces.landmarks)
        points = transform(points, affines)  # (part, points, 2)
        points[flips] = mirror_landmarks(points[flips], self.layout.partners)
        images = self.augment(faces, indices, compose(affines, to_crop), photometric)  # (part, size, size, 3)
        return images, self.encode(points, self.size)

    def _crop_geometry(self, faces: FaceDataset, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return points (faces, points, 2) in crop pixels, and matrices (faces, 2, 3) from stored faces to crops."""
        matrices = faces.crop_matrices(self.crop, self.size)  # image -> crop
        return transform(points, matrices), compose(matrices, invert(faces.matrices))
