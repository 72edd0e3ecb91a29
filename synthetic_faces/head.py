"""The surface of a head, and the curves of the face on it.

Frontal coordinates (x, y) are those of the head from the front. The base of a head is a stack of horizontal sections
between an outline, its frontal view, and a profile, its side view; brows, eyes, nose, lips and folds are relief on it.
"""

import functools

import numpy as np

from synthetic_faces.parameters import FaceParameters

MIDDLE = -0.1  # height at which a head is widest
INNER_CORNER = 0.86  # of the mouth, fraction of the distance of the outer ones
RIM_Z = -0.04  # depth of the frontal silhouette beside the eyes
BROW_EDGE = 0.85  # fraction of half the thickness of a brow at which its edges are marked
BACK = 1.35  # depth of the back of the head behind its sides
TURN = np.radians(102)  # angle around a head, to either side, at which its mesh ends
MESH_ROWS, MESH_COLUMNS = 168, 141
EVEN_ROWS = 0.8  # fraction by which the rows of the mesh are even in height, not in angle
SIDE_SMOOTHNESS = 0.12  # width over which the two halves of a face blend, in mouth coordinates


def bump(x: np.ndarray, y: np.ndarray, centre: tuple, radii: tuple) -> np.ndarray:
    """Return a Gaussian hill of height 1."""
    return np.exp(-(((x - centre[0]) / radii[0]) ** 2) - ((y - centre[1]) / radii[1]) ** 2)


def _cos(row: np.ndarray) -> np.ndarray:
    """Return the cosine of an angle, not below 0."""
    return np.maximum(np.cos(row), 0)


