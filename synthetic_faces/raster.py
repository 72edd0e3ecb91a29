"""Rasteriser of curved surfaces: point splatting with a z-buffer, then inverse bilinear interpolation per pixel.

A surface is a grid of points with a texture, projected to x and y in pixels and depth. `rasterise` works in four steps:

1. Subdivide the grid until neighbouring samples lie about a pixel apart; drop samples outside the image, in holes of
   the surface and on its back.
2. Splat: every sample falls on the 2 x 2 pixels around it. A z-buffer keeps the nearest sample of each pixel. Depth and
   sample index share one 64-bit key, so that one maximum per pixel does the test.
3. Solve: Newton's method inverts the bilinear form of the grid cell, from the sample to the exact grid coordinates
   (u, v) that project to the pixel's centre.
4. Pixels without a solution lie beside an edge. They take the next surface behind it, if there is one.

Outlines are exact to a third of a pixel, and no triangle is drawn. References: Levoy and Whitted, "The use of points as
a display primitive", 1985 (splatting); Heckbert, "Fundamentals of texture mapping and image warping", 1989 (bilinear
mapping and its inverse). Other modules use `rasterise` and `depth_map`; names with an underscore are internal.
"""

from dataclasses import dataclass

import cv2
import numpy as np

_INDEX_BITS = 24  # of the packed sort key; the rest is depth
_DEPTH_STEPS = 1 << 20
_DEPTH_RANGE = (-16.0, 8.0)  # head units
_SPACING = 1.4  # pixels between samples; each falls on two by two
_TOLERANCE = 0.3  # pixels between a pixel's centre and the projection of its solution, at most
_SEPARATION = 0.02  # head units between a surface and the next one behind it, at least
_GAP = (5, 5)  # pixels; smaller gaps in a surface are closed
_NEWTON_STEPS = 2
_MAX_OFFSET = np.float32(3)  # samples between a solution and the sample it was found from
_MAX_SUBDIVISION = 40  # samples between two grid points


@dataclass
class Surface:
    """A curved surface with a texture.

    Attributes:
        points: (rows, columns, 3), float32: x right, y down and depth towards the viewer, in head units.
        texture: (height, width, 4) over the same rows and columns, float32 in [0, 1]: linear RGB, and the fraction of
            light that is reflected as a highlight.
        alpha: (height, width), 0 in holes of the surface; default: no holes.
        two_sided: visible from behind too.
        casts_shadow: casts shadows on other surfaces and on itself.
        ambient: (rows, columns), fraction of the surrounding light that reaches each point; default: 1.
    """

    points: np.ndarray
    texture: np.ndarray
    alpha: np.ndarray | None = None
    two_sided: bool = False
    casts_shadow: bool = True
    ambient: np.ndarray | None = None

    @classmethod
    def from_colour(cls, points: np.ndarray, colour: np.ndarray, gloss: float = 0.0, **options) -> "Surface":
        """Create a surface from a screen colour.

        Args:
            points: (rows, columns, 3), see the class.
            colour: (3,), or an image (height, width, 3), in [0, 1].
            gloss: fraction of light that is reflected as a highlight.
            options: other attributes of the surface.
        """
        colour = np.atleast_3d(np.asarray(colour, np.float32).reshape(1, 1, 3) if np.ndim(colour) == 1 else colour)
        texture = np.full((*colour.shape[:2], 4), gloss, np.float32)
        light = texture[..., :3]
        np.clip(colour, 0.008, 1, out=light)
        light *= light  # a screen's gamma is about 2
        return cls(points.astype(np.float32), texture, **options)


@dataclass
class Fragments:
    """Pixels in which a surface is visible, and the point of the surface at the centre of each.

    Attributes:
        pixels: (n,) flat indices.
        u: (n,) grid columns, between the grid's own.
        v: (n,) grid rows.
        depth: (n,) larger is nearer to the viewer.
    """

    pixels: np.ndarray
    u: np.ndarray
    v: np.ndarray
    depth: np.ndarray


