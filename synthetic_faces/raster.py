"""Turns sheets, curved surfaces with a picture painted on them, into pixels.

A sheet is sampled so densely that its samples lie about a pixel apart. Every sample falls on the four pixels around
it and the nearest to the viewer stays; Newton's method then finds the exact place on the sheet that the pixel's centre
sees. Where there is none, the pixel looks past the edge, at what is behind. So outlines are exact to a third of a
pixel, and no triangle is ever drawn.
"""

from dataclasses import dataclass

import cv2
import numpy as np

_INDEX_BITS = 24  # of the packed sort key; the rest is nearness
_NEARNESS_STEPS = 1 << 20
_NEARNESS_RANGE = (-16.0, 8.0)  # head units
_SPACING = 1.4  # pixels between samples; each falls on two by two
_TOLERANCE = 0.3  # pixels that a solved place may lie off
_BEHIND = 0.02  # head units that the next surface lies further away at least
_GAP = (5, 5)  # pixels; a smaller gap in a sheet is none
_ROUNDS = 2  # of Newton's method, from a sample to a pixel's place
_REACH = np.float32(3)  # samples that a pixel's place may lie from the sample it was found by
_FINEST = 40  # samples between two grid points at most


@dataclass
class Sheet:
    """A surface.

    points: (rows, columns, 3) in camera coordinates, float32.
    paint: (height, width, 4) over the same rows and columns, float32 in [0, 1]: linear colours, and the share of light
        that is reflected as a highlight.
    alpha: (height, width), 0 where the sheet has a hole; None has none.
    both_sides: seen from behind too. casts_shadow: on other sheets and itself.
    ambient: (rows, columns), share of the surrounding light that reaches each point.
    """

    points: np.ndarray
    paint: np.ndarray
    alpha: np.ndarray | None = None
    both_sides: bool = False
    casts_shadow: bool = True
    ambient: np.ndarray | None = None


def painted(points: np.ndarray, colour: np.ndarray, gloss: float = 0.0, **options) -> Sheet:
    """A sheet with a colour as on a screen: one (3,), or a picture (height, width, 3)."""
    colour = np.atleast_3d(np.asarray(colour, np.float32).reshape(1, 1, 3) if np.ndim(colour) == 1 else colour)
    paint = np.full((*colour.shape[:2], 4), gloss, np.float32)
    light = paint[..., :3]
    np.clip(colour, 0.008, 1, out=light)
    light *= light  # screens show about the square
    return Sheet(points.astype(np.float32), paint, **options)


@dataclass
class Hits:
    """The pixels that see a sheet: their flat numbers, the grid places (columns, rows) they see, and their nearness."""

    pixels: np.ndarray
    u: np.ndarray
    v: np.ndarray
    near: np.ndarray


