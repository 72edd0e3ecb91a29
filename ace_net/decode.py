"""From heatmaps to anchors and contours with sub-pixel places (ACE-Net, Sec. 3.4).

Anchors are local centres of mass. Contours are ridges of the contourness: pixels that are largest along their normal,
moved to the top of a parabola along it, kept by hysteresis, and followed from end to end. The traces of one contour are
joined to one line, since a face has each contour once.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from ace_net.config import CONTOUR_POINTS, CONTOUR_WIDTH, FINE_STRIDE
from ace_net.filters import filters
from ace_net.outlines import resample
from config import ANCHORS, CONTOURS
from image_utility import from_grid

EXTRACTION_WIDTH = 3  # sigma of extraction: predicted ridges are broader than true ones; Sec. 5.3


@dataclass(frozen=True)
class Extraction:
    """How contours are read from heatmaps; the paper names the steps, not the numbers.

    strong, weak: hysteresis on the contourness, as shares of that of a perfect line. anchor: least heat of an anchor.
    gap: pixels of the heatmap over which the traces of one contour are joined. end: a ridge ends where its heat falls
        below this share of its median.
    """

    strong: float = 0.3
    weak: float = 0.1
    anchor: float = 0.05
    gap: float = 24.0
    end: float = 0.5


EXTRACTION = Extraction()

REFINEMENTS = 2  # of a ridge's place on the heat itself
_NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))  # of a pixel, y and x; those before it find it themselves


def peaks(maps: np.ndarray, sigma: int = EXTRACTION_WIDTH) -> np.ndarray:
    """The local centre of mass of every map (Eq. 12).

    Args:
        maps: (n, size, size). sigma: radius in pixels around the hottest pixel.

    Returns:
        (n, 2) x, y in pixels of the map.
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
    moved = np.stack([(heat * span).sum(axis=(1, 2)), (heat * span[:, None]).sum(axis=(1, 2))], axis=-1)
    return middle + moved / np.maximum(mass, 1e-12)[:, None]


