"""Files of anchors and contours: truth and predictions (JSON)."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from config import ANCHORS, CONTOURS


class Outline(NamedTuple):
    """Anchors (12, 2) in the order of config.ANCHORS, NaN where there is none, and a line (n, 2) for each
    of CONTOURS, empty where there is none. Of a truth the lines' points are what is annotated."""

    anchors: np.ndarray
    contours: tuple[np.ndarray, ...]


def read_outlines(path: str | Path) -> dict[str, tuple[Outline, tuple[str, ...]]]:
    """Reads a truth or predictions file of anchors and contours: image name -> its outline and its subsets.

    Raises:
        ValueError: no JSON, or an entry of another form.
        OSError: the file cannot be read.
    """
    form = '{"image": NAME, "anchors": {NAME: [x, y] or null}, "contours": {NAME: [[x, y], ...]}}'
    try:
        entries = json.loads(Path(path).read_bytes())
        read = {}
        for entry in entries:
            places = [entry["anchors"].get(name) or (np.nan, np.nan) for name in ANCHORS]
            lines = [np.array(entry["contours"].get(name) or np.empty((0, 2)), np.float64) for name in CONTOURS]
            if unknown := {*entry["anchors"], *entry["contours"]} - {*ANCHORS, *CONTOURS}:
                raise ValueError(f"unknown names {sorted(unknown)}")
            anchors = np.array(places, np.float64).reshape(len(ANCHORS), 2)
            if np.isinf(anchors).any() or not all(np.isfinite(line).all() for line in lines) or entry["image"] in read:
                raise ValueError(f"numbers that are not finite, or an image that stands twice: {entry['image']!r}")
            if any(line.ndim != 2 or line.shape[1] != 2 for line in lines):
                raise ValueError(f"a contour that is no list of [x, y]: {entry['image']!r}")
            subsets = entry.get("subsets", [])
            if not isinstance(subsets, list) or not all(isinstance(subset, str) for subset in subsets):
                raise ValueError(f"subsets that are no list of names: {subsets!r}")
            read[entry["image"]] = Outline(anchors, tuple(lines)), tuple(subsets)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{path} holds no anchors and contours. Received {error!r}; a list of {form} is right"
        ) from error
    if not read:
        raise ValueError(f"{path} holds no face. Received an empty list; a list of {form} is right")
    return read


def holds_outlines(path: str | Path) -> bool:
    """Whether a JSON file is one of anchors and contours; what cannot be read is not."""
    try:
        return "contours" in json.loads(Path(path).read_bytes())[0]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False
