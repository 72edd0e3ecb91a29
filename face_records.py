"""Prepared faces as sharded records that are read in a stream, for sets that no memory holds.

    python data_helper.py --dataset synthetic --records 1000000
    python train.py --records

A record is one line of JSON, the face as the index has it, and its stored JPEG. The files are ArrayRecords (package
array_record), in which any face can be read at once; Grain draws the order of a round without a table of it. Neither a
list of faces nor their landmarks are kept, so memory does not grow with the set.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from config import Crop, Dataset
from face_batches import HostSampler, MovedBatches
from image_utility import compose, invert, transform
from optional_packages import import_package
from picture_files import decode_image
from prepared_faces import Faces, is_face, read_index, shrink_face
from recipes import Recipe
from record_files import PURPOSE, REQUIREMENTS, allow_open, array_record, read_listing, records_folder

MEAN_FACES = 1000  # whose mean face a new network starts at


class FaceRecords:
    """The training faces of a data set as records, none of them in memory.

    Args:
        data_dir: the data root. input_size: of the network; stored faces are shrunk for it.

    Raises:
        FileNotFoundError: there are none; the message names the command.
        OSError: there are more files than this process may open.
        ValueError: a file is not whole, or faces were held out after the records had been written.
        ImportError: the package array_record is not installed.
    """

    split = "train"

    def __init__(self, data_dir: str | os.PathLike, dataset: Dataset, input_size: int):
        self.dataset, self.input_size = dataset, input_size
        folder = records_folder(data_dir, dataset)
        command = f"python data_helper.py --dataset {dataset.title} --out {data_dir} --records"
        shards = read_listing(folder, dataset, read_index(data_dir, dataset), command)
        allow_open(len(shards))  # a file that was read once stays open
        self._digest = hashlib.sha256(json.dumps({path.name: n for path, n in shards.items()}).encode()).hexdigest()
        self._source = array_record("array_record_data_source").ArrayRecordDataSource([str(path) for path in shards])

    def __len__(self) -> int:
        return len(self._source)

    def summary(self) -> dict:
        """How many faces, and a digest of the files' names, which follow from their content."""
        return {"n": len(self), "sha256": self._digest}

    def read(self, chosen: Sequence[int]) -> Faces:
        """Some of the faces, in memory.

        Raises:
            ValueError: a record is no face of this data set.
        """
        try:
            records = self._source.__getitems__(list(chosen))
        except RuntimeError as error:
            if "Too many open files" in str(error):
                raise OSError(f"the records of {self.dataset.title} cannot be opened: {error}") from error
            raise ValueError(f"the records of {self.dataset.title} are damaged: {error}. Prepare them again") from error
        faces = [self._face(data, i) for i, data in zip(chosen, records, strict=True)]
        return Faces(
            dataset=self.dataset,
            split=self.split,
            names=[row["image"] for row, _, _ in faces],
            images=[image for _, image, _ in faces],
            landmarks=np.array([row["landmarks"] for row, _, _ in faces], np.float64),  # (chosen, points, 2)
            matrices=np.stack([matrix for _, _, matrix in faces]),  # (chosen, 2, 3)
            subsets=[()] * len(faces),
            missing=[],
        )

    def _face(self, data: bytes, number: int) -> tuple[dict, np.ndarray, np.ndarray]:
        """The row of a record, its stored image, shrunk, and the matrix from image pixels to that."""
        header, _, jpeg = data.partition(b"\n")
        try:
            row = json.loads(header)
        except (ValueError, RecursionError):
            row = None
        if not is_face(row, self.dataset):
            raise ValueError(f"record {number} is no face of {self.dataset.title}. Prepare the records again")
        return row, *shrink_face(decode_image(jpeg, row["image"]), row, self.input_size)


class RecordBatches(MovedBatches):
    """Moved training faces that lie in records and are read when they are needed.

    Args:
        faces: the records. crop, recipe, encode, seed: see MovedBatches.
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
        sampler: Callable[[Faces, int], Callable] = HostSampler,
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
