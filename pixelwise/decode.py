"""How maps become landmarks: the highest pixel of each, or the mean place in a window around it.

A decoder is a function from predictions (batch, side, side, maps) and the crop's size to landmarks (batch, points, 2),
as a row of methods.METHODS has it. Which one reads a network is a setting of the reading, not of the training.
"""

import math
from collections.abc import Callable

import numpy as np

from config import LOSS_REFERENCE_SIZE
from image_utility import from_targets
from pixelwise.config import MAP_SIGMA

WINDOW_SIGMAS = 3.0  # the sub-pixel window reaches so many MAP_SIGMA to every side of the highest pixel


def map_decoders(background: bool, logarithms: bool) -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    """The decoders of a network's maps: "subpixel" and "argmax".

    Args:
        background: the last map is that of the background, and no landmark.
        logarithms: the maps are logarithms of weights, not heights.
    """
    ignored = "the last one, of the background, is left out" if background else "all of them"
    weight = "exp of its value" if logarithms else "its value, 0 where that is negative"

    def argmax(maps: np.ndarray, size: int) -> np.ndarray:
        maps = _of_landmarks(maps, background)
        return _highest(maps).astype(np.float64)

    def subpixel(maps: np.ndarray, size: int) -> np.ndarray:
        maps = _of_landmarks(maps, background)
        return _mean_in_window(maps, _highest(maps), logarithms)

    argmax.__doc__ = f"Each map's highest pixel, x and y; {ignored}."
    subpixel.__doc__ = (
        "Each map's mean place, x and y, in the square window that reaches `reach` pixels to every side of its highest "
        f"pixel; the weight of a pixel is {weight}; {ignored}."
    )
    return {"subpixel": subpixel, "argmax": argmax}


def window_radius(side: int) -> int:
    """How far the sub-pixel window of maps of this side reaches, in whole pixels to every side of the highest one."""
    return math.ceil(WINDOW_SIGMAS * MAP_SIGMA * side / LOSS_REFERENCE_SIZE)


def decode_last_stage(stages: np.ndarray, size: int) -> np.ndarray:
    """size / 2 - size * targets of the last stage: (batch, stages, 2 * points), interleaved as x0, y0, x1, y1, ..., to
    landmarks (batch, points, 2) in crop pixels."""
    return from_targets(np.asarray(stages)[:, -1], size)


def _of_landmarks(maps: np.ndarray, background: bool) -> np.ndarray:
    maps = np.asarray(maps)
    if maps.ndim != 4 or maps.shape[1] != maps.shape[2]:
        raise ValueError(f"these are no maps of landmarks. Received {maps.shape}; (batch, side, side, maps) is right")
    return maps[..., :-1] if background else maps


def _highest(maps: np.ndarray) -> np.ndarray:
    """The highest pixel of every map (batch, side, side, points), its x and y: (batch, points, 2)."""
    batch, side, _, points = maps.shape
    place = maps.reshape(batch, side * side, points).argmax(axis=1)  # (batch, points)
    return np.stack([place % side, place // side], axis=-1)


def _mean_in_window(maps: np.ndarray, middle: np.ndarray, logarithms: bool) -> np.ndarray:
    """The weighted mean place around `middle` (batch, points, 2), in pixels of the maps."""
    side = maps.shape[1]
    reach = window_radius(side)
    steps = np.arange(-reach, reach + 1)
    columns, rows = (middle[..., axis, None] + steps for axis in (0, 1))  # (batch, points, window)
    face = np.arange(maps.shape[0])[:, None, None, None]
    point = np.arange(maps.shape[3])[:, None, None]
    seen = maps[face, rows.clip(0, side - 1)[..., :, None], columns.clip(0, side - 1)[..., None, :], point]
    seen = seen.astype(np.float64)  # (batch, points, window rows, window columns)
    if logarithms:
        seen = np.exp(seen - seen.max(axis=(2, 3), keepdims=True))
    inside = ((rows >= 0) & (rows < side))[..., :, None] & ((columns >= 0) & (columns < side))[..., None, :]
    weights = np.maximum(seen, 0) * inside
    whole = weights.sum(axis=(2, 3))
    empty = whole == 0  # a map of heights that are nowhere above 0
    whole[empty] = 1
    moved = [(weights.sum(axis=other) * steps).sum(axis=-1) / whole for other in (2, 3)]
    return middle + np.stack(moved, axis=-1)