def rasterise(screen: np.ndarray, size: int, two_sided: bool = False, alpha: np.ndarray | None = None) -> Fragments:
    """Return the fragments of a surface in a square image.

    Args:
        screen: (rows, columns, 3): x and y in pixels, integers at pixel centres, and depth.
        size: side of the image in pixels.
        two_sided: keep the back of the surface too.
        alpha: (height, width), 0 in holes of the surface.

    Raises:
        ValueError: the image is too large.
    """
    samples, cells = _subdivide(screen, size, two_sided, alpha), _bilinear_forms(screen)
    fragments, error = _solve(screen, cells, samples, *_splat(samples, size), size)
    missed = error > _TOLERANCE
    if not missed.any():
        return fragments
    # Beside an edge the nearest sample is less than a pixel away, but a pixel's centre may see the surface behind it.
    limit = np.full((size + 2) ** 2, -np.inf, np.float32)
    limit[_padded_index(fragments.pixels[missed], size)] = fragments.depth[missed] - _SEPARATION
    behind, error = _solve(screen, cells, samples, *_splat(samples, size, limit), size)
    found = error <= _TOLERANCE
    filled = np.zeros(size * size, np.uint8)
    filled[fragments.pixels[~missed]] = 1
    filled[behind.pixels[found]] = 1
    closed = cv2.morphologyEx(filled.reshape(size, size), cv2.MORPH_CLOSE, np.ones(_GAP, np.uint8)).ravel()
    kept = ~missed | ((closed > filled)[fragments.pixels])  # small gaps between two edges keep the first guess
    parts = [(getattr(fragments, name)[kept], getattr(behind, name)[found]) for name in ("pixels", "u", "v", "depth")]
    return Fragments(*(np.concatenate(part) for part in parts))


def depth_map(screen: np.ndarray, size: int, alpha: np.ndarray | None = None) -> np.ndarray:
    """Return the depth of a surface, seen from either side, in the pixels of a square image.

    Args:
        screen: (rows, columns, 3): x and y in pixels, integers at pixel centres, and depth.
        size: side of the image in pixels.
        alpha: (height, width), 0 in holes of the surface.

    Returns:
        (size, size), float32, exact to a pixel; -inf outside the surface.
    """
    samples = _subdivide(screen, size, True, alpha)
    pixels, nearest = _splat(samples, size)
    depth = np.full(size * size, -np.inf, np.float32)
    depth[pixels] = samples.depth[nearest]
    return depth.reshape(size, size)


