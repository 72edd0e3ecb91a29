"""Stored faces: the square region around every face, cropped, shrunk and kept as JPEG.

A face has a key, a digest of everything that it follows from, and the key is part of its file's name: a changed source
makes another file. `journal.jsonl` lists the finished faces, so that an interrupted preparation can be resumed.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from tqdm import tqdm

from config import INDEX_VERSION, JOURNAL_FILE, RECORDS_DIR, STORED_FACE
from face_datasets.catalogue import Dataset, Part, get_dataset
from face_datasets.normalisers import normaliser_distance
from face_datasets.readers import Annotation, read_face
from face_datasets.readers.synthetic import annotate_rendered, renderer_digest
from face_datasets.records import shard_length, write_listing, write_shard
from image_utility import compose, landmark_box, longer_side, shrink, warp
from utils.image_files import encode_image, write_image
from utils.processes import follow_parent, keep_freed_memory

RECORD_FACES = 4096  # in one file of records: ten million faces are 2,442 files, which a reader keeps open
CHUNK = 8  # faces a worker process takes at once


def store_faces(folder: Path, dataset: Dataset, annotations: list[Annotation], workers: int) -> list[dict]:
    """Store the faces that the journal does not list yet.

    Args:
        folder: of the data set, below the data root.
        dataset: a row of catalogue.DATASETS.
        annotations: the faces.
        workers: number of processes.

    Returns:
        The journal entry of every face: "face", its row of the index without the split, or "reason", why it is skipped.
    """
    keys = [_key(annotation) for annotation in annotations]
    done = read_journal(folder)
    jobs = [(folder, dataset.name, *job) for job in zip(annotations, keys, strict=True) if job[1] not in done]
    if not jobs:
        return [done[key] for key in keys]
    with (
        open(folder / JOURNAL_FILE, "a", encoding="utf-8") as journal,
        process_map(_store_job, jobs, workers) as results,
    ):
        journal.write("\n")  # ends a line that a kill cut short
        done_before = len(keys) - len(jobs)
        bar = tqdm(results, desc=dataset.title, unit="face", total=len(keys), initial=done_before, disable=None)
        for entry in bar:
            if "face" in entry:  # skipped faces are tried again next time
                journal.write(json.dumps(entry) + "\n")
                journal.flush()
            done[entry["key"]] = entry
    return [done[key] for key in keys]


def _key(annotation: Annotation) -> str:
    """Return a digest of everything a stored face follows from: source, annotation, settings."""
    if annotation.rendered:
        source = [renderer_digest(), annotation.size]
    else:
        status = annotation.source.stat()
        source = [status.st_size, status.st_mtime_ns]
    landmarks = None if annotation.landmarks is None else hashlib.sha256(annotation.landmarks.tobytes()).hexdigest()
    facts = [INDEX_VERSION, annotation.image, annotation.part.name, annotation.row, source, landmarks]
    facts += [annotation.photo_id, annotation.subsets, annotation.box, annotation.occluded]
    facts += [dataclasses.asdict(STORED_FACE)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def read_journal(folder: Path) -> dict[str, dict]:
    """Return the entries of finished faces by key.

    Lines that a kill cut short are passed over, as are faces whose file does not exist, has another size or lies
    outside the folder.
    """
    journal = {}
    path = folder / JOURNAL_FILE
    if not path.exists():
        return journal
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            file = PurePosixPath(entry["face"]["file"])
            if file.parts[0] == "faces" and ".." not in file.parts and _size(folder / file) == entry["bytes"]:
                journal[entry["key"]] = entry
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            continue
    return journal


def _size(path: Path) -> int:
    """Return the bytes of a file, -1 if it does not exist."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):  # also a name that no file can have
        return -1


