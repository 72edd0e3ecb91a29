"""Ground truth of a face: anchors, contours and landmarks.

Contours are curves on the surface of the head; every landmark is a point of one of them, at a fraction of its length or
width according to the definition of its data set. The jaw is the exception: it is the line where cheeks and chin turn
away from the viewer, so it shifts over the surface as the head rotates, as annotators mark it.

Points in the image are x and y as fractions of the image size, and depth in head units.
"""

import numpy as np

from config import ANCHORS, CONTOURS, get_row
from synthetic_faces.camera import Camera
from synthetic_faces.head import BROW_EDGE, INNER_CORNER, Head

POINTS = 257  # of a contour; denser at its ends, where lips and lids bend most
JAW_PATHS = 97  # across the jaw, on each of which one point turns away from the viewer
JAW_STEPS = 40  # along such a path
JAW_START = (0.5, 0.82)  # fraction of its length from which a path is searched: beside the eyes, at the chin
JAW_CENTRE = 0.45  # height at which paths begin, fraction of the height at which they end
JAW_NEIGHBOURS = 4  # paths to either side with which the point of a path must agree
JAW_TOP = 0.0  # height at which the jaw line ends, beside the eyes
JAW_JUMP = 3.0  # steps by which it may differ from them, at most
REFINEMENTS = 3  # the direction of the contour is only known once the contour is
BEHIND_LIDS = -1e3  # depth of an iris behind closed lids

JAW = "chin boundary"
BROW_EDGES = tuple(f"{side} eyebrow {edge} edge" for side in ("left", "right") for edge in ("upper", "lower"))
IRISES = ("left iris center", "right iris center")


def _mouth_fractions(*mouth: float) -> tuple[float, ...]:
    """Return fractions of the width of the mouth from mouth coordinates, -1 to 1."""
    return tuple((q + 1) / 2 for q in mouth)


def _even(count: int) -> tuple[float, ...]:
    """Return evenly spaced fractions from 0 to 1."""
    return tuple(np.linspace(0, 1, count).tolist())


# The landmarks of a layout in their order: contour, fractions of its length.
_MOUTH = (
    ("mouth upper lip outer", _mouth_fractions(-1, -0.63, -0.27, 0, 0.27, 0.63, 1)),
    ("mouth lower lip outer", _mouth_fractions(0.65, 0.29, 0, -0.29, -0.65)),
    ("mouth upper lip inner", _mouth_fractions(-1, -0.32, 0, 0.32, 1)),
    ("mouth lower lip inner", _mouth_fractions(0.32, 0, -0.32)),
)
_NOSE = (("nose ridge", _even(4)), ("nose bottom boundary", _even(5)))
LANDMARKS = {
    "68": (
        (JAW, _even(17)),
        ("left eyebrow center-line", _even(5)),
        ("right eyebrow center-line", _even(5)),
        *_NOSE,
        ("left eye upper lid", _even(4)),
        ("left eye lower lid", (2 / 3, 1 / 3)),
        ("right eye upper lid", _even(4)),
        ("right eye lower lid", (2 / 3, 1 / 3)),
        *_MOUTH,
    ),
    "98": (
        (JAW, _even(33)),
        ("left eyebrow upper edge", _even(5)),
        ("left eyebrow lower edge", (1, 3 / 4, 1 / 2, 1 / 4)),
        ("right eyebrow upper edge", _even(5)),
        ("right eyebrow lower edge", (3 / 4, 1 / 2, 1 / 4, 0)),
        *_NOSE,
        ("left eye upper lid", _even(5)),
        ("left eye lower lid", (3 / 4, 1 / 2, 1 / 4)),
        ("right eye upper lid", _even(5)),
        ("right eye lower lid", (3 / 4, 1 / 2, 1 / 4)),
        *_MOUTH,
        ("left iris center", (0,)),
        ("right iris center", (0,)),
    ),
    "29": (
        ("left eyebrow center-line", (0,)),
        ("right eyebrow center-line", (1,)),
        ("left eyebrow center-line", (1,)),
        ("right eyebrow center-line", (0,)),
        ("left eyebrow upper edge", (1 / 2,)),
        ("left eyebrow lower edge", (1 / 2,)),
        ("right eyebrow upper edge", (1 / 2,)),
        ("right eyebrow lower edge", (1 / 2,)),
        ("left eye upper lid", (0,)),
        ("right eye upper lid", (1,)),
        ("left eye upper lid", (1,)),
        ("right eye upper lid", (0,)),
        ("left eye upper lid", (1 / 2,)),
        ("left eye lower lid", (1 / 2,)),
        ("right eye upper lid", (1 / 2,)),
        ("right eye lower lid", (1 / 2,)),
        ("left iris center", (0,)),
        ("right iris center", (0,)),
        ("nose bottom boundary", (0, 1)),
        ("nose ridge", (1,)),
        ("nose bottom boundary", (1 / 2,)),
        ("mouth upper lip outer", (0, 1, 1 / 2)),
        ("mouth upper lip inner", (1 / 2,)),
        ("mouth lower lip inner", (1 / 2,)),
        ("mouth lower lip outer", (1 / 2,)),
        (JAW, (1 / 2,)),
    ),
}
ANCHOR_POSITIONS = {
    "right eye inner corner": ("right eye upper lid", (0,)),
    "right eye outer corner": ("right eye upper lid", (1,)),
    "left eye inner corner": ("left eye upper lid", (1,)),
    "left eye outer corner": ("left eye upper lid", (0,)),
    "right iris center": ("right iris center", (0,)),
    "left iris center": ("left iris center", (0,)),
    "nose tip": ("nose ridge", (1,)),
    "nose bottom center": ("nose bottom boundary", (1 / 2,)),
    "mouth right outer corner": ("mouth upper lip outer", (1,)),
    "mouth left outer corner": ("mouth upper lip outer", (0,)),
    "mouth right inner corner": ("mouth upper lip inner", (1,)),
    "mouth left inner corner": ("mouth upper lip inner", (0,)),
}


