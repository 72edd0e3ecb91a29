"""Targets of ACE-Net: heatmaps of anchors and contours, and the landmarks of weak contours (Eqs. 1, 2 and 10).

    H(p) = max(0, 1 - 2 d(p)^2 / sigma^2)

d(p) is the exact distance of the centre of pixel p from an anchor, or from the nearest segment of a contour. H is 0
from d = sigma / sqrt(2) on, so only the pixels near a segment are computed.
"""

from typing import NamedTuple

import numpy as np

from ace_net.config import COARSE_STRIDE, CONTOUR_POINTS, CONTOUR_WIDTH, FAR, FINE_STRIDE, LINE_SAMPLES
from ace_net.outlines import finite, get_anchors, get_contours, resample
from config import ANCHORS, CONTOURS
from image_utility import to_grid

MAPS = len(ANCHORS) + len(CONTOURS)

# --------------------------------------------------------------------------------------------------------------------
# Fields of the targets
# --------------------------------------------------------------------------------------------------------------------


class FullTargets(NamedTuple):
    """Targets of the fully supervised loss for a batch.

    Args:
        heat: (batch, side, side, maps), true heatmaps, 0 to 1.
        annotated: (batch, maps), 1 for every map whose heatmap is known, else 0.
    """

    heat: np.ndarray
    annotated: np.ndarray

    def pack(self) -> np.ndarray:
        """Return all fields as one array (batch, n), float32: Keras takes one array for each output."""
        return _pack(self)

    @classmethod
    def unpack(cls, y_true, shape: tuple) -> "FullTargets":
        """Return the fields of packed targets (batch, n) as tensors, for maps of `shape` (batch, side, side, maps)."""
        return cls(*_unpack(y_true, (shape[1:], shape[3:])))


class WeakTargets(NamedTuple):
    """Targets of ACE-Net's loss for a batch; a weak contour is known at its landmarks only. Positions are x, y in
    pixels of the maps.

    Args:
        heat: (batch, side, side, MAPS), true heatmaps, 0 to 1; of a weak contour the mask of Eq. 10 instead.
        annotated: (batch, MAPS), 1 for every map whose heatmap is known, else 0.
        weak: (batch, contours), 1 for every weak contour, else 0.
        landmarks: (batch, contours, CONTOUR_POINTS, 3), positions, and 1 for a landmark of a weak contour, else 0.
        samples: (batch, contours, LINE_SAMPLES, 4), positions evenly along the line between the landmarks of a weak
            contour, with the unit normal of the line there; 0 for other contours.
    """

    heat: np.ndarray
    annotated: np.ndarray
    weak: np.ndarray
    landmarks: np.ndarray
    samples: np.ndarray

    def pack(self) -> np.ndarray:
        """Return all fields as one array (batch, n), float32: Keras takes one array for each output."""
        return _pack(self)

    @classmethod
    def unpack(cls, y_true, shape: tuple) -> "WeakTargets":
        """Return the fields of packed targets (batch, n) as tensors, for maps of `shape` (batch, side, side, MAPS)."""
        count = len(CONTOURS)
        shapes = (shape[1:], shape[3:], (count,), (count, CONTOUR_POINTS, 3), (count, LINE_SAMPLES, 4))
        return cls(*_unpack(y_true, shapes))


