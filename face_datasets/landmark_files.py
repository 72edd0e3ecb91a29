"""Truth and predictions files, of any program.

A JSON list of {"image": NAME, "landmarks": [[x, y], ...]}, in 0-based pixels of the image as its set distributes it. An
entry of a truth file may add "subsets" and "box". ace_net/outline_files.py reads files of "anchors" and "contours".
"""

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Entry(NamedTuple):
    """One entry of a truth or predictions file: landmarks (points, 2) in image pixels, optional subsets and box."""

    landmarks: np.ndarray
    subsets: tuple[str, ...] | None = None
    box: np.ndarray | None = None  # (4,) left, top, right, bottom


def read_entries(path: str | Path, points: int) -> dict[str, Entry]:
    """Read a truth or predictions file.

    Args:
        path: of the file.
        points: number of landmarks.

    Returns:
        image name -> Entry, in the file's order.

    Raises:
        ValueError: not JSON, another form, a repeated image, a wrong number of landmarks, or a coordinate that is not
            finite. The message names the file, the entry, what was received and what is expected.
        OSError: the file cannot be read.
    """
    form = '{"image": NAME, "landmarks": [[x, y], ...]}'
    try:
        entries = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON. Received: {error}; expected a list of {form}") from error
    if not isinstance(entries, list):
        raise ValueError(f"{path} has another form. Received a JSON {_kind(entries)}; expected a list of {form}")
    if not entries:
        raise ValueError(f"{path} holds no face. Received an empty list; expected a list of {form}")
    read: dict[str, Entry] = {}
    for number, entry in enumerate(entries):
        where = f"{path}, entry {number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("image"), str) or "landmarks" not in entry:
            found = f"the keys {sorted(entry)}" if isinstance(entry, dict) else f"a JSON {_kind(entry)}"
            raise ValueError(f"{where} has another form. Received {found}; expected {form}")
        name, subsets = entry["image"], entry.get("subsets")
        if name in read:
            raise ValueError(f"{where}: the image {name!r} is repeated. Every image must have one entry")
        if subsets is not None:
            if not isinstance(subsets, list) or not all(isinstance(subset, str) for subset in subsets):
                raise ValueError(f'{where} ({name}): "subsets" must be a list of names. Received {subsets!r}')
            subsets = tuple(subsets)
        where = f"{where} ({name})"
        box = None if entry.get("box") is None else _box(entry["box"], where)
        read[name] = Entry(_landmarks(entry["landmarks"], points, where), subsets, box)
    return read


def stack_boxes(entries: Iterable[Entry]) -> np.ndarray | None:
    """Return the boxes (n, 4) of the entries, or None unless all have one."""
    boxes = [entry.box for entry in entries]
    return None if any(box is None for box in boxes) else np.stack(boxes)


def _box(values: object, where: str) -> np.ndarray:
    """Return one entry's box as (4,) float64."""
    with contextlib.suppress(ValueError):  # rows of different lengths
        box = np.asarray(values)
        if box.dtype.kind in "iuf" and box.shape == (4,) and np.isfinite(box).all():
            return box.astype(np.float64)
    raise ValueError(f'{where}: "box" must be [left, top, right, bottom] in finite numbers. Received {values!r}')


def _landmarks(values: object, points: int, where: str) -> np.ndarray:
    """Return one entry's landmarks as (points, 2) float64."""
    expected = f"expected {points} landmarks [x, y] of finite numbers"
    try:
        landmarks = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{where}: the landmarks differ in length. Received {error}; {expected}") from error
    if landmarks.dtype.kind not in "iuf":
        raise ValueError(f"{where}: a coordinate is not a number. Received {landmarks.dtype} values; {expected}")
    if landmarks.shape != (points, 2):
        raise ValueError(f"{where}: wrong number of landmarks. Received the shape {landmarks.shape}; {expected}")
    if not np.isfinite(landmarks).all():
        index = int(np.argwhere(~np.isfinite(landmarks))[0, 0])
        raise ValueError(f"{where}: landmark {index} is not finite. Received {landmarks[index].tolist()}; {expected}")
    return landmarks.astype(np.float64)


def _kind(value: object) -> str:
    """Return the JSON name of a value's type."""
    return {dict: "object", list: "list", str: "string", type(None): "null"}.get(type(value), "number or truth value")