def sample(values: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Values (h, w, ...) at places (n,) between its points, linearly; (n, ...)."""
    width = 4096
    rows = -(-len(u) // width)
    padded = np.zeros((2, rows * width), np.float32)
    padded[0, : len(u)], padded[1, : len(u)] = u, v
    mapped = cv2.remap(
        values, padded[0].reshape(rows, width), padded[1].reshape(rows, width), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return mapped.reshape(rows * width, *values.shape[2:])[: len(u)]


def seen_pixels(screen: np.ndarray, side: int, both_sides: bool = False, alpha: np.ndarray | None = None) -> Hits:
    """Which pixels of a square picture see a sheet, and where.

    Args:
        screen: (rows, columns, 3): x and y in pixels, whole numbers at centres, and nearness.
        side: of the picture. alpha: holes of the sheet.
    """
    samples, cells = _sampled(screen, side, both_sides, alpha), _cells(screen)
    hits, off = _solved(screen, cells, samples, *_nearest(samples, side), side)
    missed = off > _TOLERANCE
    if not missed.any():
        return hits
    # Beside an edge the nearest sample lies less than a pixel away, but a pixel's centre sees what is behind it.
    behind = np.full((side + 2) ** 2, -np.inf, np.float32)
    behind[_framed(hits.pixels[missed], side)] = hits.near[missed] - _BEHIND
    further, off = _solved(screen, cells, samples, *_nearest(samples, side, behind), side)
    found = off <= _TOLERANCE
    seen = np.zeros(side * side, np.uint8)
    seen[hits.pixels[~missed]] = 1
    seen[further.pixels[found]] = 1
    inside = cv2.morphologyEx(seen.reshape(side, side), cv2.MORPH_CLOSE, np.ones(_GAP, np.uint8)).ravel()
    kept = ~missed | ((inside > seen)[hits.pixels])  # where nothing was found between two edges, the first guess serves
    parts = [(getattr(hits, name)[kept], getattr(further, name)[found]) for name in ("pixels", "u", "v", "near")]
    return Hits(*(np.concatenate(part) for part in parts))


def depth(screen: np.ndarray, side: int, alpha: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The flat numbers of the pixels that see a sheet, from whichever side, and how near it is there: to a pixel."""
    samples = _sampled(screen, side, True, alpha)
    pixels, chosen = _nearest(samples, side)
    return pixels, samples.near[chosen]


@dataclass
class _Samples:
    """Points of a sheet in the picture.

    columns, rows: grid places, and how far the next ones lie (2, n). index: of every point among all pairs of a row and
    a column. x, y, near: where the points lie in the picture.
    """

    columns: np.ndarray
    rows: np.ndarray
    index: np.ndarray
    x: np.ndarray
    y: np.ndarray
    near: np.ndarray


def _sampled(screen, side, both_sides, alpha) -> _Samples:
    """The samples of a sheet that lie in the picture and face the viewer, closer together where it is stretched."""
    xu, yu, xv, yv = _slopes(screen)
    facing = xu * yv - yu * xv
    counted = (facing > 0) | both_sides
    if not counted.any():
        return _Samples(*np.empty((2, 2, 0), np.float32), np.empty(0, int), *np.empty((3, 0), np.float32))
    columns, rows = _spaced(np.hypot(xu, yu), counted, 0), _spaced(np.hypot(xv, yv), counted, 1)
    u, v = columns[0], rows[0]
    planes = [*cv2.split(screen), *(() if both_sides else (facing,))]
    x, y, near, *front = (_between(np.ascontiguousarray(_between(plane.T, u).T), v).ravel() for plane in planes)
    inside = (x > -1) & (x < side) & (y > -1) & (y < side)
    for plane in front:
        inside &= plane > 0
    if alpha is not None:
        zoom = (np.array(alpha.shape) - 1) / (np.array(screen.shape[:2]) - 1)
        inside &= alpha[np.ix_(np.round(v * zoom[0]).astype(int), np.round(u * zoom[1]).astype(int))].ravel() > 0.5
    index = np.flatnonzero(inside)
    if len(index) >= 1 << _INDEX_BITS:
        raise ValueError(f"the picture is too large. Received {side} pixels a side; a smaller one is right")
    return _Samples(columns, rows, index, x[index], y[index], near[index])


def _spaced(steps: np.ndarray, counted: np.ndarray, axis: int) -> np.ndarray:
    """Grid places along columns (axis 0 goes over the rows) or rows, and how far apart they are there, (2, n).

    steps: (rows, columns) length in pixels of a grid step at every point.
    """
    needed = np.where(counted, steps, 0).max(axis=axis)
    needed = np.clip(np.ceil(np.maximum(needed[:-1], needed[1:]) / _SPACING), 1, _FINEST).astype(int)
    first = np.repeat(np.cumsum(needed) - needed, needed)
    part = (np.arange(needed.sum()) - first) / np.repeat(needed, needed)
    places = np.append(np.repeat(np.arange(len(needed)), needed) + part, len(needed))
    return np.stack([places, 1 / np.append(np.repeat(needed, needed), needed[-1])]).astype(np.float32)


def _between(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Rows (n, columns) of a grid at places between its own, linearly."""
    low = np.minimum(places.astype(int), len(values) - 2)
    before = np.take(values, low, axis=0)
    return before + (places - low).astype(np.float32)[:, None] * (np.take(values, low + 1, axis=0) - before)


def _nearest(samples: _Samples, side: int, behind: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """For every pixel the nearest of the samples less than a pixel away: flat numbers of pixels and of samples.

    behind: framed picture of nearness; only samples that are less near count, and only where it is finite.
    """
    low, high = _NEARNESS_RANGE
    key = ((samples.near - low) * (_NEARNESS_STEPS / (high - low))).astype(np.int64) << _INDEX_BITS
    key |= np.arange(len(key))
    framed = side + 2  # a pixel on every side, so that no sample needs a test
    corner = (np.floor(samples.y).astype(np.int64) + 1) * framed + np.floor(samples.x).astype(np.int64) + 1
    nearest, steps = np.zeros(framed * framed, np.int64), (0, 1, framed, framed + 1)
    if behind is not None:
        wanted = np.isfinite(behind)
        beside = np.zeros_like(wanted)
        for step in steps:
            beside[: len(wanted) - step] |= wanted[step:]
        some = np.flatnonzero(beside[corner])
        corner, key, near = corner[some], key[some], samples.near[some]
    for step in steps:
        further = slice(None) if behind is None else near < behind[corner + step]
        np.maximum.at(nearest, corner[further] + step, key[further])
    seen = nearest.reshape(framed, framed)[1:-1, 1:-1].ravel()
    pixels = np.flatnonzero(seen != 0)  # several times faster than of the numbers themselves
    return pixels, seen[pixels] & ((1 << _INDEX_BITS) - 1)


def _solved(screen, cells, samples: _Samples, pixels, chosen, side) -> tuple[Hits, np.ndarray]:
    """Newton's method from samples to the places that the pixels' centres see; and how far off, in pixels, they are."""
    if not len(pixels):
        return Hits(pixels, *np.empty((3, 0), np.float32)), np.empty(0, np.float32)
    row, column = np.divmod(samples.index[chosen], samples.columns.shape[1])
    (u, u_step), (v, v_step) = samples.columns[:, column], samples.rows[:, row]
    most = _REACH * u_step, _REACH * v_step
    below, right = (place.astype(np.float32) for place in np.divmod(pixels, side))
    close = np.maximum(np.abs(right - samples.x[chosen]), np.abs(below - samples.y[chosen])) <= _TOLERANCE
    for _ in range(_ROUNDS):
        x, y, slope = _in_cells(cells, screen.shape, u, v)
        u_off, v_off = _offsets(right - x, below - y, slope, most)
        u, v = np.clip(u + u_off, 0, screen.shape[1] - 1), np.clip(v + v_off, 0, screen.shape[0] - 1)
    x, y, _ = _in_cells(cells, screen.shape, u, v)
    off = np.maximum(np.abs(right - x), np.abs(below - y))
    off[close] = 0  # at a pole, where columns meet, there is nothing to solve
    return Hits(pixels, u, v, samples.near[chosen]), off


def _cells(screen: np.ndarray) -> np.ndarray:
    """Every grid cell's bilinear form (8, cells): x, y at its corner, their slopes along u and v, and across both."""
    cells = np.zeros((4, 2, *screen.shape[:2]), np.float32)
    planes, across, down, both = cells  # each of x and of y; the last row and column begin no cell
    planes[:] = screen[..., 0], screen[..., 1]
    np.subtract(planes[..., 1:], planes[..., :-1], out=across[..., :-1])
    np.subtract(planes[:, 1:], planes[:, :-1], out=down[:, :-1])
    np.subtract(across[:, 1:], across[:, :-1], out=both[:, :-1])
    return cells.reshape(8, -1)


def _in_cells(cells: np.ndarray, shape: tuple[int, ...], u: np.ndarray, v: np.ndarray):
    """x and y (n,) in the picture of grid places, and their slopes there: xu, yu, xv, yv."""
    column, row = np.minimum(u.astype(np.int32), shape[1] - 2), np.minimum(v.astype(np.int32), shape[0] - 2)
    x, y, xu, yu, xv, yv, xuv, yuv = np.take(cells, row * shape[1] + column, axis=1)
    fu, fv = u - column.astype(np.float32), v - row.astype(np.float32)
    xu, yu = xu + fv * xuv, yu + fv * yuv
    return x + fu * xu + fv * xv, y + fu * yu + fv * yv, (xu, yu, xv + fu * xuv, yv + fu * yuv)


def _framed(pixels: np.ndarray, side: int) -> np.ndarray:
    """Flat numbers of pixels in a picture with a frame of one pixel."""
    row, column = np.divmod(pixels, side)
    return (row + 1) * (side + 2) + column + 1


def _slopes(screen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Change of x and of y from one column to the next, then from one row to the next."""
    x, y = np.ascontiguousarray(screen[..., 0]), np.ascontiguousarray(screen[..., 1])
    return np.gradient(x, axis=1), np.gradient(y, axis=1), np.gradient(x, axis=0), np.gradient(y, axis=0)


def _offsets(
    x: np.ndarray, y: np.ndarray, slopes: tuple[np.ndarray, ...], most: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Steps on the grid, columns and rows, that lead (x, y) pixels away on the picture."""
    xu, yu, xv, yv = slopes
    det = xu * yv - yu * xv
    det = np.where(np.abs(det) < 1e-4, np.float32(1e-4), det)
    return (
        np.clip((x * yv - y * xv) / det, -most[0], most[0]),
        np.clip((y * xu - x * yu) / det, -most[1], most[1]),
    )


def normals(points: np.ndarray) -> np.ndarray:
    """Unit normals (rows, columns, 3) of a grid of points, towards the side it is seen from."""
    planes = [np.ascontiguousarray(points[..., k]) for k in range(3)]
    (ax, ay, az), (bx, by, bz) = ([np.gradient(plane, axis=axis) for plane in planes] for axis in (1, 0))
    normal = cv2.merge([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
    return normal / np.maximum(np.sqrt(np.einsum("rck,rck->rc", normal, normal)), 1e-9)[..., None]
