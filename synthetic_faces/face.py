"""Rendered faces: the image with exact landmarks, anchors, contours and visibility."""

import operator
from dataclasses import dataclass

import cv2
import numpy as np

from config import ANCHORS
from synthetic_faces.camera import Camera
from synthetic_faces.camera_effects import apply_camera, draw_background
from synthetic_faces.ground_truth import GroundTruth
from synthetic_faces.head import Head
from synthetic_faces.light import Light
from synthetic_faces.occluders import draw_glasses, paste_occluder
from synthetic_faces.parameters import FaceParameters, draw_parameters
from synthetic_faces.scene import build_surfaces, render_surfaces

OVERSAMPLING = 1.25
FULL_DETAIL = 256  # pixels of an image with textures of detail 1
MIN_DETAIL, MAX_DETAIL = 0.5, 2.5
OCCLUSION_DEPTH = 0.07  # head units: a point this far behind the nearest surface is occluded


@dataclass(frozen=True, eq=False)
class SyntheticFace:
    """A rendered face. Coordinates are x, y in 0-based pixels, integers at pixel centres.

    Attributes:
        image: uint8 RGB (size, size, 3).
        parameters: from which it was rendered.
        subsets: names of the test subsets it belongs to.
    """

    image: np.ndarray
    parameters: FaceParameters
    subsets: tuple[str, ...]
    _truth: GroundTruth
    _depth: np.ndarray

    def landmarks(self, layout: str = "68") -> np.ndarray:
        """Return landmarks (points, 2), float64; they may lie outside the image.

        Args:
            layout: "68", "29" or "98"; default "68".
        """
        return self._to_pixels(self._truth.landmarks(layout))

    def visible(self, layout: str = "68") -> np.ndarray:
        """Return which landmarks (points,) lie inside the image and are not occluded."""
        return self._is_visible(self._truth.landmarks(layout))

    def anchors(self) -> dict[str, tuple[np.ndarray, bool]]:
        """Return ACE-Net's anchors by name: position (2,), and whether it is visible."""
        points = self._truth.anchors()
        visible = self._is_visible(points).tolist()
        return dict(zip(ANCHORS, zip(self._to_pixels(points), visible, strict=True), strict=True))

    def contours(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return ACE-Net's contours by name: a line (n, 2), and which of its points (n,) are visible."""
        return {name: (self._to_pixels(line), self._is_visible(line)) for name, line in self._truth.contours().items()}

    def _to_pixels(self, points: np.ndarray) -> np.ndarray:
        return points[:, :2] * len(self.image) - 0.5

    def _is_visible(self, points: np.ndarray) -> np.ndarray:
        size = len(self._depth)
        pixels = np.round(points[:, :2] * size - 0.5).astype(int)
        inside = ((pixels >= 0) & (pixels < size)).all(axis=1)
        x, y = np.clip(pixels, 0, size - 1).T
        return inside & (points[:, 2] > self._depth[y, x] - OCCLUSION_DEPTH)


def render_face(seed: int, size: int = 256) -> SyntheticFace:
    """Render the face of a seed. The same seed and size give the same pixels; another size, the same face.

    Args:
        seed: 0 or more.
        size: side of the image in pixels, 1 or more; default 256.

    Raises:
        ValueError: size below 1, or seed below 0.
    """
    return render_parameters(draw_parameters(seed), size)


def render_parameters(parameters: FaceParameters, size: int = 256) -> SyntheticFace:
    """Render the face of these parameters.

    Args:
        parameters: of the face.
        size: side of the image in pixels, 1 or more; default 256.

    Raises:
        ValueError: size below 1.
    """
    size = operator.index(size)
    if size < 1:
        raise ValueError(f"an image has a side of at least one pixel. Received size={size!r}")
    head = Head(parameters)
    if parameters.mirrored:
        mirror = parameters.mirror()
        rendered = _render(Head(mirror), mirror, size)
        image, depth = (np.ascontiguousarray(plane[:, ::-1]) for plane in rendered)
    else:
        image, depth = _render(head, parameters, size)
    truth = GroundTruth(head, Camera.from_pose(parameters.pose))
    return SyntheticFace(image, parameters, get_subsets(parameters), truth, depth)


def _render(head: Head, parameters: FaceParameters, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the image of a face that is not mirrored, and the depth map of visibility; inf where occluded."""
    rng = np.random.default_rng(parameters.texture_seed)
    view_size = round(OVERSAMPLING * size)
    detail = float(np.clip(size / FULL_DETAIL, MIN_DETAIL, MAX_DETAIL))
    camera, appearance = Camera.from_pose(parameters.pose), parameters.appearance
    background = draw_background(parameters, rng, view_size)
    light = Light.from_parameters(parameters, background.mean(axis=(0, 1)), rng)
    view = render_surfaces(build_surfaces(head, parameters, rng, detail), camera, light, view_size)
    depth = view.depth.copy()
    if appearance.glasses:
        depth[draw_glasses(view, head, parameters, camera)] = np.inf
    if appearance.occluder:
        middle = GroundTruth(head, camera).landmarks("68")[27:, :2].mean(axis=0) * view_size - 0.5
        depth[paste_occluder(view, parameters, rng, middle, camera.scale * view_size)] = np.inf
    depth = cv2.erode(depth, np.ones((3, 3)))  # at an edge the farther surface counts
    return apply_camera(view, parameters, background, size, rng), depth


def get_landmarks(seed: int, layout: str = "68") -> np.ndarray:
    """Return the landmarks of the face of a seed without rendering it.

    Args:
        seed: 0 or more.
        layout: "68", "29" or "98"; default "68".

    Returns:
        (points, 2), fractions of the image size.
    """
    return _get_truth(seed).landmarks(layout)[:, :2]


def get_outline(seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the anchors (12, 2) and the contours, name -> (n, 2), of the face of a seed without rendering it.

    Coordinates are fractions of the image size.
    """
    truth = _get_truth(seed)
    return truth.anchors()[:, :2], {name: line[:, :2] for name, line in truth.contours().items()}


def _get_truth(seed: int) -> GroundTruth:
    parameters = draw_parameters(seed)
    return GroundTruth(Head(parameters), Camera.from_pose(parameters.pose))


def get_subsets(parameters: FaceParameters) -> tuple[str, ...]:
    """Return the names of the test subsets of a face, those of WFLW."""
    pose, appearance = parameters.pose, parameters.appearance
    halves = [parameters.left, parameters.right]
    occluded = appearance.occluder or appearance.mask or appearance.scarf
    belongs = {
        "pose": abs(pose.yaw) > 32 or abs(pose.pitch) > 18 or abs(pose.roll) > 22,
        "expression": any(e.open > 0.45 or e.smile > 0.75 or e.blink > 0.8 or e.pucker > 0.4 for e in halves),
        "occlusion": occluded or (appearance.glasses and appearance.dark_glasses),
        "illumination": (
            appearance.hard_light or appearance.back_light or appearance.coloured_light or appearance.dark
        ),
        "make-up": appearance.lipstick or appearance.eye_make_up,
        "blur": appearance.blur or appearance.motion,
    }
    return tuple(name for name, value in belongs.items() if value)