def bilinear_sample(values: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return values (n, ...) of a grid (rows, columns, ...) at columns u (n,) and rows v (n,)."""
    width = 4096
    rows = -(-len(u) // width)
    padded = np.zeros((2, rows * width), np.float32)
    padded[0, : len(u)], padded[1, : len(u)] = u, v
    mapped = cv2.remap(
        values, padded[0].reshape(rows, width), padded[1].reshape(rows, width), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return mapped.reshape(rows * width, *values.shape[2:])[: len(u)]


def get_normals(points: np.ndarray) -> np.ndarray:
    """Return unit normals (rows, columns, 3) of a grid of points, towards its front."""
    planes = [np.ascontiguousarray(points[..., k]) for k in range(3)]
    (ax, ay, az), (bx, by, bz) = ([np.gradient(plane, axis=axis) for plane in planes] for axis in (1, 0))
    normal = cv2.merge([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
    return normal / np.maximum(np.sqrt(np.einsum("rck,rck->rc", normal, normal)), 1e-9)[..., None]


# ----------------------------------------------------------------------------------------------------------------------
# 1. Subdivision
# ----------------------------------------------------------------------------------------------------------------------


@dataclass
class _Samples:
    """Samples of a surface in the image.

    Attributes:
        columns: (2, columns): grid columns of the subdivided grid, and their spacing.
        rows: (2, rows), the same of its rows.
        index: (n,) flat index of every sample in the subdivided grid.
        x: (n,) in pixels.
        y: (n,) in pixels.
        depth: (n,)
    """

    columns: np.ndarray
    rows: np.ndarray
    index: np.ndarray
    x: np.ndarray
    y: np.ndarray
    depth: np.ndarray


def _subdivide(screen, size, two_sided, alpha) -> _Samples:
    """Return the samples in the image that face the viewer; they are denser where the surface is stretched."""
    xu, yu, xv, yv = _gradients(screen)
    facing = xu * yv - yu * xv
    counted = (facing > 0) | two_sided
    if not counted.any():
        return _Samples(*np.empty((2, 2, 0), np.float32), np.empty(0, int), *np.empty((3, 0), np.float32))
    columns, rows = _subdivide_axis(np.hypot(xu, yu), counted, 0), _subdivide_axis(np.hypot(xv, yv), counted, 1)
    u, v = columns[0], rows[0]
    planes = [*cv2.split(screen), *(() if two_sided else (facing,))]
    x, y, depth, *front = (
        _interpolate(np.ascontiguousarray(_interpolate(plane.T, u).T), v).ravel() for plane in planes
    )
    inside = (x > -1) & (x < size) & (y > -1) & (y < size)
    for plane in front:
        inside &= plane > 0
    if alpha is not None:
        zoom = (np.array(alpha.shape) - 1) / (np.array(screen.shape[:2]) - 1)
        inside &= alpha[np.ix_(np.round(v * zoom[0]).astype(int), np.round(u * zoom[1]).astype(int))].ravel() > 0.5
    index = np.flatnonzero(inside)
    if len(index) >= 1 << _INDEX_BITS:
        raise ValueError(f"the image is too large. Received a side of {size} pixels")
    return _Samples(columns, rows, index, x[index], y[index], depth[index])


def _subdivide_axis(steps: np.ndarray, counted: np.ndarray, axis: int) -> np.ndarray:
    """Return grid coordinates of the subdivided columns (axis 0) or rows (axis 1), and their spacing, (2, n).

    Args:
        steps: (rows, columns), length of a grid step in pixels at every point.
        counted: (rows, columns), points whose steps count.
        axis: the axis over which the longest step is taken.
    """
    needed = np.where(counted, steps, 0).max(axis=axis)
    needed = np.clip(np.ceil(np.maximum(needed[:-1], needed[1:]) / _SPACING), 1, _MAX_SUBDIVISION).astype(int)
    first = np.repeat(np.cumsum(needed) - needed, needed)
    part = (np.arange(needed.sum()) - first) / np.repeat(needed, needed)
    coordinates = np.append(np.repeat(np.arange(len(needed)), needed) + part, len(needed))
    return np.stack([coordinates, 1 / np.append(np.repeat(needed, needed), needed[-1])]).astype(np.float32)


def _interpolate(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return rows (n, columns) of a grid between its own, linearly interpolated."""
    low = np.minimum(rows.astype(int), len(values) - 2)
    before = np.take(values, low, axis=0)
    return before + (rows - low).astype(np.float32)[:, None] * (np.take(values, low + 1, axis=0) - before)


def _gradients(screen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the change of x and y from one column to the next, then from one row to the next."""
    x, y = np.ascontiguousarray(screen[..., 0]), np.ascontiguousarray(screen[..., 1])
    return np.gradient(x, axis=1), np.gradient(y, axis=1), np.gradient(x, axis=0), np.gradient(y, axis=0)


# ----------------------------------------------------------------------------------------------------------------------
# 2. Splatting
# ----------------------------------------------------------------------------------------------------------------------


def _splat(samples: _Samples, size: int, limit: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels with a sample less than a pixel away, and the nearest sample of each.

    Args:
        samples: of the surface.
        size: side of the image.
        limit: padded, flat map of depth: only samples behind it count, and only where it is finite; default: all.

    Returns:
        flat indices of pixels (n,), and indices of samples (n,).
    """
    low, high = _DEPTH_RANGE
    key = ((samples.depth - low) * (_DEPTH_STEPS / (high - low))).astype(np.int64) << _INDEX_BITS
    key |= np.arange(len(key))
    padded = size + 2  # a pixel on every side, so that no sample needs a test
    corner = (np.floor(samples.y).astype(np.int64) + 1) * padded + np.floor(samples.x).astype(np.int64) + 1
    nearest, steps = np.zeros(padded * padded, np.int64), (0, 1, padded, padded + 1)
    if limit is not None:
        wanted = np.isfinite(limit)
        beside = np.zeros_like(wanted)
        for step in steps:
            beside[: len(wanted) - step] |= wanted[step:]
        some = np.flatnonzero(beside[corner])
        corner, key, depth = corner[some], key[some], samples.depth[some]
    for step in steps:
        behind = slice(None) if limit is None else depth < limit[corner + step]
        np.maximum.at(nearest, corner[behind] + step, key[behind])
    nearest = nearest.reshape(padded, padded)[1:-1, 1:-1].ravel()
    pixels = np.flatnonzero(nearest != 0)  # several times faster than of the numbers themselves
    return pixels, nearest[pixels] & ((1 << _INDEX_BITS) - 1)


def _padded_index(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return flat indices of pixels in an image with a border of one pixel."""
    row, column = np.divmod(pixels, size)
    return (row + 1) * (size + 2) + column + 1


# ----------------------------------------------------------------------------------------------------------------------
# 3. Inverse bilinear interpolation
# ----------------------------------------------------------------------------------------------------------------------


def _solve(screen, cells, samples: _Samples, pixels, nearest, size) -> tuple[Fragments, np.ndarray]:
    """Return the fragments at the centres of pixels, and the error (n,) in pixels of each solution."""
    if not len(pixels):
        return Fragments(pixels, *np.empty((3, 0), np.float32)), np.empty(0, np.float32)
    row, column = np.divmod(samples.index[nearest], samples.columns.shape[1])
    (u, u_step), (v, v_step) = samples.columns[:, column], samples.rows[:, row]
    limits = _MAX_OFFSET * u_step, _MAX_OFFSET * v_step
    below, right = (coordinate.astype(np.float32) for coordinate in np.divmod(pixels, size))
    close = np.maximum(np.abs(right - samples.x[nearest]), np.abs(below - samples.y[nearest])) <= _TOLERANCE
    for _ in range(_NEWTON_STEPS):
        x, y, gradients = _evaluate(cells, screen.shape, u, v)
        u_step, v_step = _newton_step(right - x, below - y, gradients, limits)
        u, v = np.clip(u + u_step, 0, screen.shape[1] - 1), np.clip(v + v_step, 0, screen.shape[0] - 1)
    x, y, _ = _evaluate(cells, screen.shape, u, v)
    error = np.maximum(np.abs(right - x), np.abs(below - y))
    error[close] = 0  # at a pole, where columns meet, there is nothing to solve
    return Fragments(pixels, u, v, samples.depth[nearest]), error


def _bilinear_forms(screen: np.ndarray) -> np.ndarray:
    """Return the bilinear form of every grid cell (8, cells): x, y at its corner, along u, along v, and mixed."""
    cells = np.zeros((4, 2, *screen.shape[:2]), np.float32)
    planes, along_u, along_v, mixed = cells  # each of x and of y; the last row and column begin no cell
    planes[:] = screen[..., 0], screen[..., 1]
    np.subtract(planes[..., 1:], planes[..., :-1], out=along_u[..., :-1])
    np.subtract(planes[:, 1:], planes[:, :-1], out=along_v[:, :-1])
    np.subtract(along_u[:, 1:], along_u[:, :-1], out=mixed[:, :-1])
    return cells.reshape(8, -1)


def _evaluate(cells: np.ndarray, shape: tuple[int, ...], u: np.ndarray, v: np.ndarray):
    """Return x and y (n,) in pixels at grid coordinates, and their gradients xu, yu, xv, yv."""
    column, row = np.minimum(u.astype(np.int32), shape[1] - 2), np.minimum(v.astype(np.int32), shape[0] - 2)
    x, y, xu, yu, xv, yv, xuv, yuv = np.take(cells, row * shape[1] + column, axis=1)
    fu, fv = u - column.astype(np.float32), v - row.astype(np.float32)
    xu, yu = xu + fv * xuv, yu + fv * yuv
    return x + fu * xu + fv * xv, y + fu * yu + fv * yv, (xu, yu, xv + fu * xuv, yv + fu * yuv)


def _newton_step(
    x: np.ndarray, y: np.ndarray, gradients: tuple[np.ndarray, ...], limits: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the grid steps along u and v that move the projection by (x, y) pixels."""
    xu, yu, xv, yv = gradients
    det = xu * yv - yu * xv
    det = np.where(np.abs(det) < 1e-4, np.float32(1e-4), det)
    return (
        np.clip((x * yv - y * xv) / det, -limits[0], limits[0]),
        np.clip((y * xu - x * yu) / det, -limits[1], limits[1]),
    )