class GroundTruth:
    """Curves of one face, projected to the image.

    Args:
        head: of the face.
        camera: of the face.
        points: of every contour but the jaw; default 257.

    Attributes:
        curves: (n, 3) by name.
    """

    def __init__(self, head: Head, camera: Camera, points: int = POINTS):
        self.head, self.camera = head, camera
        names = [name for name in (*CONTOURS, *BROW_EDGES, *IRISES) if name != JAW]
        frontal = np.concatenate([self.get_curve(name, _denser_at_ends(points)) for name in names])
        self.curves = dict(zip(names, np.split(self._project(frontal), len(names)), strict=True))
        self.curves[JAW] = self._jaw()
        for side, name in zip((-1, 1), IRISES, strict=True):
            x, y = head.iris(side)
            upper, lower = head.lids(side, x)
            if not upper < y < lower:
                self.curves[name][:, 2] = BEHIND_LIDS

    def _project(self, points: np.ndarray) -> np.ndarray:
        """Project frontal coordinates (n, 2) to the image (n, 3)."""
        return self.camera.project(self.camera.to_camera(self.head.to_surface(points)))

    def get_curve(self, name: str, t: np.ndarray) -> np.ndarray:
        """Return frontal coordinates (n, 2) at parameters (n,) of a curve other than the jaw.

        Args:
            name: of CONTOURS, BROW_EDGES or IRISES.
            t: from 0 at the image's left, or at the top, to 1.
        """
        head = self.head
        side = -1 if name.startswith("left") else 1
        if "eyebrow" in name:
            across = {"center-line": 0.0, "upper edge": -BROW_EDGE, "lower edge": BROW_EDGE}[name.split("eyebrow ")[1]]
            return head.brow(side, 1 - t if side < 0 else t, across)
        if name in IRISES:
            return np.broadcast_to(head.iris(side), (len(t), 2))
        if name.endswith("lid"):
            x = head.eye_x(side, (2 * t - 1) * side)
            upper, lower = head.lids(side, x)
            return np.stack([x, upper if "upper" in name else lower], axis=-1)
        if name == "nose ridge":
            return head.ridge(t)
        if name == "nose bottom boundary":
            return head.nose_bottom(t)
        _, edge, _, where = name.split()  # mouth upper lip outer, ...
        q = (2 * t - 1) * (INNER_CORNER if where == "inner" else 1)
        return np.stack([head.lip_x(q), head.lips(q)[f"{edge} {where}"]], axis=-1)

    def _jaw(self) -> np.ndarray:
        """Return the occluding contour of cheeks and chin (JAW_PATHS, 3), from the image's left ear to its right one.

        Paths run from the middle of the face to its edge. The contour crosses each path at the point that is extreme in
        the normal direction of the contour; where that is the end of the path, it is the edge of the jaw bone.
        """
        head = self.head
        top = head.get_row(JAW_TOP)
        around = np.linspace(-1, 1, JAW_PATHS)  # -1 and 1 beside the eyes, 0 at the chin
        row = np.pi / 2 - (np.pi / 2 - top) * np.abs(around)
        edge = np.stack([np.sign(around) * head.half_width(row), head.height(row)], axis=-1)  # (paths, 2)
        edge[JAW_PATHS // 2] = 0, head.chin
        middle = np.stack([0 * around, JAW_TOP + JAW_CENTRE * (edge[:, 1] - JAW_TOP)], axis=-1)
        start = JAW_START[0] + (JAW_START[1] - JAW_START[0]) * (1 - np.abs(around[:, None]))
        fraction = start + (1 - start) * np.linspace(0, 1, JAW_STEPS)  # (paths, steps)
        points = middle[:, None] + fraction[..., None] * (edge - middle)[:, None]  # (paths, steps, 2)
        projected = self._project(points.reshape(-1, 2)).reshape(JAW_PATHS, JAW_STEPS, 3)
        contour = projected[:, -1]
        for _ in range(REFINEMENTS):
            along = np.gradient(_smooth(contour[:, :2]), axis=0)
            outward = np.stack([-along[:, 1], along[:, 0]], axis=-1)  # the contour runs left, chin, right
            extent = np.einsum("psk,pk->ps", projected[..., :2], outward)
            contour = _at_maximum(projected, extent)
        return contour

    def landmarks(self, layout: str) -> np.ndarray:
        """Return the landmarks (points, 3) of a layout.

        Args:
            layout: a key of LANDMARKS.

        Raises:
            ValueError: unknown layout.
        """
        return np.concatenate([self._points(*row) for row in get_row(LANDMARKS, layout, "landmark layout")])

    def anchors(self) -> np.ndarray:
        """Return the anchors (12, 3) in the order of config.ANCHORS."""
        return np.concatenate([self._points(*ANCHOR_POSITIONS[name]) for name in ANCHORS])

    def contours(self) -> dict[str, np.ndarray]:
        """Return the contours by their names in config.CONTOURS, each (n, 3)."""
        return {name: self.curves[name] for name in CONTOURS}

    def _points(self, name: str, fractions: tuple[float, ...]) -> np.ndarray:
        """Return points (n, 3) at fractions of a contour; for the jaw, of the length of its two halves."""
        fractions = np.asarray(fractions, float)
        curve = self.curves[name]
        if name != JAW:
            return _interpolate(curve, np.arccos(1 - 2 * fractions) / np.pi)  # the inverse of _denser_at_ends
        chin = len(curve) // 2
        left = _at_length(curve[: chin + 1], np.clip(2 * fractions, 0, 1))
        right = _at_length(curve[chin:], np.clip(2 * fractions - 1, 0, 1))
        return np.where(fractions[:, None] < 0.5, left, right)


def _smooth(line: np.ndarray) -> np.ndarray:
    """Return a line (n, 2) after a moving average over seven points."""
    padded = np.pad(line, ((3, 3), (0, 0)), mode="edge")
    return sum(padded[k : k + len(line)] for k in range(7)) / 7


def _at_maximum(values: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """Return per path the values (paths, 3) at the maximum of `extent`, between steps by a parabola.

    A path whose maximum lies elsewhere than those of its neighbours, for example at the lips, follows them.

    Args:
        values: (paths, steps, 3)
        extent: (paths, steps)
    """
    best = extent.argmax(axis=1)
    inner = np.clip(best, 1, extent.shape[1] - 2)
    paths = np.arange(len(extent))
    before, here, after = (extent[paths, inner + k] for k in (-1, 0, 1))
    bend = before - 2 * here + after
    offset = np.where(np.abs(bend) > 1e-12, 0.5 * (before - after) / np.where(bend == 0, 1, bend), 0)
    position = np.where(best == inner, inner + np.clip(offset, -1, 1), best)
    typical = np.median(_windows(position), axis=1)
    position = np.where(np.abs(position - typical) > JAW_JUMP, typical, position)
    jumps = np.abs(np.gradient(position)) > JAW_JUMP / 2  # from the cheek to the chin, where one occludes the other
    beside_jumps = _windows(jumps.astype(float)).any(axis=1)
    position = np.where(beside_jumps, _windows(position).mean(axis=1), position)
    low = np.clip(np.floor(position).astype(int), 0, extent.shape[1] - 2)
    rest = (position - low)[:, None]
    return (1 - rest) * values[paths, low] + rest * values[paths, low + 1]


def _windows(values: np.ndarray) -> np.ndarray:
    """Return every value (n,) with its neighbours to either side, (n, neighbours)."""
    padded = np.pad(values, JAW_NEIGHBOURS, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * JAW_NEIGHBOURS + 1)


def _denser_at_ends(count: int) -> np.ndarray:
    """Return numbers (count,) from 0 to 1, denser at both ends."""
    return (1 - np.cos(np.pi * np.linspace(0, 1, count))) / 2


def _interpolate(line: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Return points (n, 3) of a line at fractions of its number of steps."""
    position = fractions * (len(line) - 1)
    low = np.clip(position.astype(int), 0, len(line) - 2)
    rest = (position - low)[:, None]
    return (1 - rest) * line[low] + rest * line[low + 1]


def _at_length(line: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Return points (n, 3) of a line at fractions of its length in the image."""
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line[:, :2], axis=0).T))])
    return _interpolate(line, np.interp(fractions * length[-1], length, np.linspace(0, 1, len(line))))
