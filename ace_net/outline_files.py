"""JSON files of anchors and contours, truth and predictions alike."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from config import ANCHORS, CONTOURS

FORM = '{"image": NAME, "anchors": {NAME: [x, y] or null}, "contours": {NAME: [[x, y], ...]}}'


class Outline(NamedTuple):
    """The anchors and contours of one face, as files have them.

    Args:
        anchors: (12, 2) in the order of config.ANCHORS; NaN for none.
        contours: a line (n, 2) for each of config.CONTOURS, empty for none; in a truth file its annotated points.
    """

    anchors: np.ndarray
    contours: tuple[np.ndarray, ...]


def read_outlines(path: str | Path) -> dict[str, tuple[Outline, tuple[str, ...]]]:
    """Read a truth or predictions file of anchors and contours.

    Returns:
        image name -> its outline and its subsets

    Raises:
        ValueError: not JSON, or an entry of another form.
        OSError: the file cannot be read.
    """
    try:
        read = {}
        for entry in json.loads(Path(path).read_bytes()):
            if entry["image"] in read:
                raise ValueError(f"the image {entry['image']!r} twice")
            read[entry["image"]] = _read_entry(entry)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{path} is no file of anchors and contours. Received {error!r}; expected a list of {FORM}"
        ) from error
    if not read:
        raise ValueError(f"{path} holds no face. Received an empty list; expected a list of {FORM}")
    return read


def _read_entry(entry: dict) -> tuple[Outline, tuple[str, ...]]:
    """Return the outline and the subsets of one entry; raises ValueError, KeyError or TypeError for another form."""
    if unknown := {*entry["anchors"], *entry["contours"]} - {*ANCHORS, *CONTOURS}:
        raise ValueError(f"unknown names {sorted(unknown)}")
    points = [entry["anchors"].get(name) or (np.nan, np.nan) for name in ANCHORS]
    anchors = np.array(points, np.float64).reshape(len(ANCHORS), 2)
    lines = [np.array(entry["contours"].get(name) or np.empty((0, 2)), np.float64) for name in CONTOURS]
    if np.isinf(anchors).any() or not all(np.isfinite(line).all() for line in lines):
        raise ValueError(f"numbers that are not finite: {entry['image']!r}")
    if any(line.ndim != 2 or line.shape[1] != 2 for line in lines):
        raise ValueError(f"a contour that is no list of [x, y]: {entry['image']!r}")
    subsets = entry.get("subsets", [])
    if not isinstance(subsets, list) or not all(isinstance(subset, str) for subset in subsets):
        raise ValueError(f"subsets that are no list of names: {subsets!r}")
    return Outline(anchors, tuple(lines)), tuple(subsets)
