"""The files of sharded records: ArrayRecords, in which any record can be read at once."""

import json
import os
import types
from collections.abc import Sequence
from pathlib import Path

from config import RECORDS_DIR, Dataset
from optional_packages import import_package
from safe_files import replace_file

PURPOSE, REQUIREMENTS = "reading a set in a stream", "requirements-records.txt"


def records_folder(data_dir: str | os.PathLike, dataset: Dataset) -> Path:
    """Where the records of a data set lie."""
    return Path(data_dir) / dataset.name / RECORDS_DIR


def write_shard(path: Path, faces: Sequence[tuple[dict, bytes]]) -> None:
    """Writes faces, (row of the index, JPEG) each, as one file, whole or not at all."""
    module = array_record("array_record_module")

    def write(beside: Path) -> None:
        writer = module.ArrayRecordWriter(str(beside), "group_size:1")  # any face can be read alone
        for row, jpeg in faces:
            writer.write(json.dumps(row).encode() + b"\n" + jpeg)
        writer.close()
        if shard_length(beside) != len(faces):  # the writer says nothing of a full disk
            raise OSError(f"{path} could not be written whole, perhaps for want of room")

    replace_file(path, write)


def shard_length(path: Path) -> int:
    """How many faces a file holds.

    Raises:
        ValueError: it is no whole ArrayRecord.
    """
    try:
        reader = array_record("array_record_module").ArrayRecordReader(str(path))
        count = reader.num_records()
        reader.close()
    except RuntimeError as error:
        raise ValueError(f"{path} is no whole file of records: {error}") from error
    return count


def array_record(module: str) -> types.ModuleType:
    """A module of the package array_record.

    Raises:
        ImportError: the package is not installed.
    """
    return import_package(f"array_record.python.{module}", PURPOSE, REQUIREMENTS)
