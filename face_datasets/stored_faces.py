"""Stored faces: the square region around every face, cut, shrunk and kept as JPEG, each of them done only once.

A face has a key, a digest of everything that it follows from, and the key is in its file's name: a changed source makes
another file. `journal.jsonl` lists the finished faces; a run that was interrupted goes on from it.
"""

import contextlib
import dataclasses
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
from face_datasets.catalogue import Dataset, get_dataset
from face_datasets.normalisers import normaliser_distance
from face_datasets.readers import Annotation, read_face
from face_datasets.readers.synthetic import rendered_face, renderer_digest
from face_datasets.records import shard_length, write_listing, write_shard
from image_utility import compose, landmark_box, longer_side, shrink, warp
from utils.image_files import encode_image, write_image
from utils.processes import follow_parent, keep_freed_memory

RECORD_FACES = 4096  # in one file of records: ten million faces are 2,442 files, which reading keeps open
CHUNK = 8  # faces a worker process takes at once


def finished_entries(folder: Path, dataset: Dataset, raw_faces: list[Annotation], workers: int) -> list[dict]:
    """The journal entry of every face; stores the faces that are not in the journal yet, and adds them one by one."""
    keys = [_key(raw) for raw in raw_faces]
    done = read_journal(folder)
    jobs = [(folder, dataset.name, *job) for job in zip(raw_faces, keys, strict=True) if job[1] not in done]
    if not jobs:
        return [done[key] for key in keys]
    with open(folder / JOURNAL_FILE, "a", encoding="utf-8") as journal, each_result(_work, jobs, workers) as results:
        journal.write("\n")  # ends a line that a kill cut short
        done_before = len(keys) - len(jobs)
        bar = tqdm(results, desc=dataset.title, unit="face", total=len(keys), initial=done_before, disable=None)
        for entry in bar:
            if "face" in entry:  # the others are tried again next time
                journal.write(json.dumps(entry) + "\n")
                journal.flush()
            done[entry["key"]] = entry
    return [done[key] for key in keys]


def _key(raw: Annotation) -> str:
    """A digest of everything a stored face follows from; it changes when the source, annotation or settings do."""
    if raw.rendered:
        source = [renderer_digest(), raw.size]
    else:
        status = raw.source.stat()
        source = [status.st_size, status.st_mtime_ns]
    landmarks = None if raw.landmarks is None else hashlib.sha256(raw.landmarks.tobytes()).hexdigest()
    facts = [INDEX_VERSION, raw.image, raw.part.name, raw.row, source, landmarks, raw.photo]
    facts += [raw.subsets, raw.box, raw.occluded, dataclasses.asdict(STORED_FACE)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def read_journal(folder: Path) -> dict[str, dict]:
    """Finished faces by key.

    A line that a kill cut short does not count, nor a face with NaN, which older versions stored, nor one whose file is
    gone, differs or lies elsewhere.
    """
    journal = {}
    path = folder / JOURNAL_FILE
    if not path.exists():
        return journal
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line, parse_constant=_refuse)
            file = PurePosixPath(entry["face"]["file"])
            if file.parts[0] == "faces" and ".." not in file.parts and _size(folder / file) == entry["bytes"]:
                journal[entry["key"]] = entry
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            continue
    return journal


def _refuse(constant: str) -> None:
    raise ValueError(f"no number of JSON. Received {constant}")