def store_region(image: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crop the square region around a face by config.STORED_FACE; outside the image its edge pixels are repeated.

    The region begins and ends between whole pixels, so a face that is not shrunk keeps its pixels. A shrunk one is
    averaged over exactly the area that each new pixel covers: no aliasing, and a matrix without rounding.

    Args:
        image: uint8 RGB (height, width, 3).
        landmarks: (points, 2) in its 0-based pixels.

    Returns:
        The stored face, uint8 (side, side, 3), and the matrix (2, 3) from image pixels to its pixels.

    Raises:
        ValueError: the landmarks' box misses the image, or is far larger than it.
    """
    height, width = image.shape[:2]
    box, longer = landmark_box(landmarks), longer_side(landmarks)
    if box[0] >= width or box[1] >= height or box[2] < 0 or box[3] < 0:
        raise ValueError(f"landmarks within {_rounded(box)} miss the image of {width} x {height} pixels altogether")
    if longer > STORED_FACE.largest_box * max(width, height):
        raise ValueError(f"landmarks within {_rounded(box)} are far larger than the image of {width} x {height} pixels")
    side = max(1, int(np.ceil(STORED_FACE.context * longer)))  # image pixels
    centre = (box[:2] + box[2:]) / 2
    left, top = np.round(centre + 0.5 - side / 2).tolist()
    shift = np.array([[1, 0, -left], [0, 1, -top]])
    stored, smaller = shrink(warp(image, shift, side), STORED_FACE.box_pixels / longer)
    return stored, compose(smaller, shift)


def _rounded(box: np.ndarray) -> list[int]:
    """Return a box in whole pixels, for messages."""
    return [round(float(side)) for side in box]


def cut_face(dataset: Dataset, annotation: Annotation) -> tuple[np.ndarray, dict, int]:
    """Read or render a face and crop its stored face.

    Returns:
        The stored face, its row of the index without the split, and how many landmarks lie outside the image.

    Raises:
        ValueError, OSError: the picture, its landmarks or its box cannot be used.
    """
    image, annotation = read_face(annotation)
    for what, numbers in (("landmarks", annotation.landmarks), ("box", annotation.box)):
        wrong = 0 if numbers is None else np.count_nonzero(~np.isfinite(numbers))
        if wrong:
            raise ValueError(f"{wrong} numbers of its {what} are NaN or infinite; expected coordinates")
    landmarks = annotation.landmarks
    box = None if annotation.box is None else np.array([annotation.box])  # (1, 4)
    normaliser_distance(landmarks[None], dataset.layout, dataset.normaliser, [annotation.image], box)  # or no NME
    stored, matrix = store_region(image, landmarks)
    outside = (landmarks < 0).any(axis=1) | (landmarks > np.array(image.shape[1::-1]) - 1).any(axis=1)  # (points,)
    row = {
        "image": annotation.image,
        "part": annotation.part.name,
        "file": "",
        "subsets": list(annotation.subsets),
        "landmarks": np.round(landmarks, 6).tolist(),
        "matrix": matrix.tolist(),
        "box": annotation.box and list(annotation.box),
        "occluded": annotation.occluded and list(annotation.occluded),
        "photo": annotation.photo_id,
    }
    return stored, row, int(outside.sum())


def _store_face(folder: Path, dataset: Dataset, annotation: Annotation, key: str) -> dict:
    """Write one stored face; return its journal entry."""
    try:
        stored, row, outside = cut_face(dataset, annotation)
    except (ValueError, OSError) as error:
        return {"key": key, "reason": str(error)}
    name = Path(annotation.image)
    file = Path("faces", annotation.part.split, name.parent, f"{name.stem}.{key[:8]}.jpg")
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    write_image(folder / file, stored)
    return {"key": key, "bytes": _size(folder / file), "outside": outside, "face": {**row, "file": file.as_posix()}}


# --------------------------------------------------------------------------------------------------------------------
# Sharded records
# --------------------------------------------------------------------------------------------------------------------


def store_records(folder: Path, dataset: Dataset, index: dict, rendered: int, workers: int) -> dict[str, int]:
    """Write the training faces as sharded records; files that exist already stay.

    Args:
        folder: of the data set, below the data root.
        dataset: a row of catalogue.DATASETS.
        index: its index.
        rendered: number of faces to render straight into records; 0 takes the training faces of the index.
        workers: number of processes.

    Returns:
        file -> number of its faces, as in the listing.
    """
    target = folder / RECORDS_DIR
    rows = [row for row in index["faces"] if row["split"] == "train"]
    if rendered:
        held_out = {row["image"] for row in index["faces"] if row["split"] == "validation"}
        part = dataclasses.replace(dataset.parts[0], count=rendered)
        facts = [renderer_digest(), dataset.render_size, sorted(held_out), dataclasses.asdict(STORED_FACE)]
    count, shards = rendered or len(rows), {}
    for start in range(0, count, RECORD_FACES):
        stop = min(start + RECORD_FACES, count)
        if rendered:
            content, faces = facts, functools.partial(rendered_faces, dataset, part, range(start, stop), held_out)
        else:
            content, faces = rows[start:stop], functools.partial(indexed_faces, folder, rows[start:stop])
        key = hashlib.sha256(json.dumps([INDEX_VERSION, start, stop, content]).encode()).hexdigest()[:16]
        shards[target / f"{start // RECORD_FACES:06d}.{key}.array_record"] = faces
    with process_map(_shard_job, list(shards.items()), workers, chunk=1) as counts:
        bar = tqdm(counts, desc=f"{dataset.title} records", unit="file", total=len(shards), disable=None)
        found = {path.name: faces for path, faces in zip(shards, bar, strict=True)}
    write_listing(target, index, found)
    for path in target.glob("*.array_record"):
        if path.name not in found:
            path.unlink()
    return found


def indexed_faces(folder: Path, rows: list[dict]) -> Iterator[tuple[dict, bytes]]:
    """Yield stored faces of the index as (row, JPEG)."""
    for row in rows:
        yield {**row, "file": ""}, (folder / row["file"]).read_bytes()


def rendered_faces(
    dataset: Dataset, part: Part, numbers: Iterable[int], held_out: set[str]
) -> Iterator[tuple[dict, bytes]]:
    """Render training faces by number, except those held out, and yield them as (row, JPEG)."""
    for number in numbers:
        annotation = annotate_rendered(dataset, part, number)
        if annotation.image in held_out:
            continue
        with contextlib.suppress(ValueError):  # a face without extent
            stored, row, _ = cut_face(dataset, annotation)
            yield {**row, "split": "train"}, encode_image(stored, ".jpg")


# --------------------------------------------------------------------------------------------------------------------
# Worker processes
# --------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def process_map(work: Callable, jobs: list, workers: int, chunk: int = CHUNK) -> Iterator[Iterable]:
    """Yield the results of work(job) in order, from this process or from several, which end with the context."""
    workers = min(workers, len(jobs) // chunk)
    if workers < 2:
        yield map(work, jobs)
        return
    context = multiprocessing.get_context("spawn")  # the same on every system, and safe with OpenCV's threads
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield pool.map(work, jobs, chunksize=chunk)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _store_job(job: tuple[Path, str, Annotation, str]) -> dict:
    """Store one face in a worker process."""
    folder, dataset_name, annotation, key = job
    return _store_face(folder, get_dataset(dataset_name), annotation, key)


def _shard_job(job: tuple[Path, Callable]) -> int:
    """Write one file of records unless it exists; return the number of its faces."""
    path, faces = job
    return shard_length(path) if path.is_file() else write_shard(path, faces())


def _start_worker() -> None:
    """Set up a worker process: one thread, freed memory kept, an end with its parent."""
    cv2.setNumThreads(1)
    keep_freed_memory()
    follow_parent()