def ridge_map(heat: np.ndarray, sigma: int = EXTRACTION_WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """Contourness (Eq. 24) and the angle of the normal (Eq. 26) of one map (size, size), as `losses.contourness` has
    it."""
    heat = np.maximum(heat, 0).astype(np.float32)
    g0, g1, g2 = filters(sigma)

    def filtered(image: np.ndarray, along_x: np.ndarray, along_y: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(image, cv2.CV_32F, along_x, along_y, borderType=cv2.BORDER_CONSTANT)

    r_a, r_c = filtered(heat, g2, g0), filtered(heat, g0, g2)
    r_b = filtered(heat, g1, g1) * np.float32(-2 / sigma**2)
    score = r_a + r_c + np.sqrt((r_a - r_c) ** 2 + 4 * r_b**2) - filtered(heat**2, g0, g0)
    return score, 0.5 * np.arctan2(2 * r_b, r_a - r_c)


@cache
def perfect_contourness(sigma: int = EXTRACTION_WIDTH) -> float:
    """Contourness in the middle of a perfect line along the grid, of the same sigma."""
    across = np.arange(-4 * sigma, 4 * sigma + 1)
    heat = np.repeat(np.maximum(0, 1 - 2 * across**2 / sigma**2)[:, None], len(across), axis=1)
    return float(ridge_map(heat, sigma)[0][4 * sigma, 4 * sigma])


def ridge_points(heat: np.ndarray, sigma: int = EXTRACTION_WIDTH) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of one map that are the largest along their normal, and where between the pixels the ridge is.

    Contourness, whose window is wide, goes on where a line has ended; there its heat tells that there is no ridge.

    Returns:
        pixels (n, 2), whole y, x; places (n, 2), x, y; contourness (n,), as shares of that of a perfect line.
    """
    score, normal = ridge_map(heat, sigma)
    score = score / np.float32(perfect_contourness(sigma))
    y, x = np.nonzero(score > EXTRACTION.weak)
    here, angle = score[y, x], normal[y, x]
    step = np.stack([np.cos(angle), np.sin(angle)], axis=-1)  # (n, 2)
    middle = np.stack([x, y], axis=-1)
    before, after = _values(score, middle - step), _values(score, middle + step)
    top = (here >= before) & (here > after)
    y, x, step, here = y[top], x[top], step[top], here[top]
    places = middle[top] + _parabola(before[top], here, after[top])[:, None] * step
    for _ in range(REFINEMENTS):
        around = [_values(heat, places + k * step, cv2.INTER_CUBIC) for k in (-1, 0, 1)]
        places = places + _parabola(*around)[:, None] * step
    warmth = _values(heat, places, cv2.INTER_CUBIC)
    sure = here > EXTRACTION.strong
    there = warmth > EXTRACTION.end * np.median(warmth[sure] if sure.any() else warmth) if len(warmth) else sure
    return np.stack([y, x], axis=-1)[there], places[there], here[there]


def _parabola(before: np.ndarray, here: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where between -1 and 1 the parabola through three values (n,) each at -1, 0, 1 has its top; 0 where it has
    none."""
    bend = before - 2 * here + after
    return np.where(bend < -1e-3, np.clip(0.5 * (before - after) / np.minimum(bend, -1e-3), -1, 1), 0)


def _values(image: np.ndarray, places: np.ndarray, kind: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Values (n,) of an image between its pixels, bilinear or bicubic; places (n, 2) are x, y. 0 outside."""
    if not len(places):  # OpenCV takes no empty arrays
        return np.zeros(0, np.float32)
    x, y = places.astype(np.float32).T
    return cv2.remap(image, x[None], y[None], kind, borderMode=cv2.BORDER_CONSTANT)[0]


def trace(heat: np.ndarray, sigma: int = EXTRACTION_WIDTH) -> np.ndarray | None:
    """The contour of one map (size, size): a line (n, 2), x, y in pixels of the map; None where there is none."""
    from scipy.sparse.csgraph import connected_components  # slow to import, for which --help should not wait

    pixels, places, score = ridge_points(heat, sigma)
    if not len(pixels):
        return None
    links = _links(pixels, places, heat.shape)
    _, label = connected_components(links, directed=False)
    strong = np.unique(label[score > EXTRACTION.strong])
    if not len(strong):  # no ridge is sure; the best one is still the best guess
        strong = label[[score.argmax()]]
    traces = []
    for name in strong:
        members = np.flatnonzero(label == name)
        if len(members) > 1:
            path = _longest(links[members][:, members])
            traces.append((places[members[path]], float(score[members[path]].sum())))
    return _ended(_join(traces), heat) if traces else None


def _links(pixels: np.ndarray, places: np.ndarray, shape: tuple[int, int]):
    """The graph (n, n) of neighbouring ridge pixels, weighted by the distance of their places."""
    from scipy.sparse import coo_array

    height, width = shape
    number = np.full((height + 2, width + 2), -1)  # a border spares the checks
    number[pixels[:, 0] + 1, pixels[:, 1] + 1] = np.arange(len(pixels))
    first, second = [], []
    for down, right in _NEIGHBOURS:
        other = number[pixels[:, 0] + 1 + down, pixels[:, 1] + 1 + right]
        first.append(np.flatnonzero(other >= 0))
        second.append(other[other >= 0])
    first, second = np.concatenate(first), np.concatenate(second)
    length = np.linalg.norm(places[first] - places[second], axis=-1) + 1e-6
    return coo_array((length, (first, second)), shape=(len(pixels), len(pixels))).tocsr()


def _longest(links) -> list[int]:
    """The nodes along the longest of all shortest ways of a connected tree-like graph, from end to end."""
    from scipy.sparse.csgraph import dijkstra

    end = int(dijkstra(links, directed=False, indices=0).argmax())
    distance, before = dijkstra(links, directed=False, indices=end, return_predecessors=True)
    path = [int(distance.argmax())]
    while path[-1] != end:
        path.append(int(before[path[-1]]))
    return path


def _join(traces: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """One line from the traces (n, 2) of one contour and their weights: the weightiest, and those whose ends lie within
    EXTRACTION.gap of it, nearest first."""
    traces = sorted(traces, key=lambda one: -one[1])
    line, rest = traces[0][0], [points for points, _ in traces[1:]]
    while rest:
        gaps = [(np.linalg.norm(a - b), i, head, flip)
                for i, points in enumerate(rest)
                for head, a in ((True, line[0]), (False, line[-1]))
                for flip, b in ((False, points[0]), (True, points[-1]))]  # fmt: skip
        gap, number, head, flip = min(gaps)
        if gap > EXTRACTION.gap:
            break
        points = rest.pop(number)
        points = points[::-1] if flip else points  # now begins at the gap
        line = np.concatenate([points[::-1], line] if head else [line, points])
    return line


def _ended(line: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A line (n, 2) without the last pixel or so at either end, where it runs in the heat around the true one's end.

    A place t beyond the end has the heat 1 - 2 t^2 / sigma^2 of the line (Eq. 1), so its heat tells t.
    """
    warmth = _values(heat, line, cv2.INTER_CUBIC)
    share = np.clip(warmth[[0, -1]] / np.median(warmth), 0, 1)
    at = np.append(0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=-1)))
    beyond = np.minimum(CONTOUR_WIDTH * np.sqrt((1 - share) / 2), at[-1] / 2)  # (2,)
    first, last = beyond[0], at[-1] - beyond[1]
    kept = np.concatenate([[first], at[(at > first) & (at < last)], [last]])
    return np.stack([np.interp(kept, at, line[:, axis]) for axis in (0, 1)], axis=-1)


def extract(maps: np.ndarray, stride: int = FINE_STRIDE, sigma: int = EXTRACTION_WIDTH) -> np.ndarray:
    """The outline of one face.

    Args:
        maps: (size, size, anchors + contours). stride: input pixels per pixel of the maps. sigma: see config.

    Returns:
        (OUTLINE, 2) in pixels of the network's input, see contours.py; NaN where a map holds nothing.
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


def decode_outlines(outputs: list, size: int) -> np.ndarray:
    """Outlines (batch, OUTLINE, 2) in crop pixels, of all outputs of the network for crops of `size`.

    The last output has a map for each anchor and each contour, half as wide as the crop: pixel p of it lies at
    2 p + 0.5. An anchor is the mean place of the pixels up to 3 from the hottest one, weighted with their heat, 0 where
    that is negative. A contour is the line along the ridge of its map, at 48 places evenly from the left end to the
    right one, of the nose ridge from the upper end to the lower one.
    """
    return np.stack([extract(maps) for maps in np.asarray(outputs[-1])])


def decode_landmarks(outputs: list, size: int) -> np.ndarray:
    """Landmarks (batch, points, 2) in crop pixels, of all outputs of a network with a map for each.

    The maps of the last output are half as wide as the crop: pixel p of them lies at 2 p + 0.5. A landmark is the mean
    place of the pixels up to 3 from the hottest one, weighted with their heat, 0 where that is negative.
    """
    maps = np.moveaxis(np.asarray(outputs[-1], np.float32), -1, 1)
    return from_grid(np.stack([peaks(face) for face in maps]), FINE_STRIDE)
