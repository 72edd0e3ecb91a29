"""Tracing the contour of one heatmap: a ridge of its contourness, with sub-pixel accuracy (ACE-Net, Sec. 3.4).

The steps of `trace`, in the paper's terms:

    contourness               how well the neighbourhood of each pixel resembles a ridge, and the ridge's normal
    non-maximum suppression   pixels whose contourness is the largest along the normal
    sub-pixel fit             their positions on the normal, from parabolas through the contourness and the heat
    hysteresis                connected pixels of which at least one is a sure one
    linking                   the longest path along connected pixels
    joining                   one line from the paths, since a face has each contour once
    trimming                  ends where the heat of the true contour's end begins to fade

Positions are x, y in pixels of the heatmap. The paper names the steps, but no thresholds.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from ace_net.config import CONTOUR_WIDTH, EXTRACTION_WIDTH
from ace_net.filters import filters


@dataclass(frozen=True)
class Extraction:
    """Thresholds of the extraction.

    Args:
        strong, weak: hysteresis on the contourness, as fractions of that of a perfect line.
        anchor: minimum heat of an anchor.
        gap: pixels of the heatmap, largest gap over which the traces of one contour are joined.
        end: fraction of the median heat of a ridge; it ends where its heat is lower.
    """

    strong: float = 0.3
    weak: float = 0.1
    anchor: float = 0.05
    gap: float = 24.0
    end: float = 0.5


EXTRACTION = Extraction()

REFINEMENTS = 2  # of the sub-pixel fit, on the heat itself
_NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))  # of a pixel, y and x; the other four have this pixel as neighbour


def trace(heat: np.ndarray, sigma: int = EXTRACTION_WIDTH) -> np.ndarray | None:
    """Return the contour of a heatmap.

    Args:
        heat: (size, size).
        sigma: width of the ridge in pixels.

    Returns:
        line (n, 2), or None where the map has no ridge
    """
    score, normal = contourness(heat, sigma)
    score = score / np.float32(perfect_contourness(sigma))
    pixels, normals, scores = suppress_non_maxima(score, normal)
    points = fit_subpixel(heat, pixels, normals, scores)
    score = scores[1]  # (n,)
    kept = has_heat(heat, points, score)
    pixels, points, score = pixels[kept], points[kept], score[kept]
    if not len(pixels):
        return None
    graph = connect_neighbours(pixels, points, heat.shape)
    paths = [members[link(graph[members][:, members])] for members in hysteresis(graph, score)]
    traces = [(points[path], float(score[path].sum())) for path in paths]
    return trim(join(traces), heat) if traces else None


def contourness(heat: np.ndarray, sigma: int = EXTRACTION_WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """Return the contourness (Eq. 24) and the angle of the normal (Eq. 26) of a heatmap, each (size, size).

    `ace_net.losses.contourness` is the same for batches, with gradients.
    """
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
    """Return the contourness in the middle of a perfect line along the grid, of the same sigma."""
    across = np.arange(-4 * sigma, 4 * sigma + 1)
    heat = np.repeat(np.maximum(0, 1 - 2 * across**2 / sigma**2)[:, None], len(across), axis=1)
    return float(contourness(heat, sigma)[0][4 * sigma, 4 * sigma])


def suppress_non_maxima(score: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the pixels whose contourness is above EXTRACTION.weak and the largest along the normal.

    Args:
        score: contourness (size, size), fractions of that of a perfect line.
        normal: angle of the normal (size, size).

    Returns:
        pixels (n, 2), y and x
        unit normals (n, 2), x and y
        contourness (3, n) one pixel before, at, and one pixel after each of them along the normal
    """
    y, x = np.nonzero(score > EXTRACTION.weak)
    here, angle = score[y, x], normal[y, x]
    normals = np.stack([np.cos(angle), np.sin(angle)], axis=-1)  # (n, 2)
    middle = np.stack([x, y], axis=-1)
    before, after = _values(score, middle - normals), _values(score, middle + normals)
    largest = (here >= before) & (here > after)
    return np.stack([y, x], axis=-1)[largest], normals[largest], np.stack([before, here, after])[:, largest]