def grid(rows: int, columns: int, ends: tuple[float, float], turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Return section angles (rows, 1) between two ends and turns (1, columns) to either side, float32."""
    row, around = np.linspace(*ends, rows, dtype=np.float32), np.linspace(-turn, turn, columns, dtype=np.float32)
    return row[:, None], around[None]


class Head:
    """The head of one person with one expression.

    Curves are y as functions of x; `side` is -1 at the image's left, 1 at the image's right. Lengths are in head units.

    Args:
        parameters: of the face.
    """

    def __init__(self, parameters: FaceParameters):
        p = self.person = parameters.person
        self.left, self.right = parameters.left, parameters.right
        self.smile = (max(self.left.smile, 0) + max(self.right.smile, 0)) / 2
        self.open, self.pucker = self.left.open, self.left.pucker  # one jaw: both halves alike
        self.gap = 0.34 * self.open  # between the lips
        self.chin = p.chin + 0.75 * self.gap
        self.nose_base = p.nose_tip + p.nose_base
        self.mouth_y = self.nose_base + p.mouth_gap * (1 - 0.12 * self.smile)
        self.gaze = parameters.pose.gaze_x, parameters.pose.gaze_y
        self._rows = np.linspace(-np.pi / 2, np.pi / 2, 513)
        self._heights, self._half_widths = self.height(self._rows), self.half_width(self._rows)
        even = (self._heights - p.crown) / (self.chin - p.crown)
        self._row_v = EVEN_ROWS * even + (1 - EVEN_ROWS) * (self._rows / np.pi + 0.5)
        self.mouth_half = p.mouth_half * (1 - 0.1 * self.open) * (1 - 0.35 * self.pucker)

    def half(self, side: int):
        """Return the expression of one half of the face."""
        return self.left if side < 0 else self.right

    # ----------------------------------------------------------------------------------------------------------------
    # The base
    # ----------------------------------------------------------------------------------------------------------------

    def get_row(self, y: np.ndarray) -> np.ndarray:
        """Return the section angle at a height y: -pi/2 at the crown, pi/2 under the chin."""
        y = np.asarray(y, float)
        down = np.clip((y - MIDDLE) / (self.chin - MIDDLE), 0, 1) ** (self.person.jaw / 2)
        up = np.clip((MIDDLE - y) / (MIDDLE - self.person.crown), 0, 1) ** 1.15
        return np.arcsin(down) - np.arcsin(up)

    def height(self, row: np.ndarray) -> np.ndarray:
        """Return the height y of a section, the inverse of `get_row`."""
        s = np.abs(np.sin(row))
        below = MIDDLE + (self.chin - MIDDLE) * s ** (2 / self.person.jaw)
        above = MIDDLE - (MIDDLE - self.person.crown) * s ** (1 / 1.15)
        return np.where(row > 0, below, above)

    def half_width(self, row: np.ndarray) -> np.ndarray:
        """Return half the width of a section."""
        p, t = self.person, np.clip(np.sin(row), 0, 1)
        corner = (p.jaw_corner + 0.03 * p.weight) * np.exp(-(((t - 0.55) / 0.22) ** 2))
        return (p.width + corner) * _cos(row) ** np.where(row > 0, 1, 0.9)

    def rim(self, row: np.ndarray) -> np.ndarray:
        """Return the depth of the sides of a section: the outline of the head, below it the edge of the jaw."""
        down, up = np.clip(np.sin(row), 0, 1), np.clip(-np.sin(row), 0, 1)
        return RIM_Z - 0.1 * down - 0.2 * up**2 + (self.person.chin_depth - RIM_Z + 0.1) * down**5

    def front(self, row: np.ndarray) -> np.ndarray:
        """Return the depth of the front of a section relative to its sides."""
        return self.person.depth * _cos(row) ** np.where(row > 0, 0.42, 0.62)

    def back(self, row: np.ndarray) -> np.ndarray:
        """Return the depth of the sides of a section relative to its back."""
        return BACK * _cos(row) ** np.where(row > 0, 1.9, 0.7)

    def base(self, row: np.ndarray, turn: np.ndarray) -> np.ndarray:
        """Return the head without relief (..., 3); rows (r, 1) and turns (1, c) give a grid (r, c, 3).

        Args:
            row: section angle.
            turn: angle in the section: 0 in front, +-pi/2 at the sides, more at the back of the head.
        """
        across, ahead, n = np.sin(turn), np.cos(turn), self.person.flatness
        radius = (np.abs(across) ** n + np.abs(ahead) ** n) ** (-1 / n)  # a superellipse in polar form
        x = self.half_width(row) * (radius * across)
        ahead = radius * ahead
        z = self.rim(row) + self.front(row) * np.maximum(ahead, 0) + self.back(row) * np.minimum(ahead, 0)
        return np.stack(np.broadcast_arrays(x, self.height(row), z), axis=-1).astype(np.result_type(row, turn))

    def skin(self, row: np.ndarray, turn: np.ndarray) -> np.ndarray:
        """Return the head with its relief (..., 3); the relief ends at the sides."""
        point = self.base(row, turn)
        point[..., 2] += self.relief(point[..., 0], point[..., 1]) * np.clip(4 * np.cos(turn), 0, 1)
        return point

    # ----------------------------------------------------------------------------------------------------------------
    # The mesh: it is rendered, and all ground truth is measured on it
    # ----------------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def mesh(self) -> np.ndarray:
        """Points (MESH_ROWS, MESH_COLUMNS, 3) of the front, float32; rows are denser on the face."""
        row = np.interp(np.linspace(0, 1, MESH_ROWS), self._row_v, self._rows)
        turn = np.linspace(-TURN, TURN, MESH_COLUMNS)
        return self.skin(row.astype(np.float32)[:, None], turn.astype(np.float32)[None])

    def to_uv(self, points: np.ndarray) -> np.ndarray:
        """Return texture coordinates (n, 2) in [0, 1] of frontal coordinates (n, 2)."""
        (x, y), n = points.T, self.person.flatness
        half_width = np.interp(y, self._heights, self._half_widths)
        across = np.minimum(np.abs(x) / np.maximum(half_width, 1e-6), 1)
        turn = np.sign(x) * np.arctan2(across, (1 - across**n) ** (1 / n))
        return np.stack([(turn / TURN + 1) / 2, np.interp(y, self._heights, self._row_v)], axis=-1)

    def to_surface(self, points: np.ndarray) -> np.ndarray:
        """Return the points (n, 3) of the mesh at frontal coordinates (n, 2)."""
        last = np.array([MESH_COLUMNS - 1, MESH_ROWS - 1])
        grid = np.clip(self.to_uv(points), 0, 1) * last
        low = np.minimum(grid.astype(int), last - 1)
        (u, v), (column, row) = (grid - low).T[..., None], low.T
        upper = (1 - u) * self.mesh[row, column] + u * self.mesh[row, column + 1]
        lower = (1 - u) * self.mesh[row + 1, column] + u * self.mesh[row + 1, column + 1]
        return (1 - v) * upper + v * lower

    # ----------------------------------------------------------------------------------------------------------------
    # Curves, y as functions of x
    # ----------------------------------------------------------------------------------------------------------------

    def eye_x(self, side: int, q: np.ndarray) -> np.ndarray:
        """Return x at eye coordinates q: -1 at the inner corner, 1 at the outer one."""
        return side * (self.person.eye_x + self.person.eye_half * np.asarray(q))

    def lids(self, side: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the heights y of the edges of upper and lower lid."""
        p, e = self.person, self.half(side)
        q = np.clip((side * np.asarray(x) - p.eye_x) / p.eye_half, -1, 1)
        line = -p.eye_tilt * q + 0.012
        wide = 1 + 0.18 * max(e.raise_brow, 0)
        upper = p.eye_upper * wide * (1 - np.abs(q) ** 2.3) ** 0.85 * (1 - 0.15 * q)
        lower = p.eye_lower * (1 - 0.55 * e.squint) * (1 - q**2) ** 0.9 * (1 + 0.2 * q)
        opening = (1 - e.blink) * (1 - 0.35 * e.squint)
        sag = lower * 0.8 + 0.02 * (1 - q**2)  # where closed lids meet
        return line + sag - opening * (upper + sag), line + sag + opening * (lower - sag)

    def brow_x(self, side: int, t: np.ndarray) -> np.ndarray:
        """Return x at brow coordinates t: 0 at the inner end, 1 at the outer one."""
        inner = self.person.brow_inner - 0.03 * max(self.half(side).frown, 0)
        return side * (inner + (self.person.brow_outer - inner) * np.asarray(t))

    def brow(self, side: int, t: np.ndarray, across: float = 0.0) -> np.ndarray:
        """Return points (n, 2) along a brow.

        Args:
            side: -1 or 1.
            t: from 0 at the inner end to 1 at the outer one.
            across: -1 at the upper edge, 0 on the centre-line, 1 at the lower edge.
        """
        p, e = self.person, self.half(side)
        t = np.asarray(t, float)
        y = p.brow_y - p.brow_arch * np.sin(np.pi * t**1.2) * (1 + 0.3 * e.raise_brow) + p.brow_slope * t
        y = y - 0.14 * e.raise_brow * (0.6 + 0.4 * t) + 0.09 * e.frown * (1 - t) ** 1.5
        thick = p.brow_thickness * np.minimum(1, 0.75 + 1.2 * t) * np.clip((1 - t) / 0.55, 0, 1) ** 0.7
        return np.stack([self.brow_x(side, t), y + across * thick], axis=-1)

    def ridge(self, t: np.ndarray) -> np.ndarray:
        """Return points (n, 2) down the ridge of the nose: t is 0 between the eyes, 1 at the tip."""
        y = -0.03 + (self.person.nose_tip + 0.03) * np.asarray(t, float)
        return np.stack([self.nose_middle(y), y], axis=-1)

    def nose_middle(self, y: np.ndarray) -> np.ndarray:
        """Return x of the middle of the nose at heights y; a bent nose leaves the middle of the face."""
        return self.person.nose_bend * np.clip(np.asarray(y) / self.person.nose_tip, 0, 1) ** 1.5

    def nose_bottom(self, t: np.ndarray) -> np.ndarray:
        """Return points (n, 2) along the lower boundary of the nose: t is 0 at the image's left, 1 at its right."""
        q = 2 * np.asarray(t, float) - 1
        flare = 1 + 0.1 * self.smile + 0.06 * self.open
        y = self.nose_base - 0.075 * np.abs(q) ** 1.7 + 0.012 * np.cos(2 * np.pi * q)
        return np.stack([self.nose_middle(self.nose_base) + self.person.nose_wings * flare * q, y], axis=-1)

    def lip_x(self, q: np.ndarray) -> np.ndarray:
        """Return x at mouth coordinates q: -1 at the corner at the image's left, 1 at the right one."""
        q = np.asarray(q, float)
        smile = np.where(q < 0, self.left.smile, self.right.smile)
        stretch = 1 + 0.2 * np.clip(smile, -0.4, 1) * np.abs(q)
        return self.person.mouth_bend + self.mouth_half * q * stretch

    def lips(self, q: np.ndarray) -> dict[str, np.ndarray]:
        """Return the heights of the four lip edges at mouth coordinates q: "upper outer", "upper inner", ..."""
        p, q = self.person, np.asarray(q, float)
        w = np.clip(0.5 + q / (2 * SIDE_SMOOTHNESS), 0, 1)
        smile = (1 - w) * self.left.smile + w * self.right.smile
        line = self.mouth_y - 0.15 * smile * (q**2 - 0.25) + 0.012 * (1 - q**2) ** 2
        arc = np.clip(1 - (q / INNER_CORNER) ** 2, 0, 1) ** 0.62
        thin = (1 - 0.22 * self.smile) * (1 + 0.25 * self.pucker)
        bow = (1 - q**2) ** 0.85 * (
            1 - p.cupid * np.exp(-((q / 0.17) ** 2)) + 0.12 * np.exp(-(((np.abs(q) - 0.3) / 0.2) ** 2))
        )
        full = (1 - q**2) ** 0.62
        inner_upper, inner_lower = line - 0.16 * self.gap * arc, line + 0.84 * self.gap * arc
        outer_lower = line + (inner_lower - line).max(initial=0) * full * 0.97 + p.lower_lip * thin * full
        return {
            "upper outer": inner_upper - p.upper_lip * thin * bow,
            "upper inner": inner_upper,
            "lower inner": inner_lower,
            "lower outer": np.maximum(outer_lower, inner_lower + 0.3 * p.lower_lip * full),
        }  # fmt: skip

    def iris(self, side: int) -> np.ndarray:
        """Return the position (2,) of the centre of an iris; the gaze shifts both alike."""
        return np.array([side * self.person.eye_x + self.gaze[0], self.gaze[1] - 0.012])

    # ----------------------------------------------------------------------------------------------------------------
    # Relief
    # ----------------------------------------------------------------------------------------------------------------

    def relief(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the relief along z at frontal coordinates."""
        p = self.person
        a = np.abs(x)
        rise = -0.1 * (self.left.raise_brow + self.right.raise_brow) / 2
        z = p.forehead * bump(x, y, (0, -0.75), (0.55, 0.35))
        z += p.brow_ridge * bump(a, y, (0.4, p.brow_y - 0.07 + rise), (0.34, 0.11))
        z -= p.eye_depth * bump(a, y, (0.4, 0.02), (0.3, 0.19))
        z += (p.cheek + 0.03) * bump(a, y, (0.62, 0.38), (0.26, 0.24))
        z -= (p.cheek_hollow - 0.03 * p.weight) * bump(a, y, (0.66, 0.95), (0.2, 0.28))
        z += (p.muzzle + 0.05) * bump(x, y, (0, self.mouth_y), (0.45, 0.3))
        z -= 0.07 * bump(x, y, (0, self._sulcus()), (0.26, 0.075))
        z += p.chin_boss * bump(x, y, (0, self.chin - 0.2), (0.26, 0.15))
        for side in (-1, 1):
            here = side * x
            smile = max(self.half(side).smile, 0)
            z += 0.09 * smile * bump(here, y, (0.5, 0.5), (0.2, 0.17))
            z += self._eye_relief(side, x, y)
            z += self._fold(side, here, y, smile)
        return z + self._nose_relief(x, y) + self._lip_relief(x, y)

    def _sulcus(self) -> float:
        """Return the height of the hollow between lower lip and chin."""
        lower = float(self.lips(np.zeros(1))["lower outer"][0])
        return lower + 0.3 * (self.chin - lower)

    def _eye_relief(self, side: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the relief of the eyeball behind the lids, and of the crease above it."""
        p = self.person
        here = side * x
        ball = 1 - ((here - p.eye_x) / 0.24) ** 2 - (y / 0.2) ** 2
        z = (0.06 + 0.45 * p.eye_depth) * np.sqrt(np.clip(ball, 0, 1))
        upper, _ = self.lids(side, x)
        around = np.abs(here - p.eye_x) < 1.15 * p.eye_half
        crease = np.where(around, np.exp(-(((y - upper + p.lid_crease + 0.012) / 0.02) ** 2)), 0)
        return z - 0.018 * crease * (1 - 0.5 * self.half(side).blink)

    def _fold(self, side: int, here: np.ndarray, y: np.ndarray, smile: float) -> np.ndarray:
        """Return the relief of the nasolabial fold, deeper with age and with a smile."""
        p = self.person
        top, end = self.nose_base - 0.12, self.mouth_y + 0.1
        t = np.clip((y - top) / (end - top), 0, 1)
        line = p.nose_wings + 0.05 + (self.mouth_half * (1.08 + 0.2 * smile) - p.nose_wings) * t**0.8
        depth = 0.015 + 0.03 * p.age + 0.045 * smile
        inside = np.where((y > top - 0.05) & (y < end + 0.05), np.sin(np.pi * np.clip(0.1 + 0.85 * t, 0, 1)), 0)
        d = here - line
        return depth * inside * (0.8 * np.exp(-(((d - 0.07) / 0.09) ** 2)) - np.exp(-((d / 0.032) ** 2)))

    def _nose_relief(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the relief of ridge, tip and wings of the nose, and of the shelf below them."""
        p, base = self.person, self.nose_base
        t = np.clip((y + 0.12) / (p.nose_tip + 0.12), 0, 1)
        rise = np.clip((y + 0.3) / 0.3, 0, 1) ** 2
        height = rise * (p.nasion + (p.nose_depth - p.nasion) * t**1.25 + p.nose_hump * np.sin(np.pi * t))
        below = 1 / (1 + np.exp(np.clip((y - base + 0.035) / 0.022, -60, 60)))  # the shelf under the nose
        width = p.nose_bridge + (0.62 * p.nose_wings - p.nose_bridge) * t**2
        a = np.abs(x - self.nose_middle(y))
        z = height * np.exp(-((a / width) ** 2.2)) * below
        z += 0.05 * bump(a, y, (0, p.nose_tip), (0.13, 0.12)) * below
        wing = bump(a, y, (0.8 * p.nose_wings, base - 0.11), (0.26 * p.nose_wings + 0.025, 0.1))
        shelf = 1 / (1 + np.exp(np.clip((y - base + 0.075 * np.clip(a / p.nose_wings, 0, 1) ** 1.7) / 0.016, -60, 60)))
        return z + 0.52 * p.nose_depth * wing * shelf

    def _lip_relief(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the relief of both lips, and of the opening between them."""
        lips, q = self.lip_edges(x)
        inside = np.abs(q) < 1
        z = np.zeros_like(x)
        for outer, inner, height in (("upper outer", "upper inner", 0.06), ("lower outer", "lower inner", 0.085)):
            span = lips[inner] - lips[outer]
            t = np.clip((y - lips[outer]) / np.where(np.abs(span) < 1e-6, 1e-6, span), 0, 1)
            z += np.where(inside, height * np.sin(np.pi * t**0.75) * np.sqrt(np.clip(1 - q**2, 0, 1)), 0)
        philtrum = np.exp(-((x / 0.045) ** 2)) * ((y > self.nose_base) & (y < lips["upper outer"]))
        return z + 0.12 * self.pucker * bump(x, y, (0, self.mouth_y), (0.26, 0.2)) - 0.016 * philtrum

    def lip_edges(self, x: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return the four lip edges over x, and the mouth coordinates of x."""
        q = np.linspace(-1, 1, 65)
        lip_x = self.lip_x(q)
        edges = self.lips(q)
        mouth = np.interp(x, lip_x, q, left=-1, right=1).astype(x.dtype)
        return {name: np.interp(x, lip_x, edge).astype(x.dtype) for name, edge in edges.items()}, mouth
