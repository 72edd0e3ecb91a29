"""Decoders from maps to landmarks: the argmax of each map, or the weighted mean in a window around it; NumPy only.

A decoder is a function from predictions (batch, side, side, maps) and the crop's size to landmarks (batch, points, 2)
in crop pixels. It is chosen at prediction, not at training.
"""

import math
from collections.abc import Callable

import numpy as np

from config import LOSS_REFERENCE_SIZE
from image_utility import from_targets
from pixelwise.config import MAP_SIGMA

WINDOW_SIGMAS = 3.0  # radius of the sub-pixel window, in MAP_SIGMA


def map_decoders(background: bool, logarithms: bool) -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    """Return the decoders of a network's maps: "subpixel" and "argmax".

    Their docstrings are part of the description of exported files.

    Args:
        background: the last map is that of the background, not of a landmark.
        logarithms: the maps are logarithms of weights, not heights.
    """
    ignored = "the last one, of the background, is left out" if background else "all of them"
    weight = "exp of its value" if logarithms else "its value, 0 where that is negative"

    def argmax(maps: np.ndarray, size: int) -> np.ndarray:
        maps = _landmark_maps(maps, background)
        return _argmax(maps).astype(np.float64)

    def subpixel(maps: np.ndarray, size: int) -> np.ndarray:
        maps = _landmark_maps(maps, background)
        return _window_mean(maps, _argmax(maps), logarithms)

    argmax.__doc__ = f"Each map's highest pixel, x and y; {ignored}."
    subpixel.__doc__ = (
        "Each map's mean position, x and y, in the square window that reaches `reach` pixels to every side of its "
        f"highest pixel; the weight of a pixel is {weight}; {ignored}."
    )
    return {"subpixel": subpixel, "argmax": argmax}


def window_radius(side: int) -> int:
    """Return the radius of the sub-pixel window of maps of this side, in whole pixels to every side of the argmax."""
    return math.ceil(WINDOW_SIGMAS * MAP_SIGMA * side / LOSS_REFERENCE_SIZE)


def decode_last_stage(stages: np.ndarray, size: int) -> np.ndarray:
    """size / 2 - size * targets of the last stage: (batch, stages, 2 * points), interleaved as x0, y0, x1, y1, ..., to
    landmarks (batch, points, 2) in crop pixels."""
    return from_targets(np.asarray(stages)[:, -1], size)


def _landmark_maps(maps: np.ndarray, background: bool) -> np.ndarray:
    """Return the maps of landmarks, without the background's.

    Raises:
        ValueError: predictions that are no square maps.
    """
    maps = np.asarray(maps)
    if maps.ndim != 4 or maps.shape[1] != maps.shape[2]:
        raise ValueError(f"predictions must be maps of landmarks, (batch, side, side, maps). Received {maps.shape}")
    return maps[..., :-1] if background else maps


def _argmax(maps: np.ndarray) -> np.ndarray:
    """Return the highest pixel of every map (batch, side, side, points), x and y: (batch, points, 2)."""
    batch, side, _, points = maps.shape
    index = maps.reshape(batch, side * side, points).argmax(axis=1)  # (batch, points)
    return np.stack([index % side, index // side], axis=-1)


def _window_mean(maps: np.ndarray, middle: np.ndarray, logarithms: bool) -> np.ndarray:
    """Return the weighted mean position in the window around `middle` (batch, points, 2), in pixels of the maps."""
    side = maps.shape[1]
    radius = window_radius(side)
    steps = np.arange(-radius, radius + 1)
    columns, rows = (middle[..., axis, None] + steps for axis in (0, 1))  # (batch, points, window)
    face = np.arange(maps.shape[0])[:, None, None, None]
    point = np.arange(maps.shape[3])[:, None, None]
    values = maps[face, rows.clip(0, side - 1)[..., :, None], columns.clip(0, side - 1)[..., None, :], point]
    values = values.astype(np.float64)  # (batch, points, window rows, window columns)
    if logarithms:
        values = np.exp(values - values.max(axis=(2, 3), keepdims=True))
    inside = ((rows >= 0) & (rows < side))[..., :, None] & ((columns >= 0) & (columns < side))[..., None, :]
    weights = np.maximum(values, 0) * inside
    total = weights.sum(axis=(2, 3))
    empty = total == 0  # no height above 0: the argmax remains
    total[empty] = 1
    offset = [(weights.sum(axis=other) * steps).sum(axis=-1) / total for other in (2, 3)]
    return middle + np.stack(offset, axis=-1)
