"""Prepared faces as sharded records, for data sets that are larger than memory.

    python data_helper.py --dataset synthetic --records 1000000
    python train.py --stream

A record is one line of JSON, the face's row of the index, followed by its stored JPEG. The files are ArrayRecords
(package array_record) with random access; Grain shuffles without a table of the order. Neither faces nor landmarks
stay in memory, so memory does not grow with the set.
"""

import hashlib
import json
import os
import types
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from config import RECORDS_DIR
from face_datasets.catalogue import Dataset
from face_datasets.face_dataset import FaceDataset, is_face, prepare_command, read_index, shrink_face
from utils.files import atomic_write, write_json
from utils.image_files import decode_image
from utils.optional_packages import import_package


class FaceRecords:
    """The training faces of a data set as records, not in memory.

    Args:
        data_dir: the data root.
        dataset: a row of catalogue.DATASETS.
        input_size: of the network, in pixels; stored faces are shrunk for it.

    Raises:
        FileNotFoundError: there are no records; the message names the command.
        OSError: there are more files than this process may open.
        ValueError: a file is damaged, or faces were held out after the records had been written.
        ImportError: the package array_record is not installed.
    """

    split = "train"

    def __init__(self, data_dir: str | os.PathLike, dataset: Dataset, input_size: int):
        self.dataset, self.input_size = dataset, input_size
        folder = records_folder(data_dir, dataset)
        command = f"{prepare_command(data_dir, dataset)} --records"
        shards = read_listing(folder, dataset, read_index(data_dir, dataset), command)
        allow_open(len(shards))  # a file that was read once stays open
        self._digest = hashlib.sha256(json.dumps({path.name: n for path, n in shards.items()}).encode()).hexdigest()
        self._source = array_record("array_record_data_source").ArrayRecordDataSource([str(path) for path in shards])

    def __len__(self) -> int:
        return len(self._source)

    def fingerprint(self) -> dict:
        """Return the number of faces and a digest of the files' names, which follow from their content."""
        return {"n": len(self), "sha256": self._digest}

    def read(self, indices: Sequence[int]) -> FaceDataset:
        """Read some of the faces into memory, in the order of `indices`.

        Raises:
            ValueError: a record is not a face of this data set.
        """
        try:
            records = self._source.__getitems__(list(indices))
        except RuntimeError as error:
            if "Too many open files" in str(error):
                raise OSError(f"the records of {self.dataset.title} cannot be opened: {error}") from error
            raise ValueError(f"the records of {self.dataset.title} are damaged: {error}. Prepare them again") from error
        faces = [self._face(data, i) for i, data in zip(indices, records, strict=True)]
        return FaceDataset(
            dataset=self.dataset,
            split=self.split,
            names=[row["image"] for row, _, _ in faces],
            images=[image for _, image, _ in faces],
            landmarks=np.array([row["landmarks"] for row, _, _ in faces], np.float64),  # (indices, points, 2)
            matrices=np.stack([matrix for _, _, matrix in faces]),  # (indices, 2, 3)
            subsets=[()] * len(faces),
            missing=[],
        )

    def _face(self, data: bytes, number: int) -> tuple[dict, np.ndarray, np.ndarray]:
        """Return the row of a record, its stored face, shrunk, and the matrix from image pixels to that."""
        header, _, jpeg = data.partition(b"\n")
        try:
            row = json.loads(header)
        except (ValueError, RecursionError):
            row = None
        if not is_face(row, self.dataset):
            raise ValueError(f"record {number} is not a face of {self.dataset.title}. Prepare the records again")
        return row, *shrink_face(decode_image(jpeg, row["image"]), row, self.input_size)


RECORDS_FILE = "records.json"  # the listing of a folder of records
OTHER_FILES = 256  # that a process may have open besides its records
PURPOSE, REQUIREMENTS = "streaming a data set", "requirements-records.txt"


def records_folder(data_dir: str | os.PathLike, dataset: Dataset) -> Path:
    """Return the folder of a data set's records."""
    return Path(data_dir) / dataset.name / RECORDS_DIR


def held_out_digest(index: dict) -> str:
    """Return a digest of the faces that training must not see; records of another index may hold them."""
    held_out = sorted((face["split"], face["image"]) for face in index["faces"] if face["split"] != "train")
    return hashlib.sha256(json.dumps(held_out).encode()).hexdigest()


def write_listing(folder: Path, index: dict, files: dict[str, int]) -> None:
    """Write the listing that makes a folder of records valid: file name -> number of faces, and the held-out digest."""
    write_json(folder / RECORDS_FILE, {"held_out": held_out_digest(index), "files": files})


def read_listing(folder: Path, dataset: Dataset, index: dict, command: str) -> dict[Path, int]:
    """Return the files of the records in a folder and the number of faces in each.

    Args:
        folder: of the records.
        dataset: a row of catalogue.DATASETS.
        index: its index.
        command: that writes the records, for the errors.

    Raises:
        FileNotFoundError: there are no records.
        ValueError: the listing or a file is damaged, or faces have been held out since.
    """
    listing = folder / RECORDS_FILE
    if not listing.is_file():
        raise FileNotFoundError(f"{dataset.title} has no records: no {listing}. Make them with: {command}")
    try:
        content = json.loads(listing.read_bytes())
        files = {folder / Path(name).name: int(count) for name, count in content["files"].items()}
        held_out = str(content["held_out"])
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError(f"{listing} does not list files of records: {error!r}. Make them with: {command}") from error
    if held_out != held_out_digest(index):
        raise ValueError(
            f"{listing} belongs to another index: its records may hold faces that are held out now. Make them with: "
            f"{command}"
        )
    try:
        wrong = next((path for path, count in files.items() if shard_length(path) != count), None)
    except ValueError as error:
        raise ValueError(f"{error}. {listing} names it; remove it, and: {command}") from error
    if wrong or not files:
        raise ValueError(
            f"{wrong or listing} does not hold as many faces as {listing} lists. Remove it, and: {command}"
        )
    return files


def allow_open(count: int) -> None:
    """Raise the limit of open files of this process, for `count` files of records.

    Raises:
        OSError: the system does not allow as many.
    """
    import resource  # exists on POSIX systems only, as does array_record

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + OTHER_FILES
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise OSError(f"too many files of records. Received {count}; this system lets a process open {hard} files")
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def write_shard(path: Path, faces: Iterable[tuple[dict, bytes]]) -> int:
    """Write faces, (row of the index, JPEG) each, as one file of records, atomically.

    Returns:
        The number of faces.
    """
    module = array_record("array_record_module")
    count = 0
    with atomic_write(path) as temporary:
        writer = module.ArrayRecordWriter(str(temporary), "group_size:1")  # every face can be read alone
        for row, jpeg in faces:
            writer.write(json.dumps(row).encode() + b"\n" + jpeg)
            count += 1
        writer.close()
        if shard_length(temporary) != count:  # the writer does not report a full disk
            raise OSError(f"{path} could not be written completely; the disk may be full")
    return count


def shard_length(path: Path) -> int:
    """Return the number of faces in a file.

    Raises:
        ValueError: it is not a valid ArrayRecord.
    """
    try:
        reader = array_record("array_record_module").ArrayRecordReader(str(path))
        count = reader.num_records()
        reader.close()
    except RuntimeError as error:
        raise ValueError(f"{path} is not a valid file of records: {error}") from error
    return count


def array_record(module: str) -> types.ModuleType:
    """Import a module of the package array_record.

    Raises:
        ImportError: the package is not installed.
    """
    return import_package(f"array_record.python.{module}", PURPOSE, REQUIREMENTS)
