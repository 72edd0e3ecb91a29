"""The exact truth of a face: anchors, contours and landmarks in the picture, and which of them can be seen.

Contours are curves on the surface of the head; every landmark is a point of one of them, at the share of its length or
breadth that its data set's own definition says. The jaw is the exception: it is the line where the cheeks and the chin
turn away from the viewer, so it moves over the surface as the head turns, as annotators mark it.
"""

import numpy as np

from config import ANCHORS, CONTOURS, get_row
from synthetic_faces.camera import Camera
from synthetic_faces.head import BROW_EDGE, INNER_CORNER, Head

POINTS = 257  # of a contour, closer together at its ends, where lips and lids bend most
JAW_PATHS = 97  # across the jaw, on each of which one point turns away from the viewer
JAW_STEPS = 40  # along such a path
JAW_START = (0.5, 0.82)  # shares of its length at which a path begins to be looked at: beside the eyes, at the chin
JAW_CENTRE = 0.45  # height at which paths begin, share of the height at which they end
JAW_NEIGHBOURS = 4  # paths to either side that a path's point must agree with
JAW_TOP = 0.0  # height at which the jaw line ends, beside the eyes
JAW_JUMP = 3.0  # steps by which it may differ from them
REFINEMENTS = 3  # the outline's direction is only known once the outline is
BEHIND_LIDS = -1e3  # nearness of an iris that closed lids hide

JAW = "chin boundary"
BROW_EDGES = tuple(f"{side} eyebrow {edge} edge" for side in ("left", "right") for edge in ("upper", "lower"))
IRISES = ("left iris center", "right iris center")


def _shares(*mouth: float) -> tuple[float, ...]:
    """From the mouth's own coordinate, -1 to 1, to shares of its breadth."""
    return tuple((q + 1) / 2 for q in mouth)


def _even(count: int) -> tuple[float, ...]:
    return tuple(np.linspace(0, 1, count).tolist())


