"""A rendered face: the picture and everything that is known of it."""

import operator
from dataclasses import dataclass

import cv2
import numpy as np

from config import ANCHORS
from synthetic_faces.camera import Camera
from synthetic_faces.camera_effects import background, develop
from synthetic_faces.ground_truth import Truth
from synthetic_faces.head import Head
from synthetic_faces.light import Light
from synthetic_faces.occluders import put_before, put_on_glasses
from synthetic_faces.parameters import FaceParameters, draw_parameters
from synthetic_faces.scene import build, render

OVERSAMPLING = 1.25
FULL_DETAIL = 256  # pixels; smaller pictures need less paint, larger ones more
MIN_DETAIL, MAX_DETAIL = 0.5, 2.5
HIDDEN_BY = 0.07  # head units: what lies this far behind the nearest surface cannot be seen


@dataclass(frozen=True, eq=False)
class SyntheticFace:
    """One rendered face. Places are x, y in 0-based pixels, whole numbers at the centres of pixels.

    image: uint8 RGB (size, size, 3). parameters: what it follows from. subsets: the test subsets it belongs to.
    """

    image: np.ndarray
    parameters: FaceParameters
    subsets: tuple[str, ...]
    _truth: Truth
    _nearest: np.ndarray

    def landmarks(self, layout: str = "68") -> np.ndarray:
        """Landmarks (points, 2), float64, of a layout: "68", "29" or "98". They may lie outside the picture."""
        return self._pixels(self._truth.landmarks(layout))

    def visible(self, layout: str = "68") -> np.ndarray:
        """Which landmarks (points,) can be seen: in the picture, and nothing before them."""
        return self._seen(self._truth.landmarks(layout))

    def anchors(self) -> dict[str, tuple[np.ndarray, bool]]:
        """ACE-Net's anchors: place (2,), and whether it can be seen."""
        places = self._truth.anchors()
        return dict(zip(ANCHORS, zip(self._pixels(places), self._seen(places).tolist(), strict=True), strict=True))

    def contours(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """ACE-Net's contours: lines (n, 2), and which of their points (n,) can be seen."""
        return {name: (self._pixels(line), self._seen(line)) for name, line in self._truth.contours().items()}

    def _pixels(self, places: np.ndarray) -> np.ndarray:
        return places[:, :2] * len(self.image) - 0.5

    def _seen(self, places: np.ndarray) -> np.ndarray:
        side = len(self._nearest)
        at = np.round(places[:, :2] * side - 0.5).astype(int)
        inside = ((at >= 0) & (at < side)).all(axis=1)
        x, y = np.clip(at, 0, side - 1).T
        return inside & (places[:, 2] > self._nearest[y, x] - HIDDEN_BY)


def render_face(seed: int, size: int = 256) -> SyntheticFace:
    """Renders one face. The same seed and size give the same pixels; another size, the same face.

    Args:
        seed: which face, a whole number from 0. size: side of the picture in pixels, 1 at least.

    Raises:
        ValueError: size below 1, or seed below 0.
    """
    return render_parameters(draw_parameters(seed), size)


def shape_of(seed: int, layout: str = "68") -> np.ndarray:
    """Landmarks (points, 2) of the face of a seed, in sides of the picture, without rendering it."""
    parameters = draw_parameters(seed)
    return Truth(Head(parameters), Camera.of(parameters.pose)).landmarks(layout)[:, :2]


def outline_of(seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Anchors (12, 2) and contours, name -> (n, 2), of the face of a seed, in sides of the picture, not rendered."""
    parameters = draw_parameters(seed)
    truth = Truth(Head(parameters), Camera.of(parameters.pose))
    return truth.anchors()[:, :2], {name: line[:, :2] for name, line in truth.contours().items()}


def render_parameters(parameters: FaceParameters, size: int = 256) -> SyntheticFace:
    """Renders the face of these parameters; see `render_face`."""
    size = operator.index(size)
    if size < 1:
        raise ValueError(f"a picture has a side of one pixel at least. Received size={size!r}; 1 or more is right")
    head = Head(parameters)
    if parameters.mirrored:
        mirror = parameters.mirror()
        drawn = _photograph(Head(mirror), mirror, size)
        image, nearest = (np.ascontiguousarray(picture[:, ::-1]) for picture in drawn)
    else:
        image, nearest = _photograph(head, parameters, size)
    return SyntheticFace(image, parameters, subsets_of(parameters), Truth(head, Camera.of(parameters.pose)), nearest)


def _photograph(head: Head, parameters: FaceParameters, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture of a face that is not mirrored, and how near the surface is that each sample of it sees."""
    rng = np.random.default_rng(parameters.texture_seed)
    side = round(OVERSAMPLING * size)
    detail = float(np.clip(size / FULL_DETAIL, MIN_DETAIL, MAX_DETAIL))
    camera, look = Camera.of(parameters.pose), parameters.look
    behind = background(parameters, rng, side)
    light = Light.of(parameters, behind.mean(axis=(0, 1)), rng)
    view = render(build(head, parameters, rng, detail), camera, light, side)
    nearest = view.near.copy()
    if look.glasses:
        nearest[put_on_glasses(view, head, parameters, camera)] = np.inf
    if look.cover:
        middle = Truth(head, camera).landmarks("68")[27:, :2].mean(axis=0) * side - 0.5
        nearest[put_before(view, parameters, rng, middle, camera.scale * side)] = np.inf
    nearest = cv2.erode(nearest, np.ones((3, 3)))  # at an edge the farther surface counts
    return develop(view, parameters, behind, size, rng), nearest


def subsets_of(parameters: FaceParameters) -> tuple[str, ...]:
    """The test subsets of a face, WFLW's."""
    pose, look = parameters.pose, parameters.look
    both = [parameters.left, parameters.right]
    tests = {
        "pose": abs(pose.yaw) > 32 or abs(pose.pitch) > 18 or abs(pose.roll) > 22,
        "expression": any(e.open > 0.45 or e.smile > 0.75 or e.blink > 0.8 or e.pucker > 0.4 for e in both),
        "occlusion": look.cover or look.mask or look.scarf or (look.glasses and look.dark_glasses),
        "illumination": look.hard_light or look.back_light or look.coloured_light or look.dark,
        "make-up": look.lipstick or look.eye_make_up,
        "blur": look.blur or look.motion,
    }  # fmt: skip
    return tuple(name for name, holds in tests.items() if holds)