def fit_subpixel(heat: np.ndarray, pixels: np.ndarray, normals: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the positions (n, 2) of ridge pixels on their normals; arguments as `suppress_non_maxima` returns them.

    They start at the top of a parabola through the contourness. Its window is wide, which moves curved ridges inwards,
    so that parabolas through the heat refine them.
    """
    points = pixels[:, ::-1] + _parabola_top(*scores)[:, None] * normals
    for _ in range(REFINEMENTS):
        around = [_values(heat, points + k * normals, cv2.INTER_CUBIC) for k in (-1, 0, 1)]
        points = points + _parabola_top(*around)[:, None] * normals
    return points


def has_heat(heat: np.ndarray, points: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return which ridge points (n, 2) lie on a line: (n,), bool.

    Contourness (n,) continues beyond the end of a line, since its window is wide; the heat there is low.
    """
    strong = score > EXTRACTION.strong
    if not len(points):
        return strong
    found = _values(heat, points, cv2.INTER_CUBIC)
    return found > EXTRACTION.end * np.median(found[strong] if strong.any() else found)


def connect_neighbours(pixels: np.ndarray, points: np.ndarray, shape: tuple[int, int]):
    """Return the graph (n, n) of neighbouring ridge pixels, a sparse matrix of the distances of their positions."""
    from scipy.sparse import coo_array  # slow to import: only extraction needs it

    height, width = shape
    number = np.full((height + 2, width + 2), -1)  # the border makes range checks unnecessary
    number[pixels[:, 0] + 1, pixels[:, 1] + 1] = np.arange(len(pixels))
    first, second = [], []
    for down, right in _NEIGHBOURS:
        other = number[pixels[:, 0] + 1 + down, pixels[:, 1] + 1 + right]
        first.append(np.flatnonzero(other >= 0))
        second.append(other[other >= 0])
    first, second = np.concatenate(first), np.concatenate(second)
    length = np.linalg.norm(points[first] - points[second], axis=-1) + 1e-6
    return coo_array((length, (first, second)), shape=(len(pixels), len(pixels))).tocsr()


def hysteresis(graph, score: np.ndarray) -> list[np.ndarray]:
    """Return the connected components of a graph that hold a pixel above EXTRACTION.strong, as arrays of nodes.

    If none does, the component of the best pixel is the best guess. Components of one pixel are left out.
    """
    from scipy.sparse.csgraph import connected_components

    _, label = connected_components(graph, directed=False)
    strong = np.unique(label[score > EXTRACTION.strong])
    if not len(strong):
        strong = label[[score.argmax()]]
    components = [np.flatnonzero(label == one) for one in strong]
    return [members for members in components if len(members) > 1]


def link(graph) -> list[int]:
    """Return the nodes of the longest of all shortest paths of a connected tree-like graph, from end to end."""
    from scipy.sparse.csgraph import dijkstra

    end = int(dijkstra(graph, directed=False, indices=0).argmax())
    distance, before = dijkstra(graph, directed=False, indices=end, return_predecessors=True)
    path = [int(distance.argmax())]
    while path[-1] != end:
        path.append(int(before[path[-1]]))
    return path


def join(traces: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """Return one line from the traces of one contour.

    The trace with the largest weight is extended at both ends by the others, nearest first, as long as the gap between
    their ends is at most EXTRACTION.gap.

    Args:
        traces: lines (n, 2) and their weights.
    """
    traces = sorted(traces, key=lambda one: -one[1])
    line, rest = traces[0][0], [points for points, _ in traces[1:]]
    while rest:
        gaps = [
            (np.linalg.norm(a - b), i, head, flip)
            for i, points in enumerate(rest)
            for head, a in ((True, line[0]), (False, line[-1]))
            for flip, b in ((False, points[0]), (True, points[-1]))
        ]
        gap, number, head, flip = min(gaps)
        if gap > EXTRACTION.gap:
            break
        points = rest.pop(number)
        points = points[::-1] if flip else points  # now begins at the gap
        line = np.concatenate([points[::-1], line] if head else [line, points])
    return line


def trim(line: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return a line (n, 2) without the pixel or so at either end that lies beyond the true contour's end.

    At a distance t beyond that end the heat is 1 - 2 t^2 / sigma^2 of the line's (Eq. 1), which gives t.
    """
    found = _values(heat, line, cv2.INTER_CUBIC)
    ratio = np.clip(found[[0, -1]] / np.median(found), 0, 1)
    at = np.append(0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=-1)))  # length from the first point on
    beyond = np.minimum(CONTOUR_WIDTH * np.sqrt((1 - ratio) / 2), at[-1] / 2)  # (2,)
    first, last = beyond[0], at[-1] - beyond[1]
    kept = np.concatenate([[first], at[(at > first) & (at < last)], [last]])
    return np.stack([np.interp(kept, at, line[:, axis]) for axis in (0, 1)], axis=-1)


def _parabola_top(before: np.ndarray, here: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return where between -1 and 1 the parabola through three values (n,) at -1, 0, 1 has its top; 0 for none."""
    bend = before - 2 * here + after
    return np.where(bend < -1e-3, np.clip(0.5 * (before - after) / np.minimum(bend, -1e-3), -1, 1), 0)


def _values(image: np.ndarray, points: np.ndarray, kind: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Return the values (n,) of an image at points (n, 2), x and y, bilinear or bicubic; 0 outside of the image."""
    if not len(points):  # OpenCV takes no empty arrays
        return np.zeros(0, np.float32)
    x, y = points.astype(np.float32).T
    return cv2.remap(image, x[None], y[None], kind, borderMode=cv2.BORDER_CONSTANT)[0]
