"""Heatmaps of anchors and contours, and what the losses need beside them (ACE-Net, Eqs. 1, 2 and 10).

    H(p) = max(0, 1 - 2 d(p)^2 / sigma^2)

with d the exact distance of a pixel's centre from an anchor, or from the nearest piece of a contour's line. Only pixels
near a line are ever looked at: heat ends at sigma / sqrt(2).
"""

import numpy as np

from ace_net.config import COARSE_STRIDE, CONTOUR_WIDTH, FAR, FINE_STRIDE, LINE_SAMPLES
from ace_net.outlines import finite, get_anchors, get_contours, resample
from config import ANCHORS, CONTOURS
from image_utility import to_grid

MAPS = len(ANCHORS) + len(CONTOURS)


def heatmaps(pieces: np.ndarray, maps: np.ndarray, shape: tuple, sigma: float = CONTOUR_WIDTH) -> np.ndarray:
    """Heatmaps of lines (Eqs. 1 and 2).

    Args:
        pieces: (pieces, 2, 2) straight pieces from one point to another, in pixels of the maps; a point is a piece of
            no length. maps: (pieces,) the map of each, batch index * channels + channel.
        shape: (batch, size, size, channels).

    Returns:
        float32 of that shape, 0 to 1.
    """
    heat = np.zeros(shape, np.float32)
    place, squared = _near(pieces, maps, shape, sigma / np.sqrt(2))
    np.maximum.at(heat.reshape(-1), place, 1 - np.float32(2 / sigma**2) * squared)
    return heat


def far_masks(pieces: np.ndarray, maps: np.ndarray, shape: tuple, distance: float = FAR) -> np.ndarray:
    """Masks: 1 where a pixel is farther than `distance` from every piece of the map's line, else 0 (Eq. 10). Arguments
    and result are those of `heatmaps`."""
    mask = np.ones(shape, np.float32)
    mask.reshape(-1)[_near(pieces, maps, shape, distance)[0]] = 0
    return mask


