"""A prepared data set in memory: the files that data_helper.py wrote below the data root, and crops of its faces."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np

from config import INDEX_FILE, INDEX_VERSION, Crop, DatasetName
from face_datasets.catalogue import Dataset, get_dataset
from face_datasets.normalisers import normaliser_distance
from image_utility import compose, crop_matrix, invert, longer_side, shrink, to_network, transform, warp
from utils.image_files import read_image

SUBSET_STREAM = 2  # random stream of a seed; training/batches.py has the others


@dataclasses.dataclass
class FaceDataset:
    """One split of a prepared data set, in memory.

    Args:
        dataset: a row of catalogue.DATASETS.
        split: "train", "validation", "test" or "private".
        names: of the faces, the images' paths below the set's root.
        images: stored faces, each uint8 RGB (height, width, 3).
        landmarks: (faces, points, 2) in pixels of the image as the set distributes it.
        matrices: (faces, 2, 3) from those pixels to the pixels of `images`.
        subsets: test subsets of every face.
        missing: the split's parts that were missing when the set was prepared.
        boxes: (faces, 4) left, top, right, bottom in pixels of the image; None unless every face has one.
    """

    dataset: Dataset
    split: str
    names: list[str]
    images: list[np.ndarray]
    landmarks: np.ndarray
    matrices: np.ndarray
    subsets: list[tuple[str, ...]]
    missing: list[dict]
    boxes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def random_subset(self, count: int, seed: int) -> "FaceDataset":
        """Draw `count` of the faces at random, in their old order.

        Raises:
            ValueError: the data set has fewer faces.
        """
        if not 1 <= count <= len(self):
            raise ValueError(f"cannot draw that many {self.split} faces. Received {count}; expected 1 to {len(self)}")
        chosen = np.random.default_rng((seed, SUBSET_STREAM)).permutation(len(self))[:count]
        return self.read(np.sort(chosen))

    def read(self, indices: Sequence[int]) -> "FaceDataset":
        """Return some of the faces, in the order of `indices`; their images are shared, not copied."""
        indices = np.asarray(indices, int)
        return dataclasses.replace(
            self,
            names=[self.names[i] for i in indices],
            images=[self.images[i] for i in indices],
            landmarks=self.landmarks[indices],
            matrices=self.matrices[indices],
            subsets=[self.subsets[i] for i in indices],
            boxes=None if self.boxes is None else self.boxes[indices],
        )

    def concatenate(self, others: "FaceDataset") -> "FaceDataset":
        """Append the faces of another data set with the same landmark layout, as faces of this one.

        Raises:
            ValueError: the other data set has another layout.
        """
        if others.dataset.layout != self.dataset.layout:
            raise ValueError(
                f"faces of {others.dataset.title} cannot be added to those of {self.dataset.title}. Received "
                f"{others.dataset.layout.points} landmarks; expected the same {self.dataset.layout.points}"
            )
        return dataclasses.replace(
            self,
            names=self.names + others.names,
            images=self.images + others.images,
            landmarks=np.concatenate([self.landmarks, others.landmarks]),
            matrices=np.concatenate([self.matrices, others.matrices]),
            subsets=self.subsets + others.subsets,
            boxes=None,
        )

    def normaliser_distance(self) -> np.ndarray:
        """Return the data set's own normaliser (faces,) of every face, in image pixels."""
        dataset = self.dataset
        return normaliser_distance(self.landmarks, dataset.layout, dataset.normaliser, self.names, self.boxes)

    def fingerprint(self) -> dict:
        """Return the number of faces and a digest of their names and landmarks."""
        digest = hashlib.sha256("\n".join(self.names).encode() + self.landmarks.tobytes())
        return {"n": len(self), "sha256": digest.hexdigest()}

    def crop_matrices(self, crop: Crop, size: int) -> np.ndarray:
        """Return the matrix (faces, 2, 3) of every face from image pixels to crop pixels."""
        return np.stack([crop_matrix(crop, landmarks, size) for landmarks in self.landmarks])

    def crops(self, crop: Crop, size: int, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Crop some of the faces without augmentation.

        Returns:
            images (indices, size, size, 3), uint8, and the matrices (indices, 2, 3) from image to crop pixels.
        """
        faces = self.read(indices)
        matrices = faces.crop_matrices(crop, size)
        from_stored = compose(matrices, invert(faces.matrices))
        images = [warp(image, matrix, size) for image, matrix in zip(faces.images, from_stored, strict=True)]
        return np.stack(images), matrices


def prepare_command(data_dir: str | os.PathLike, dataset: Dataset) -> str:
    """Return the command that prepares a data set, for errors."""
    raw = "" if dataset.rendered else " --raw DIR"
    return f"python data_helper.py --dataset {dataset.title}{raw} --out {data_dir}"


def read_index(data_dir: str | os.PathLike, dataset: Dataset) -> dict:
    """Return the index of a prepared data set.

    Raises:
        FileNotFoundError: the set is not prepared; the message names the command.
        ValueError: the file is not an index of this data set.
    """
    path = Path(data_dir) / dataset.name / INDEX_FILE
    command = prepare_command(data_dir, dataset)
    if not path.is_file():
        raise FileNotFoundError(f"{dataset.title} is not prepared: no {path}. Prepare it with: {command}")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        found = (index["dataset"], index["version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not an index of prepared faces ({error!r}). Make it again: {command}") from error
    if found != (dataset.title, INDEX_VERSION):
        raise ValueError(f"{path} does not fit. Received {found}; expected {(dataset.title, INDEX_VERSION)}: {command}")
    try:
        missing = [(part["part"], part["count"]) for part in index["missing"]]
        good = all(isinstance(part, str) and isinstance(count, int) for part, count in missing)
        bad = next((number for number, row in enumerate(index["faces"]) if not is_face(row, dataset)), None)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} has another form ({error!r}). Make it again: {command}") from error
    if bad is not None or not good:
        what = f"face {bad}" if good else "missing parts"
        raise ValueError(f"{path} has another form. Received {what} that data_helper.py did not write: {command}")
    return index


def is_face(row: dict, dataset: Dataset) -> bool:
    """Return whether a row of an index is a valid face of this data set, with a file below the set's folder."""
    try:
        landmarks, matrix = np.array(row["landmarks"]), np.array(row["matrix"])
        box = np.zeros(4) if row["box"] is None else np.array(row["box"])
        numbers = all(array.dtype.kind in "iuf" and np.isfinite(array).all() for array in (landmarks, matrix, box))
        if not numbers or (landmarks.shape, matrix.shape, box.shape) != ((dataset.layout.points, 2), (2, 3), (4,)):
            return False
        texts = [row["image"], row["split"], row["file"], *row["subsets"]]
        file = PurePosixPath(row["file"])
        inside = not file.is_absolute() and ".." not in file.parts and "\0" not in row["file"]
        longer = longer_side(transform(landmarks, matrix))
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    return inside and all(isinstance(text, str) for text in texts) and bool(0 < longer < np.inf)


def load_faces(
    data_dir: str | os.PathLike, dataset_name: DatasetName | str, split: str, input_size: int | None = None
) -> FaceDataset:
    """Load one split of a prepared data set.

    Args:
        data_dir: the data root.
        dataset_name: "300W", "COFW", ... as in catalogue.DATASETS.
        split: "train", "validation", "test" or "private".
        input_size: of the network, in pixels; stored faces are shrunk by area until the box's longer side has this
            length, which saves memory and time. None keeps their size.

    Raises:
        FileNotFoundError: the set is not prepared.
        ValueError: the split holds no face, or a stored face cannot be read.
    """
    dataset = get_dataset(dataset_name)
    index = read_index(data_dir, dataset)
    rows = [row for row in index["faces"] if row["split"] == split]
    if not rows:
        splits = sorted({row["split"] for row in index["faces"]})
        missing = [part["part"] for part in index["missing"]]
        raise ValueError(
            f"{dataset.title} has no {split} faces in {data_dir}. Found {splits}; missing parts: {missing}"
        )
    folder = Path(data_dir) / dataset.name
    of_split = {part.name for part in dataset.parts if part.split == split}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        loaded = list(pool.map(lambda row: _load_face(folder, row, input_size), rows))
    return FaceDataset(
        dataset=dataset,
        split=split,
        names=[row["image"] for row in rows],
        images=[image for image, _ in loaded],
        landmarks=np.array([row["landmarks"] for row in rows], np.float64),  # (faces, points, 2)
        matrices=np.stack([matrix for _, matrix in loaded]),  # (faces, 2, 3)
        subsets=[tuple(row["subsets"]) for row in rows],
        missing=[part for part in index["missing"] if part["part"] in of_split],
        boxes=np.array([row["box"] for row in rows], np.float64) if all(row["box"] for row in rows) else None,
    )


def _load_face(folder: Path, row: dict, input_size: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return a stored face, shrunk for the input, and its matrix from image pixels."""
    path = folder / row["file"]
    try:
        return shrink_face(read_image(path), row, input_size)
    except OSError as error:
        reason = f"cannot be read ({error.strerror}), though the index names it"
        raise ValueError(f"{path} {reason}. Prepare the data set again") from error


def shrink_face(image: np.ndarray, row: dict, input_size: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Shrink a stored face for the input; return it and its matrix from image pixels.

    Args:
        image: the stored face, uint8 (height, width, 3).
        row: its row of the index.
        input_size: of the network, in pixels; None keeps the face's size.
    """
    matrix = np.array(row["matrix"], np.float64)
    stored = transform(np.array(row["landmarks"], np.float64), matrix)  # (points, 2)
    image, smaller = shrink(image, input_size / longer_side(stored) if input_size else 1)
    return image, compose(smaller, matrix)


def crop_batches(faces: FaceDataset, crop: Crop, size: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Crop every face once, in order, without augmentation.

    Yields:
        images (batch, size, size, 3), float32 in [0, 1], and matrices (batch, 2, 3) from image to crop pixels. The last
        batch may be smaller.
    """
    for start in range(0, len(faces), batch_size):
        images, matrices = faces.crops(crop, size, range(start, min(start + batch_size, len(faces))))
        yield to_network(images), matrices
