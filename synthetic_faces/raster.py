"""Turns sheets, curved surfaces with a picture painted on them, into pixels.

A sheet is sampled so densely that its samples lie about a pixel apart. Every sample falls on the four pixels around
it, the nearest to the viewer stays, and the exact place on the sheet that a pixel's centre sees follows from the
sample's own derivative. So outlines are exact to a fraction of a pixel, and no triangle is ever drawn.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

_INDEX_BITS = 24  # of the packed sort key; the rest is nearness
_NEARNESS_STEPS = 1 << 20
_NEARNESS_RANGE = (-16.0, 8.0)  # head units
_SPACING = 1.6  # pixels between samples; each falls on two by two
_ROUNDS = 2  # of Newton's method, from a sample to a pixel's place
_REACH = 3.0  # samples that a pixel's place may lie from the sample it was found by
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

    def mirrored(self) -> "Sheet":
        """The sheet of the mirrored scene."""
        grids = {name: getattr(self, name) for name in ("points", "paint", "alpha", "ambient")}
        flipped = {name: np.ascontiguousarray(grid[:, ::-1]) for name, grid in grids.items() if grid is not None}
        return replace(self, **{**flipped, "points": flipped["points"] * np.float32([-1, 1, 1])})


def painted(points: np.ndarray, colour: np.ndarray, gloss: float = 0.0, **options) -> Sheet:
    """A sheet with a colour as on a screen: one (3,), or a picture (height, width, 3)."""
    colour = np.atleast_3d(np.asarray(colour, np.float32).reshape(1, 1, 3) if np.ndim(colour) == 1 else colour)
    paint = np.full((*colour.shape[:2], 4), gloss, np.float32)
    paint[..., :3] = np.square(np.clip(colour, 0.008, 1))  # screens show about the square
    return Sheet(points.astype(np.float32), paint, **options)


@dataclass
class Hits:
    """The pixels that see a sheet: their flat numbers, the grid places (columns, rows) they see, and their nearness."""

    pixels: np.ndarray
    u: np.ndarray
    v: np.ndarray
    near: np.ndarray


def stretch(values: np.ndarray, times: tuple[int, int]) -> np.ndarray:
    """A grid with (across, down) samples for each of its points: sample k lies at (k + 0.5) / times - 0.5."""
    return cv2.resize(values, None, fx=times[0], fy=times[1], interpolation=cv2.INTER_LINEAR)


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


def look(screen: np.ndarray, side: int, both_sides: bool = False, alpha: np.ndarray | None = None) -> Hits:
    """Which pixels of a square picture see a sheet, and where.

    Args:
        screen: (rows, columns, 3): x and y in pixels, whole numbers at centres, and nearness.
        side: of the picture. alpha: holes of the sheet.
    """
    slopes = _slopes(screen)
    pixels, index, (x, y, near), times = _nearest(screen, slopes, side, both_sides, alpha)
    if not len(pixels):
        return Hits(pixels, *np.empty((3, 0), np.float32))
    row, column = np.divmod(index, screen.shape[1] * times[0])
    half = np.float32(0.5)
    u, v = (column + half) / np.float32(times[0]) - half, (row + half) / np.float32(times[1]) - half
    below, right = np.divmod(pixels, side)
    slope, most = sample(cv2.merge(slopes), u, v), np.float32(_REACH) / np.float32(times)
    for _ in range(_ROUNDS):
        u_off, v_off = _offsets(right - x, below - y, slope, most)
        u, v = np.clip(u + u_off, 0, screen.shape[1] - 1), np.clip(v + v_off, 0, screen.shape[0] - 1)
        x, y = sample(np.ascontiguousarray(screen[..., :2]), u, v).T
    return Hits(pixels, u.astype(np.float32), v.astype(np.float32), near)


def depth(screen: np.ndarray, side: int, alpha: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The flat numbers of the pixels that see a sheet, from whichever side, and how near it is there."""
    pixels, _, (_, _, near), _ = _nearest(screen, _slopes(screen), side, True, alpha)
    return pixels, near


def _nearest(screen, slopes, side, both_sides, alpha):
    """For every pixel the sample nearest to the viewer: pixels, samples, their x, y and nearness; samples a step."""
    xu, yu, xv, yv = slopes
    facing = xu * yv - yu * xv
    counted = np.ones(facing.shape, bool) if both_sides else facing > 0
    if not counted.any():
        return np.empty(0, int), np.empty(0, int), np.empty((3, 0), np.float32), (1, 1)
    times = tuple(_samples(np.hypot(*slope)[counted]) for slope in ((xu, yu), (xv, yv)))
    x, y, near = (stretch(np.ascontiguousarray(screen[..., k]), times).ravel() for k in range(3))
    rows, columns = screen.shape[0] * times[1], screen.shape[1] * times[0]
    inside = (x > -1) & (x < side) & (y > -1) & (y < side)
    if not both_sides:
        inside &= stretch(facing, times).ravel() > 0
    if alpha is not None:
        inside &= cv2.resize(alpha, (columns, rows), interpolation=cv2.INTER_LINEAR).ravel() > 0.5
    index = np.flatnonzero(inside)
    x, y, near = x[index], y[index], near[index]
    low, high = _NEARNESS_RANGE
    key = ((near - low) * (_NEARNESS_STEPS / (high - low))).astype(np.int64) << _INDEX_BITS
    key |= np.arange(len(index))
    framed = side + 2  # a pixel on every side, so that no sample needs a test
    corner = (np.floor(y).astype(np.int64) + 1) * framed + np.floor(x).astype(np.int64) + 1
    nearest = np.zeros(framed * framed, np.int64)
    for step_on in (0, 1, framed, framed + 1):
        np.maximum.at(nearest, corner + step_on, key)
    seen = nearest.reshape(framed, framed)[1:-1, 1:-1].ravel()
    pixels = np.flatnonzero(seen)
    chosen = seen[pixels] & ((1 << _INDEX_BITS) - 1)
    return pixels, index[chosen], (x[chosen], y[chosen], near[chosen]), times


def _samples(steps: np.ndarray) -> int:
    """How many samples a grid step takes, from the lengths of all steps in pixels."""
    few = len(steps) // 200  # these may be longer, and leave pixels to what lies behind
    widest = np.partition(steps, len(steps) - 1 - few)[len(steps) - 1 - few]
    return int(np.clip(np.ceil(widest / _SPACING), 1, _FINEST))


def _slopes(screen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Change of x and of y from one column to the next, then from one row to the next."""
    x, y = np.ascontiguousarray(screen[..., 0]), np.ascontiguousarray(screen[..., 1])
    return np.gradient(x, axis=1), np.gradient(y, axis=1), np.gradient(x, axis=0), np.gradient(y, axis=0)


def _offsets(x: np.ndarray, y: np.ndarray, slopes: np.ndarray, most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps on the grid, columns and rows, that lead (x, y) pixels away on the picture."""
    xu, yu, xv, yv = slopes.T
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