def _pack(fields: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.concatenate([np.asarray(field, np.float32).reshape(len(field), -1) for field in fields], axis=1)


def _unpack(y_true, shapes: tuple[tuple[int, ...], ...]) -> list:
    from keras import ops  # only losses unpack: targets can be made without Keras

    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    fields = ops.split(y_true, ends[:-1].tolist(), axis=-1)
    return [ops.reshape(field, (-1, *shape)) for field, shape in zip(fields, shapes, strict=True)]


# --------------------------------------------------------------------------------------------------------------------
# Heatmaps and masks
# --------------------------------------------------------------------------------------------------------------------


def heatmaps(segments: np.ndarray, maps: np.ndarray, shape: tuple, sigma: float = CONTOUR_WIDTH) -> np.ndarray:
    """Return heatmaps of line segments (Eqs. 1 and 2).

    Args:
        segments: (segments, 2, 2), their two ends, x and y in pixels of the maps; a point is a segment of length 0.
        maps: (segments,), the map of each: batch index * channels + channel.
        shape: (batch, size, size, channels).
        sigma: width in pixels of the maps.

    Returns:
        float32 array of that shape, 0 to 1.
    """
    heat = np.zeros(shape, np.float32)
    indices, squared = pixels_near_segments(segments, maps, shape, sigma / np.sqrt(2))
    np.maximum.at(heat.reshape(-1), indices, 1 - np.float32(2 / sigma**2) * squared)
    return heat


def far_masks(segments: np.ndarray, maps: np.ndarray, shape: tuple, distance: float = FAR) -> np.ndarray:
    """Return the masks of Eq. 10: 1 where a pixel is farther than `distance` from every segment of its map, else 0.

    The other arguments, and the shape and type of the result, are those of `heatmaps`.
    """
    mask = np.ones(shape, np.float32)
    mask.reshape(-1)[pixels_near_segments(segments, maps, shape, distance)[0]] = 0
    return mask


def pixels_near_segments(
    segments: np.ndarray, maps: np.ndarray, shape: tuple, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find the pixels within `radius` of line segments, and their squared distances.

    The squared distance of pixel p from the segment with the ends a and a + v is

        d^2 = |p - a - t v|^2,   t = clip((p - a) . v / |v|^2, 0, 1)

    All segments are computed at once, each in a square window around its middle. Long segments are cut into parts of
    at most max(1, radius) pixels first, so that one size of window holds the pixels near any of them.

    Args:
        segments, maps, shape: see `heatmaps`.
        radius: pixels of the maps.

    Returns:
        indices (n,) into the flattened maps; a pixel occurs once for every part that it is near to
        squared distances (n,), float32
    """
    size, channels = shape[1], shape[3]
    length = max(1.0, radius)  # of a part, at most
    start, along, parent = _parts(segments, length)  # (parts, 2), (parts, 2), (parts,)
    half = int(length / 2 + radius + 0.5)  # of the window's side
    middle = np.round(start + along / 2)
    visible = ((middle >= -half) & (middle < size + half)).all(axis=-1)  # the window overlaps the map
    start, along = start[visible].astype(np.float32), along[visible].astype(np.float32)
    middle, maps = middle[visible].astype(np.int32), maps[parent[visible]]

    window = np.arange(-half, half + 1, dtype=np.int32)
    x, y = middle[:, :1] + window, middle[:, 1:] + window  # (parts, window) each
    from_x, from_y = x - start[:, :1], y - start[:, 1:]  # p - a
    squared_length = np.maximum((along**2).sum(axis=-1, keepdims=True), np.float32(1e-12))
    t_x, t_y = from_x * (along[:, :1] / squared_length), from_y * (along[:, 1:] / squared_length)
    t = t_x[:, None, :] + t_y[:, :, None]  # (parts, window of y, window of x)
    np.clip(t, 0, 1, out=t)
    squared = (from_x[:, None, :] - t * along[:, :1, None]) ** 2
    squared += (from_y[:, :, None] - t * along[:, 1:, None]) ** 2
    near = squared <= np.float32(radius**2)
    near &= ((x >= 0) & (x < size))[:, None, :] & ((y >= 0) & (y < size))[:, :, None]

    first = (maps // channels) * (size * size * channels) + maps % channels  # index of a map's pixel (0, 0)
    indices = (first[:, None] + y * (size * channels))[:, :, None] + (x * channels)[:, None, :]
    return indices[near], squared[near]


def _parts(segments: np.ndarray, length: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut segments (segments, 2, 2) into equal parts of at most `length`.

    Returns:
        start of each part (parts, 2)
        vector from its start to its end (parts, 2)
        index of its segment (parts,)
    """
    vectors = segments[:, 1] - segments[:, 0]
    counts = np.maximum(1, np.ceil(np.linalg.norm(vectors, axis=-1) / length)).astype(int)
    parent = np.repeat(np.arange(len(segments)), counts)
    rank = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # of a part in its segment
    along = (vectors / counts[:, None])[parent]
    return segments[parent, 0] + along * rank[:, None], along, parent


def to_segments(outlines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the line segments of outlines (batch, OUTLINE, 2), anchors among them as segments of length 0.

    Returns:
        segments (segments, 2, 2) and the map of each (segments,), as `heatmaps` takes them
    """
    maps = np.arange(len(outlines) * MAPS).reshape(-1, MAPS)
    anchors, lines = get_anchors(outlines), get_contours(outlines)
    has_anchor = np.isfinite(anchors).all(axis=-1)  # (batch, anchors)
    start, end = lines[..., :-1, :], lines[..., 1:, :]
    has_segment = np.isfinite(start).all(axis=-1) & np.isfinite(end).all(axis=-1)  # (batch, contours, vertices - 1)
    maps_of_lines = np.broadcast_to(maps[:, len(ANCHORS) :, None], has_segment.shape)
    points = anchors[has_anchor]
    of_anchors, of_lines = np.stack([points, points], axis=1), np.stack([start[has_segment], end[has_segment]], axis=1)
    maps = np.concatenate([maps[:, : len(ANCHORS)][has_anchor], maps_of_lines[has_segment]])
    return np.concatenate([of_anchors, of_lines]), maps


def annotated(outlines: np.ndarray) -> np.ndarray:
    """Return which maps outlines (batch, OUTLINE, 2) annotate: (batch, MAPS), float32 0 or 1; one vertex is no line."""
    anchors, lines = np.isfinite(get_anchors(outlines)), np.isfinite(get_contours(outlines))
    return np.concatenate([anchors.all(axis=-1), lines.all(axis=-1).sum(axis=-1) > 1], axis=1).astype(np.float32)


# --------------------------------------------------------------------------------------------------------------------
# Targets of one set of maps
# --------------------------------------------------------------------------------------------------------------------


def full_targets(outlines: np.ndarray, size: int, stride: int) -> FullTargets:
    """Return targets that take lines through known vertices for the true contours.

    Args:
        outlines: (batch, OUTLINE, 2) in crop pixels.
        size: side of the crop in pixels.
        stride: crop pixels per pixel of the maps.
    """
    side = size // stride
    segments, maps = to_segments(to_grid(outlines, stride))
    return FullTargets(heatmaps(segments, maps, (len(outlines), side, side, MAPS)), annotated(outlines))


def weak_targets(outlines: np.ndarray, size: int, stride: int) -> WeakTargets:
    """Return targets that keep contours apart which are known at landmarks only; arguments as `full_targets` has."""
    side, batch = size // stride, len(outlines)
    grid = to_grid(outlines, stride)
    lines = get_contours(grid)
    known = np.isfinite(lines).all(axis=-1)  # (batch, contours, vertices)
    weak = (known.sum(axis=-1) > 1) & ~known.all(axis=-1)  # (batch, contours)
    weak_maps = np.pad(weak, ((0, 0), (len(ANCHORS), 0)))  # (batch, MAPS)
    landmarks = np.concatenate([np.where(known[..., None], lines, 0), (known & weak[..., None])[..., None]], axis=-1)
    samples = np.zeros((batch, len(CONTOURS), LINE_SAMPLES, 4))
    for face, contour in np.argwhere(weak):
        samples[face, contour] = _sample_line(finite(lines[face, contour]))
    heat = _heat_or_mask(grid, weak_maps, (batch, side, side, MAPS))
    return WeakTargets(heat, annotated(outlines) * ~weak_maps, weak, landmarks, samples)


def _heat_or_mask(grid: np.ndarray, weak_maps: np.ndarray, shape: tuple) -> np.ndarray:
    """Return heatmaps of outlines (batch, OUTLINE, 2) in pixels of the maps, masks of Eq. 10 where a map is weak."""
    segments, maps = to_segments(grid)
    weak = weak_maps.reshape(-1)[maps]  # (segments,)
    heat = heatmaps(segments[~weak], maps[~weak], shape)
    faces = weak_maps.any(axis=1)  # with masks; others need none
    if faces.any():
        number = np.cumsum(faces) - 1  # of a face among these
        mask_maps = number[maps[weak] // MAPS] * MAPS + maps[weak] % MAPS
        masks = far_masks(segments[weak], mask_maps, (int(faces.sum()), *shape[1:]))
        heat[faces] = np.where(weak_maps[faces][:, None, None], masks, heat[faces])
    return heat


def _sample_line(line: np.ndarray) -> np.ndarray:
    """Return positions evenly along a line (n, 2), with the unit normals of their segments: (LINE_SAMPLES, 4)."""
    points = resample(line, LINE_SAMPLES)
    lengths = np.linalg.norm(np.diff(line, axis=0), axis=-1)
    ends = np.cumsum(lengths)
    segment = np.searchsorted(ends, np.linspace(0, ends[-1], LINE_SAMPLES)).clip(max=len(lengths) - 1)
    along = np.diff(line, axis=0)[segment] / np.maximum(lengths[segment], 1e-9)[:, None]
    return np.concatenate([points, np.stack([-along[:, 1], along[:, 0]], axis=-1)], axis=-1)


def landmark_targets(landmarks: np.ndarray, size: int, stride: int) -> FullTargets:
    """Return targets with one map for each of the landmarks (batch, points, 2), in crop pixels; see `full_targets`."""
    side, (batch, count, _) = size // stride, landmarks.shape
    points = to_grid(landmarks, stride).reshape(-1, 2)
    heat = heatmaps(np.stack([points, points], axis=1), np.arange(len(points)), (batch, side, side, count))
    return FullTargets(heat, np.ones((batch, count), np.float32))


# --------------------------------------------------------------------------------------------------------------------
# Encoders: packed targets of the three sets of maps, two coarse ones and the fine one
# --------------------------------------------------------------------------------------------------------------------


def encode_landmarks(landmarks: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
    """Return the targets of Lmk-line, from landmarks (batch, points, 2) in the pixels of crops of `size`."""
    coarse = landmark_targets(landmarks, size, COARSE_STRIDE).pack()
    return coarse, coarse, landmark_targets(landmarks, size, FINE_STRIDE).pack()


def encode_full(outlines: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
    """Return the targets of Line and Line*, from outlines (batch, OUTLINE, 2) in the pixels of crops of `size`.

    Lines through the known vertices count as the true contours.
    """
    coarse = full_targets(outlines, size, COARSE_STRIDE).pack()
    return coarse, coarse, full_targets(outlines, size, FINE_STRIDE).pack()


def encode_weak(outlines: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
    """Return the targets of ACE-Net, from outlines (batch, OUTLINE, 2) in the pixels of crops of `size`.

    The coarse ones are those of Line (Appendix B).
    """
    coarse = full_targets(outlines, size, COARSE_STRIDE).pack()
    return coarse, coarse, weak_targets(outlines, size, FINE_STRIDE).pack()
