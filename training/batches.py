"""Batches of training faces, moved anew each time and without end."""

import abc
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import keras
import numpy as np

from config import Crop
from face_datasets.face_dataset import FaceDataset
from face_datasets.layouts import Layout
from face_datasets.records import (
    PURPOSE,
    REQUIREMENTS,
    FaceRecords,
)
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

MEAN_FACES = 1000  # whose mean face a new network starts at


_ORDER, _MOVES = 0, 1  # streams of a seed: of order and of moves; face_dataset.SUBSET_STREAM is another


class CPUAugmentation:
    """Applies drawn moves with OpenCV: stored faces in, images of training out.

    Its twin, `device_augmentation.GPUAugmentation`, does the same on a GPU.

    Args:
        faces: the training faces. size: side of the images in pixels.
    """

    def __init__(self, faces: FaceDataset, size: int):
        self.faces, self.size = faces, size

    def __call__(self, chosen: Sequence[int], matrices: np.ndarray, disturbances: np.ndarray) -> np.ndarray:
        """Images (batch, size, size, 3), float32 in [0, 1].

        Args:
            chosen: indices of the faces. matrices: (batch, 2, 3) from stored faces to images.
            disturbances: (batch,) of type image_utility.PHOTOMETRIC.
        """
        images = np.empty((len(chosen), self.size, self.size, 3), np.uint8)
        for image, face, matrix, disturbance in zip(images, chosen, matrices, disturbances, strict=True):
            image[:] = apply_photometric(warp(self.faces.images[face], matrix, self.size), disturbance)
        return to_network(images)