def _size(path: Path) -> int:
    """Bytes of a file, -1 if there is none."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):  # also a name that no file can have
        return -1


def store_region(image: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the square around a face as config.STORED_FACE says; outside the image its edge pixels are repeated.

    The region begins and ends between whole pixels, so a face that is not shrunk keeps its pixels, and a shrunk one is
    averaged over exactly the area that each new pixel covers: no aliasing, and a matrix without rounding.

    Args:
        image: uint8 RGB (height, width, 3). landmarks: (points, 2) in its 0-based pixels.

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
    """A box as whole pixels, for messages."""
    return [round(float(side)) for side in box]


def cut_face(dataset: Dataset, raw: Annotation) -> tuple[np.ndarray, dict, int]:
    """Reads or renders a face, and cuts its stored face.

    Returns:
        The stored face, its row of the index without the split, and how many landmarks lie outside the image.

    Raises:
        ValueError, OSError: the picture, its landmarks or its box cannot be used.
    """
    image, raw = read_face(raw)
    for what, numbers in (("landmarks", raw.landmarks), ("box", raw.box)):
        wrong = 0 if numbers is None else np.count_nonzero(~np.isfinite(numbers))
        if wrong:
            raise ValueError(f"{wrong} numbers of its {what} are NaN or infinite; expected coordinates")
    landmarks, box = raw.landmarks, None if raw.box is None else np.array([raw.box])  # (1, 4)
    normaliser_distance(landmarks[None], dataset.layout, dataset.normaliser, [raw.image], box)  # or it has no NME
    stored, matrix = store_region(image, landmarks)
    outside = (landmarks < 0).any(axis=1) | (landmarks > np.array(image.shape[1::-1]) - 1).any(axis=1)  # (points,)
    face = {
        "image": raw.image,
        "part": raw.part.name,
        "file": "",
        "subsets": list(raw.subsets),
        "landmarks": np.round(landmarks, 6).tolist(),
        "matrix": matrix.tolist(),
        "box": raw.box and list(raw.box),
        "occluded": raw.occluded and list(raw.occluded),
        "photo": raw.photo,
    }
    return stored, face, int(outside.sum())


def _store_face(folder: Path, dataset: Dataset, raw: Annotation, key: str) -> dict:
    """Writes one stored face. Gives its journal entry: the face as the index has it, or why there is none."""
    try:
        stored, face, outside = cut_face(dataset, raw)
    except (ValueError, OSError) as error:
        return {"key": key, "reason": str(error)}
    name = Path(raw.image)
    file = Path("faces", raw.part.split, name.parent, f"{name.stem}.{key[:8]}.jpg")
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    write_image(folder / file, stored)
    return {"key": key, "bytes": _size(folder / file), "outside": outside, "face": {**face, "file": file.as_posix()}}


# --------------------------------------------------------------------------------------------------------------------
# Sharded records
# --------------------------------------------------------------------------------------------------------------------


def store_records(folder: Path, dataset: Dataset, index: dict, rendered: int, workers: int) -> dict[str, int]:
    """Writes the training faces as sharded records, one file after the other; those that are there stay.

    Args:
        folder: of the data set. index: its index.
        rendered: how many faces to render straight into records; 0 takes the training faces of the index.

    Returns:
        file -> its faces, as written to the list of the files.
    """
    target = folder / RECORDS_DIR
    rows = [row for row in index["faces"] if row["split"] == "train"]
    if rendered:
        held_out = {row["image"] for row in index["faces"] if row["split"] == "validation"}
        part = dataclasses.replace(dataset.parts[0], count=rendered)
        facts = [renderer_digest(), dataset.render_size, sorted(held_out), dataclasses.asdict(STORED_FACE)]
    else:
        held_out, part, facts = set(), None, rows
    jobs = []
    for start in range(0, rendered or len(rows), RECORD_FACES):
        stop = min(start + RECORD_FACES, rendered or len(rows))
        content = facts if rendered else rows[start:stop]
        key = hashlib.sha256(json.dumps([INDEX_VERSION, start, stop, content]).encode()).hexdigest()[:16]
        path = target / f"{start // RECORD_FACES:06d}.{key}.array_record"
        jobs.append((path, folder, dataset, part, (start, stop), held_out, None if rendered else rows[start:stop]))
    with each_result(_write_records, jobs, workers, chunk=1) as counts:
        bar = tqdm(counts, desc=f"{dataset.title} records", unit="file", total=len(jobs), disable=None)
        found = {job[0].name: count for job, count in zip(jobs, bar, strict=True)}
    write_listing(target, index, found)
    for path in target.glob("*.array_record"):
        if path.name not in found:
            path.unlink()
    return found


def _write_records(job: tuple) -> int:
    """Writes one file of records unless it is there; gives the number of its faces."""
    path, folder, dataset, part, (start, stop), held_out, rows = job
    if path.is_file():
        return shard_length(path)
    faces = []
    if rows is not None:
        faces = [({**row, "file": ""}, (folder / row["file"]).read_bytes()) for row in rows]
    else:
        for number in range(start, stop):
            raw = rendered_face(dataset, part, number)
            if raw.image in held_out:
                continue
            with contextlib.suppress(ValueError):  # a face without extent
                stored, face, _ = cut_face(dataset, raw)
                faces.append(({**face, "split": "train"}, encode_image(stored, ".jpg")))
    write_shard(path, faces)
    return len(faces)


@contextlib.contextmanager
def each_result(work: Callable, jobs: list, workers: int, chunk: int = CHUNK) -> Iterator[Iterable]:
    """What work(job) gives for all jobs, in order, from this process or from several; none is left behind."""
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


def _work(job: tuple) -> dict:
    """One job of a worker process."""
    folder, dataset_name, raw, key = job
    return _store_face(folder, get_dataset(dataset_name), raw, key)


def _start_worker() -> None:
    """Readies a worker: one thread each, memory at hand, and its parent decides when it ends."""
    cv2.setNumThreads(1)
    keep_freed_memory()
    follow_parent()
