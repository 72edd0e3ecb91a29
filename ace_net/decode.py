"""Decoders of heatmaps: anchors as local centres of mass, contours as ridges (ACE-Net, Sec. 3.4); without Keras."""

import numpy as np

from ace_net.config import CONTOUR_POINTS, EXTRACTION_WIDTH, FINE_STRIDE
from ace_net.outlines import resample
from ace_net.ridges import EXTRACTION, trace
from config import ANCHORS, CONTOURS
from image_utility import from_grid


def peaks(maps: np.ndarray, sigma: int = EXTRACTION_WIDTH) -> np.ndarray:
    """Return the local centre of mass of every map (Eq. 12).

    Args:
        maps: (n, size, size).
        sigma: radius in pixels around the hottest pixel.

    Returns:
        (n, 2), x, y in pixels of the map.
    """
    count, height, width = maps.shape
    hottest = maps.reshape(count, -1).argmax(axis=1)
    middle = np.stack([hottest % width, hottest // width], axis=-1)  # (n, 2)
    span = np.arange(-sigma, sigma + 1)
    x, y = middle[:, :1] + span, middle[:, 1:] + span  # (n, 2 sigma + 1) each
    inside = ((x >= 0) & (x < width))[:, None, :] & ((y >= 0) & (y < height))[:, :, None]
    inside &= (span[:, None] ** 2 + span**2 <= sigma**2)[None]
    window = maps[np.arange(count)[:, None, None], y.clip(0, height - 1)[:, :, None], x.clip(0, width - 1)[:, None, :]]
    heat = np.where(inside, np.maximum(window, 0), 0).astype(np.float64)
    mass = heat.sum(axis=(1, 2))
    offset = np.stack([(heat * span).sum(axis=(1, 2)), (heat * span[:, None]).sum(axis=(1, 2))], axis=-1)
    return middle + offset / np.maximum(mass, 1e-12)[:, None]


def extract(maps: np.ndarray, stride: int = FINE_STRIDE, sigma: int = EXTRACTION_WIDTH) -> np.ndarray:
    """Return the outline of one face.

    Args:
        maps: (size, size, anchors + contours).
        stride: input pixels per pixel of the maps.
        sigma: width of anchors and ridges in pixels of the maps.

    Returns:
        (OUTLINE, 2) in pixels of the network's input, see outlines.py; NaN where a map holds nothing.
    """
    heat = np.ascontiguousarray(np.moveaxis(maps, -1, 0), np.float32)
    anchors = peaks(heat[: len(ANCHORS)], sigma)
    anchors[heat[: len(ANCHORS)].max(axis=(1, 2)) < EXTRACTION.anchor] = np.nan
    outline = [anchors]
    for name, one in zip(CONTOURS, heat[len(ANCHORS) :], strict=True):
        line = trace(one, sigma)
        if line is None:
            outline.append(np.full((CONTOUR_POINTS, 2), np.nan))
            continue
        axis = 1 if name == "nose ridge" else 0
        outline.append(resample(line if line[0, axis] <= line[-1, axis] else line[::-1]))
    return from_grid(np.concatenate(outline), stride)


# The docstrings of the decoders are part of the description of exported files


def decode_outlines(outputs: list, size: int) -> np.ndarray:
    """Return outlines (batch, OUTLINE, 2) in crop pixels, from all outputs of the network for crops of `size`.

    The last output has a map for each anchor and each contour, half as wide as the crop: pixel p of it lies at
    2 p + 0.5. An anchor is the mean position of the pixels up to 3 from the hottest one, weighted with their heat, 0
    where that is negative. A contour is the line along the ridge of its map, as 48 points evenly from the left end to
    the right one, of the nose ridge from the upper end to the lower one.
    """
    return np.stack([extract(maps) for maps in np.asarray(outputs[-1])])


def decode_landmarks(outputs: list, size: int) -> np.ndarray:
    """Return landmarks (batch, points, 2) in crop pixels, from all outputs of a network with a map for each landmark.

    The maps of the last output are half as wide as the crop: pixel p of them lies at 2 p + 0.5. A landmark is the mean
    position of the pixels up to 3 from the hottest one, weighted with their heat, 0 where that is negative.
    """
    maps = np.moveaxis(np.asarray(outputs[-1], np.float32), -1, 1)
    return from_grid(np.stack([peaks(face) for face in maps]), FINE_STRIDE)
