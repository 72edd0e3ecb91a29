"""Normalisers: the distance that an error is divided by."""

from collections.abc import Sequence

import numpy as np

from face_datasets.layouts import Layout

BOX, LANDMARK_BOX = "box", "landmark-box"  # normalisers of every layout


def normaliser_distance(
    truth: np.ndarray,
    layout: Layout,
    name: str,
    names: Sequence[str] | None = None,
    boxes: np.ndarray | None = None,
) -> np.ndarray:
    """Return the distance that an error is divided by.

    For a key of layout.normalisers ("inter-ocular", "inter-pupil") it lies between the means of two groups of
    landmarks. For "box" and "landmark-box" it is the square root of width x height of the set's own box, or of the
    box around the true landmarks.

    Args:
        truth: (n, points, 2) true landmarks in image pixels.
        layout: of the landmarks.
        name: a key of layout.normalisers, "box" or "landmark-box".
        names: of the n faces, for the error message.
        boxes: (n, 4) left, top, right, bottom in image pixels; only "box" needs them.

    Returns:
        (n,) distances in image pixels.

    Raises:
        ValueError: no such normaliser, "box" without boxes, or a distance that is zero or not finite.
    """
    if name == BOX and boxes is None:
        raise ValueError(f"the normaliser {BOX!r} needs a box of every face. Received none; try {LANDMARK_BOX!r}")
    if name in (BOX, LANDMARK_BOX):
        if name == LANDMARK_BOX:
            boxes = np.concatenate([truth.min(axis=1), truth.max(axis=1)], axis=1)  # (n, 4)
        sides = np.maximum(0.0, boxes[:, 2:] - boxes[:, :2])  # (n, 2)
        distance = np.sqrt(sides.prod(axis=1))  # (n,)
    elif name in layout.normalisers:
        first, second = (truth[:, list(group)].mean(axis=1) for group in layout.normalisers[name])  # (n, 2) each
        distance = np.linalg.norm(first - second, axis=-1)  # (n,)
    else:
        known = [*layout.normalisers, BOX, LANDMARK_BOX]
        raise ValueError(f"unknown normaliser. Received {name!r}; known: {known}")
    good = (distance > 0) & np.isfinite(distance)
    if not good.all():
        index = int(np.argmin(good))
        face = repr(names[index]) if names is not None else f"number {index}"
        what = "box" if name == BOX else "landmarks"
        found = "zero" if distance[index] == 0 else distance[index]
        raise ValueError(f"the {name} distance of face {face} is {found}, so its error has no NME. Correct its {what}")
    return distance