def _near(pieces: np.ndarray, maps: np.ndarray, shape: tuple, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixels within `reach` of a piece.

    Returns:
        indices (n,) into the flat maps, a pixel once for every piece that it is near to, and squared distances (n,).
    """
    size, channels = shape[1], shape[3]
    step = max(1.0, reach)  # longer pieces are cut, so that one window fits all
    number = np.maximum(1, np.ceil(np.linalg.norm(pieces[:, 1] - pieces[:, 0], axis=-1) / step)).astype(int)
    rank = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)  # of a cut in its piece
    along = np.repeat((pieces[:, 1] - pieces[:, 0]) / number[:, None], number, axis=0)  # (cuts, 2)
    begin = np.repeat(pieces[:, 0], number, axis=0) + along * rank[:, None]
    half = int(step / 2 + reach + 0.5)
    middle = np.round(begin + along / 2)
    inside = ((middle >= -half) & (middle < size + half)).all(axis=-1)
    begin, along = begin[inside].astype(np.float32), along[inside].astype(np.float32)
    middle, maps = middle[inside].astype(np.int32), np.repeat(maps, number)[inside]

    window = np.arange(-half, half + 1, dtype=np.int32)
    x, y = middle[:, :1] + window, middle[:, 1:] + window  # (cuts, window) each
    from_x, from_y = x - begin[:, :1], y - begin[:, 1:]
    length = np.maximum((along**2).sum(axis=-1, keepdims=True), np.float32(1e-12))
    share = (from_x * (along[:, :1] / length))[:, None, :] + (from_y * (along[:, 1:] / length))[:, :, None]
    np.clip(share, 0, 1, out=share)  # (cuts, window of y, window of x)
    squared = (from_x[:, None, :] - share * along[:, :1, None]) ** 2
    squared += (from_y[:, :, None] - share * along[:, 1:, None]) ** 2
    near = squared <= np.float32(reach**2)
    near &= ((x >= 0) & (x < size))[:, None, :] & ((y >= 0) & (y < size))[:, :, None]
    first = (maps // channels) * (size * size * channels) + maps % channels
    place = (first[:, None] + y * (size * channels))[:, :, None] + (x * channels)[:, None, :]
    return place[near], squared[near]


def segments(outlines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pieces (pieces, 2, 2) of outlines (batch, OUTLINE, 2), anchors among them, and the map of each, (pieces,)."""
    maps = np.arange(len(outlines) * MAPS).reshape(-1, MAPS)
    places, lines = get_anchors(outlines), get_contours(outlines)
    here = np.isfinite(places).all(axis=-1)  # (batch, anchors)
    begin, end = lines[..., :-1, :], lines[..., 1:, :]
    whole = np.isfinite(begin).all(axis=-1) & np.isfinite(end).all(axis=-1)  # (batch, contours, vertices - 1)
    of_lines = np.broadcast_to(maps[:, len(ANCHORS) :, None], whole.shape)
    points = places[here]
    pieces = np.concatenate([np.stack([points, points], axis=1), np.stack([begin[whole], end[whole]], axis=1)])
    return pieces, np.concatenate([maps[:, : len(ANCHORS)][here], of_lines[whole]])


def annotated(outlines: np.ndarray) -> np.ndarray:
    """Which maps (batch, MAPS), float32 0 or 1, outlines (batch, OUTLINE, 2) say anything of; one place is no line."""
    places, lines = np.isfinite(get_anchors(outlines)), np.isfinite(get_contours(outlines))
    return np.concatenate([places.all(axis=-1), lines.all(axis=-1).sum(axis=-1) > 1], axis=1).astype(np.float32)


def full_targets(outlines: np.ndarray, size: int, stride: int) -> np.ndarray:
    """What the fully supervised loss is given of outlines (batch, OUTLINE, 2) in the pixels of crops of `size`.

    Returns:
        float32 (batch, side * side * MAPS + MAPS): heatmaps, and 1 for every map that is annotated.
    """
    side = size // stride
    pieces, maps = segments(to_grid(outlines, stride))
    heat = heatmaps(pieces, maps, (len(outlines), side, side, MAPS))
    return np.concatenate([heat.reshape(len(heat), -1), annotated(outlines)], axis=1)


def weak_targets(outlines: np.ndarray, size: int, stride: int) -> np.ndarray:
    """What ACE-Net's loss is given: as `full_targets`, but a contour that is known at landmarks only is weak.

    Returns:
        float32 (batch, n): `full_targets` with the mask of Eq. 10 in the place of a weak contour's heatmap and 0 for
        "annotated"; then 1 for every weak contour, (contours,); its landmarks, (contours, CONTOUR_POINTS, 3) as x, y
        and 1 or 0; places evenly along its line with the unit normal there, (contours, LINE_SAMPLES, 4). Pixels of the
        map.
    """
    side, batch = size // stride, len(outlines)
    grid = to_grid(outlines, stride)
    lines = get_contours(grid)
    here = np.isfinite(lines).all(axis=-1)  # (batch, contours, vertices)
    weak = (here.sum(axis=-1) > 1) & ~here.all(axis=-1)  # (batch, contours)
    pieces, maps = segments(grid)
    is_weak = np.pad(weak, ((0, 0), (len(ANCHORS), 0)))  # (batch, MAPS)
    of_weak = is_weak.reshape(-1)[maps]
    shape = (batch, side, side, MAPS)
    heat = heatmaps(pieces[~of_weak], maps[~of_weak], shape)
    faces = is_weak.any(axis=1)  # their masks are made together, others have none
    if faces.any():
        number = np.cumsum(faces) - 1
        moved = number[maps[of_weak] // MAPS] * MAPS + maps[of_weak] % MAPS
        masks = far_masks(pieces[of_weak], moved, (int(faces.sum()), *shape[1:]))
        heat[faces] = np.where(is_weak[faces][:, None, None], masks, heat[faces])
    landmarks = np.concatenate([np.where(here[..., None], lines, 0), (here & weak[..., None])[..., None]], axis=-1)
    samples = np.zeros((batch, len(CONTOURS), LINE_SAMPLES, 4))
    for face, contour in np.argwhere(weak):
        samples[face, contour] = _samples(finite(lines[face, contour]))
    parts = [heat, annotated(outlines) * ~is_weak, weak, landmarks, samples]
    return np.concatenate([np.asarray(part, np.float32).reshape(batch, -1) for part in parts], axis=1)


def _samples(line: np.ndarray) -> np.ndarray:
    """Places evenly along a line (n, 2), with the unit normal of their piece: (LINE_SAMPLES, 4)."""
    places = resample(line, LINE_SAMPLES)
    lengths = np.linalg.norm(np.diff(line, axis=0), axis=-1)
    ends = np.cumsum(lengths)
    piece = np.searchsorted(ends, np.linspace(0, ends[-1], LINE_SAMPLES)).clip(max=len(lengths) - 1)
    along = np.diff(line, axis=0)[piece] / np.maximum(lengths[piece], 1e-9)[:, None]
    return np.concatenate([places, np.stack([-along[:, 1], along[:, 0]], axis=-1)], axis=-1)


def point_targets(landmarks: np.ndarray, size: int, stride: int) -> np.ndarray:
    """As `full_targets`, of landmarks (batch, points, 2) in crop pixels, a map for each."""
    side, (batch, count, _) = size // stride, landmarks.shape
    places = to_grid(landmarks, stride).reshape(-1, 2)
    heat = heatmaps(np.stack([places, places], axis=1), np.arange(len(places)), (batch, side, side, count))
    return np.concatenate([heat.reshape(batch, -1), np.ones((batch, count), np.float32)], axis=1)


def encode_landmarks(landmarks: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
    """The targets of the three sets of maps of Lmk-line, from landmarks (batch, points, 2) in crop pixels."""
    coarse = point_targets(landmarks, size, COARSE_STRIDE)
    return coarse, coarse, point_targets(landmarks, size, FINE_STRIDE)


def encode_full(outlines: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
    """The targets of the three sets of maps of Line and Line*: lines joined from landmarks count as the true
    contours."""
    coarse = full_targets(outlines, size, COARSE_STRIDE)
    return coarse, coarse, full_targets(outlines, size, FINE_STRIDE)


def encode_weak(outlines: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
    """The targets of the three sets of maps of ACE-Net; the coarse ones are those of Line (Appendix B)."""
    coarse = full_targets(outlines, size, COARSE_STRIDE)
    return coarse, coarse, weak_targets(outlines, size, FINE_STRIDE)