# Where along its contour each landmark of a layout lies, in the layout's order: contour, shares.
_MOUTH = (
    ("mouth upper lip outer", _shares(-1, -0.63, -0.27, 0, 0.27, 0.63, 1)),
    ("mouth lower lip outer", _shares(0.65, 0.29, 0, -0.29, -0.65)),
    ("mouth upper lip inner", _shares(-1, -0.32, 0, 0.32, 1)),
    ("mouth lower lip inner", _shares(0.32, 0, -0.32)),
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
PLACES_OF_ANCHORS = {
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


class Truth:
    """Curves of one face in space, by name, and their places in the picture.

    Places are x and y in sides of the picture, and nearness in head units.
    """

    def __init__(self, head: Head, camera: Camera):
        self.head, self.camera = head, camera
        names = [name for name in (*CONTOURS, *BROW_EDGES, *IRISES) if name != JAW]
        places = np.concatenate([self._curve(name, _closer_at_ends(POINTS)) for name in names])
        self.curves = dict(zip(names, np.split(self._see(places), len(names)), strict=True))
        self.curves[JAW] = self._jaw()
        for side, name in zip((-1, 1), IRISES, strict=True):
            x, y = head.iris(side)
            upper, lower = head.lids(side, x)
            if not upper < y < lower:
                self.curves[name][:, 2] = BEHIND_LIDS

    def _see(self, places: np.ndarray) -> np.ndarray:
        """Frontal coordinates (n, 2) to the picture (n, 3)."""
        return self.camera.project(self.camera.see(self.head.surface(places)))

    def _curve(self, name: str, t: np.ndarray) -> np.ndarray:
        """Frontal coordinates (n, 2) along a contour, from the image's left to its right, or downwards."""
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
        """The occluding contour of cheeks and chin (POINTS, 3), from the image's left ear to its right one.

        Paths run from the middle of the face to its edge. The contour passes each at the point that reaches farthest in
        the contour's own normal direction; where that is the path's end, it is the edge of the jaw bone.
        """
        head = self.head
        top = head.get_row(JAW_TOP)
        around = np.linspace(-1, 1, JAW_PATHS)  # -1 and 1 beside the eyes, 0 at the chin
        row = np.pi / 2 - (np.pi / 2 - top) * np.abs(around)
        edge = np.stack([np.sign(around) * head.half_width(row), head.height(row)], axis=-1)  # (paths, 2)
        edge[JAW_PATHS // 2] = 0, head.chin
        middle = np.stack([0 * around, JAW_TOP + JAW_CENTRE * (edge[:, 1] - JAW_TOP)], axis=-1)
        start = JAW_START[0] + (JAW_START[1] - JAW_START[0]) * (1 - np.abs(around[:, None]))
        share = start + (1 - start) * np.linspace(0, 1, JAW_STEPS)  # (paths, steps)
        places = middle[:, None] + share[..., None] * (edge - middle)[:, None]  # (paths, steps, 2)
        seen = self._see(places.reshape(-1, 2)).reshape(JAW_PATHS, JAW_STEPS, 3)
        contour = seen[:, -1]
        for _ in range(REFINEMENTS):
            along = np.gradient(_smooth(contour[:, :2]), axis=0)
            outward = np.stack([-along[:, 1], along[:, 0]], axis=-1)  # the contour runs left, chin, right
            reach = np.einsum("psk,pk->ps", seen[..., :2], outward)
            contour = _at_maximum(seen, reach)
        return contour

    def landmarks(self, layout: str) -> np.ndarray:
        """The landmarks (points, 3) of a layout, a key of LANDMARKS.

        Raises:
            ValueError: an unknown layout.
        """
        return np.concatenate([self._points(*row) for row in get_row(LANDMARKS, layout, "landmark layout")])

    def anchors(self) -> np.ndarray:
        """The anchors (12, 3) in the order of config.ANCHORS."""
        return np.concatenate([self._points(*PLACES_OF_ANCHORS[name]) for name in ANCHORS])

    def contours(self) -> dict[str, np.ndarray]:
        """The contours by their names in config.CONTOURS, each (POINTS, 3); the jaw's is longer."""
        return {name: self.curves[name] for name in CONTOURS}

    def _points(self, name: str, shares: tuple[float, ...]) -> np.ndarray:
        """Points (n, 3) at shares of a contour; of the jaw, shares of the length of its two halves."""
        shares = np.asarray(shares, float)
        curve = self.curves[name]
        if name != JAW:
            return _interpolate(curve, np.arccos(1 - 2 * shares) / np.pi)  # the inverse of _closer_at_ends
        chin = len(curve) // 2
        left, right = (
            _by_length(curve[: chin + 1], np.clip(2 * shares, 0, 1)),
            _by_length(curve[chin:], np.clip(2 * shares - 1, 0, 1)),
        )
        return np.where(shares[:, None] < 0.5, left, right)


def _smooth(line: np.ndarray) -> np.ndarray:
    """A line (n, 2) without small steps."""
    padded = np.pad(line, ((3, 3), (0, 0)), mode="edge")
    return sum(padded[k : k + len(line)] for k in range(7)) / 7


def _at_maximum(values: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Per path, the values (paths, 3) where `reach` (paths, steps) is largest, between steps by a parabola.

    A path whose largest value lies elsewhere than its neighbours', at the lips perhaps, follows them.
    """
    best = reach.argmax(axis=1)
    inner = np.clip(best, 1, reach.shape[1] - 2)
    paths = np.arange(len(reach))
    before, here, after = (reach[paths, inner + k] for k in (-1, 0, 1))
    bend = before - 2 * here + after
    offset = np.where(np.abs(bend) > 1e-12, 0.5 * (before - after) / np.where(bend == 0, 1, bend), 0)
    place = np.where(best == inner, inner + np.clip(offset, -1, 1), best)
    typical = np.median(_windows(place), axis=1)
    place = np.where(np.abs(place - typical) > JAW_JUMP, typical, place)
    jumps = np.abs(np.gradient(place)) > JAW_JUMP / 2  # from the cheek to the chin, where one hides the other
    beside_jumps = _windows(jumps.astype(float)).any(axis=1)
    place = np.where(beside_jumps, _windows(place).mean(axis=1), place)
    low = np.clip(np.floor(place).astype(int), 0, reach.shape[1] - 2)
    rest = (place - low)[:, None]
    return (1 - rest) * values[paths, low] + rest * values[paths, low + 1]


def _windows(values: np.ndarray) -> np.ndarray:
    """Every value (n,) with its neighbours to either side, (n, neighbours)."""
    padded = np.pad(values, JAW_NEIGHBOURS, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * JAW_NEIGHBOURS + 1)


def _closer_at_ends(count: int) -> np.ndarray:
    """Numbers (count,) from 0 to 1, closer together at both ends."""
    return (1 - np.cos(np.pi * np.linspace(0, 1, count))) / 2


def _interpolate(line: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Points (n, 3) of a line at shares of its index."""
    place = share * (len(line) - 1)
    low = np.clip(place.astype(int), 0, len(line) - 2)
    rest = (place - low)[:, None]
    return (1 - rest) * line[low] + rest * line[low + 1]


def _by_length(line: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Points (n, 3) of a line at shares of its length in the picture."""
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line[:, :2], axis=0).T))])
    return _interpolate(line, np.interp(share * length[-1], length, np.linspace(0, 1, len(line))))