class AugmentedBatches(keras.utils.PyDataset, abc.ABC):
    """Moved training faces without end: batch `step` depends on the seed and `step` alone.

    Faces come in rounds; each round shows every face once in an order of its own, and batches run on across rounds, so
    no face is left out and every batch is full. Where the faces lie, and in which order they come, is told by
    TrainingBatches and face_records.RecordBatches.

    Args:
        faces: the training faces. crop: a row of config.CROPS.
        recipe: a row of recipes.RECIPES; it says batch size, input size and moves.
        encode: from points (batch, points, 2) in crop pixels and the size to the network's targets.
        seed: of order and moves.
        layout: of the points; the data set's where None.

    Attributes:
        landmarks: (faces, points, 2) in crop pixels, not moved.
        first_step: the step that index 0 stands for; a resumed run sets it to go on where it was.
    """

    landmarks: np.ndarray

    def __init__(
        self, faces, crop: Crop, recipe: Recipe, encode: Callable, seed: int, layout: Layout | None = None, **kwargs
    ):
        super().__init__(**kwargs)
        self.faces, self.crop, self.recipe, self.encode = faces, crop, recipe, encode
        self.seed, self.first_step, self.size = seed, 0, recipe.input_size
        self.layout = layout or faces.dataset.layout

    @abc.abstractmethod
    def _at(self, place: int) -> int:
        """The face at a place of all rounds, one behind the other."""

    @abc.abstractmethod
    def _unmoved(self, chosen: Sequence[int]) -> tuple[np.ndarray, np.ndarray, Callable]:
        """Of some faces: points (chosen, points, 2) in crop pixels, matrices (chosen, 2, 3) from stored to crop, what
        makes images from moved matrices and disturbances."""

    @abc.abstractmethod
    def names(self, step: int) -> list[str]:
        """Image names of the faces in batch `step`."""

    @property
    def num_batches(self):
        return None  # without end: `fit` is told the steps of an epoch

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch."""
        return self.recipe.steps_per_epoch(len(self.faces))

    def chosen(self, step: int) -> list[int]:
        """Indices of the faces in batch `step`, (batch,)."""
        first = step * self.recipe.batch_size
        return [self._at(place) for place in range(first, first + self.recipe.batch_size)]

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.share(index, 0, 1)

    def share(self, index: int, rank: int, ranks: int) -> tuple[np.ndarray, np.ndarray]:
        """One of `ranks` equal parts of a batch, for the device `rank`; all of them together are the whole batch."""
        step = self.first_step + index
        rng = np.random.default_rng((self.seed, _MOVES, step))
        count = self.recipe.batch_size
        augmentation = self.recipe.augmentation_at(step, self.steps_per_epoch)
        moves, flips = sample_affine(rng, count, augmentation, self.size)
        disturbances = sample_photometric(rng, count, augmentation, self.size)
        part = slice(rank * count // ranks, (rank + 1) * count // ranks)
        landmarks, from_stored, sampled = self._unmoved(self.chosen(step)[part])
        landmarks = transform(landmarks, moves[part])  # (part, points, 2)
        landmarks[flips[part]] = mirror_landmarks(landmarks[flips[part]], self.layout.partners)
        images = sampled(compose(moves[part], from_stored), disturbances[part])  # (part, size, size, 3)
        return images, self.encode(landmarks, self.size)


class TrainingBatches(AugmentedBatches):
    """Moved training faces that lie in memory.

    Where they are in bins, a round shows equally many of each bin; an epoch is the same number of steps all the same.

    Args:
        faces, crop, recipe, encode, seed, layout: see AugmentedBatches.
        bins: indices of the faces of each bin; all faces are one bin where None.
        balance: from the bins' sizes to how many faces of each a round shows: `min` leaves faces of larger bins out,
            others in each round, `max` shows those of smaller bins repeatedly.
        sampler: what applies the drawn moves, made of faces and size: `CPUAugmentation` or `GPUAugmentation`.
        points: (faces, points, 2) in image pixels, what moves with a face and is encoded, and what `landmarks` then
            are; the faces' landmarks where None.
    """

    def __init__(
        self,
        faces: FaceDataset,
        crop: Crop,
        recipe: Recipe,
        encode: Callable,
        seed: int,
        bins: Sequence[np.ndarray] | None = None,
        balance: Callable[[Sequence[int]], int] = max,
        sampler: Callable[[FaceDataset, int], Callable] = CPUAugmentation,
        points: np.ndarray | None = None,
        **kwargs,
    ):
        super().__init__(faces, crop, recipe, encode, seed, **kwargs)
        matrices = faces.crop_matrices(crop, self.size)  # image -> crop
        self.landmarks = transform(faces.landmarks if points is None else points, matrices)  # (faces, points, 2)
        self._from_stored = compose(matrices, invert(faces.matrices))  # stored -> crop
        self._sample = sampler(faces, self.size)
        self.bins = [np.arange(len(faces))] if bins is None else list(bins)
        self.per_bin = balance([len(members) for members in self.bins])
        self._order = lru_cache(maxsize=2)(self._round)  # batches run through the rounds in their order

    def _round(self, number: int) -> np.ndarray:
        """The faces of a round in their order, (bins * per_bin,)."""
        rng = np.random.default_rng((self.seed, _ORDER, number))
        return rng.permutation(np.concatenate([_drawn(rng, members, self.per_bin) for members in self.bins]))

    def _at(self, place: int) -> int:
        number, rank = divmod(place, len(self.bins) * self.per_bin)
        return int(self._order(number)[rank])

    def _unmoved(self, chosen: Sequence[int]) -> tuple[np.ndarray, np.ndarray, Callable]:
        return self.landmarks[chosen], self._from_stored[chosen], partial(self._sample, chosen)

    def names(self, step: int) -> list[str]:
        return [self.faces.names[i] for i in self.chosen(step)]


def _drawn(rng: np.random.Generator, members: np.ndarray, count: int) -> np.ndarray:
    """`count` of the members: each as often as it goes, and the rest of them drawn without repetition."""
    times, rest = divmod(count, len(members))
    drawn = [rng.choice(members, rest, replace=False)] if rest else []
    return np.concatenate([*[members] * times, *drawn])


class RecordBatches(AugmentedBatches):
    """Moved training faces that lie in records and are read when they are needed.

    Args:
        faces: the records. crop, recipe, encode, seed: see AugmentedBatches.
        sampler: what applies the drawn moves, made of faces and size.

    Attributes:
        landmarks: (some faces, points, 2) in crop pixels, of the first MEAN_FACES of the first round.
    """

    def __init__(
        self,
        faces: FaceRecords,
        crop: Crop,
        recipe: Recipe,
        encode: Callable,
        seed: int,
        sampler: Callable[[FaceDataset, int], Callable] = CPUAugmentation,
        **kwargs,
    ):
        super().__init__(faces, crop, recipe, encode, seed, **kwargs)
        self._sampler = sampler
        grain = import_package("grain", PURPOSE, REQUIREMENTS)
        self._order = grain.MapDataset.range(len(faces)).seed(seed).shuffle().repeat()  # every round anew
        self.landmarks, _, _ = self._unmoved([self._at(place) for place in range(min(len(faces), MEAN_FACES))])

    def _at(self, place: int) -> int:
        return int(self._order[place])

    def names(self, step: int) -> list[str]:
        return self.faces.read(self.chosen(step)).names

    def _unmoved(self, chosen: Sequence[int]) -> tuple[np.ndarray, np.ndarray, Callable]:
        faces = self.faces.read(chosen)
        matrices = faces.crop_matrices(self.crop, self.size)  # (chosen, 2, 3), image -> crop
        sampled = partial(self._sampler(faces, self.size), range(len(faces)))
        return transform(faces.landmarks, matrices), compose(matrices, invert(faces.matrices)), sampled
