"""Occluders between the camera and a face: glasses, hands and objects."""

import cv2
import numpy as np

from synthetic_faces.camera import Camera
from synthetic_faces.canvas import FIXED_POINT_BITS, to_fixed_point
from synthetic_faces.colours import CLOTH, FRAMES, choose, get_colours
from synthetic_faces.head import Head
from synthetic_faces.parameters import FaceParameters
from synthetic_faces.scene import View
from synthetic_faces.textures import clouds, random_crop

LENS = (0.34, 0.25)  # half the width and height of a lens, head units
GLARE = np.array([[-0.6, -1], [-0.1, -1], [-0.5, 1], [-1.0, 1]])  # a band over a lens, in half its width and height
DEPTH_MARGIN = 0.04  # head units that a surface lies in front of glasses to occlude them


def draw_glasses(view: View, head: Head, parameters: FaceParameters, camera: Camera) -> np.ndarray:
    """Draw glasses into a view.

    Returns:
        (size, size), bool: the pixels that dark lenses occlude.
    """
    appearance, person = parameters.appearance, parameters.person
    size = len(view.depth)
    occluded = np.zeros((size, size), np.uint8)
    width = LENS[0] * (0.9 + 0.25 * appearance.intensity)
    height = LENS[1] * (0.75 + 0.5 * appearance.hair_length)
    exponent = (2.0, 3.0, 5.0)[appearance.glasses_kind]
    frame = choose(FRAMES, appearance.accent) ** 2
    thick = max(1, round(size * camera.scale * (0.02 + 0.05 * appearance.intensity * (appearance.glasses_kind > 0))))
    front = head.person.depth + head.person.nasion + 0.04
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    slant = GLARE * [1 if appearance.light_x < 0 else -1, 1]
    rims, lines = [], []
    for side in (-1, 1):
        x = side * (person.eye_x + 0.01) + width * np.sign(cos) * np.abs(cos) ** (2 / exponent)
        y = 0.05 + height * np.sign(sin) * np.abs(sin) ** (2 / exponent)
        rims.append(np.stack([x, y, front - 0.22 * x**2], axis=-1))
        hinge = np.array([side * (person.eye_x + 0.01 + width), -0.03, front - 0.22 * (person.eye_x + width) ** 2])
        ear = head.base(head.get_row(0.02), side * np.radians(98)) * [1.06, 1, 1]
        lines.append(hinge + np.linspace(0, 1, 24)[:, None] * (ear - hinge))
    inner = person.eye_x + 0.01 - width
    across = np.linspace(-inner, inner, 9)
    lines.append(np.stack([across, -0.03 - 0.05 * (1 - (across / inner) ** 2), np.full(9, front)], axis=-1))
    for rim in rims:
        projected = _project(rim, camera, size)
        lens = np.zeros((size, size), np.uint8)
        cv2.fillPoly(lens, [to_fixed_point(projected)], 255, cv2.LINE_AA, FIXED_POINT_BITS)
        lens[view.depth > _fit_plane(projected, size) + DEPTH_MARGIN] = 0  # the nose of a turned head
        alpha = lens.astype(np.float32) / 255
        if appearance.dark_glasses:
            tint = np.linspace(0.012, 0.05, size, dtype=np.float32)[:, None, None] * np.ones(3, np.float32)
            view.colour += (0.93 * alpha)[..., None] * (tint - view.colour)
            occluded |= lens
            view.foreground |= lens > 127
        glare = np.zeros((size, size), np.uint8)
        band = projected[:, :2].mean(axis=0) + slant * np.ptp(projected[:, :2], axis=0) / 2
        cv2.fillPoly(glare, [to_fixed_point(band)], 255, cv2.LINE_AA, FIXED_POINT_BITS)
        view.colour += (alpha * glare * np.float32(0.16 / 255))[..., None] * (1 - view.colour)
        _draw_line(view, np.concatenate([projected, projected[:1]]), frame, thick)
    for line in lines:
        _draw_line(view, _project(line, camera, size), frame, thick)
    return occluded > 127


def _fit_plane(points: np.ndarray, size: int) -> np.ndarray:
    """Return the depth (size, size) of the plane through projected points (n, 3)."""
    ones = np.ones(len(points))
    slope = np.linalg.lstsq(np.stack([points[:, 0], points[:, 1], ones], axis=1), points[:, 2], rcond=None)[0]
    return (slope[0] * np.arange(size)[None] + slope[1] * np.arange(size)[:, None] + slope[2]).astype(np.float32)


def _project(points: np.ndarray, camera: Camera, size: int) -> np.ndarray:
    """Project head coordinates (n, 3) to pixels and depth (n, 3)."""
    projected = camera.project(camera.to_camera(points))
    projected[:, :2] = projected[:, :2] * size - 0.5
    return projected


def _draw_line(view: View, line: np.ndarray, colour: np.ndarray, thickness: int) -> None:
    """Draw the segments of a projected line (n, 3) that no surface occludes."""
    size = len(view.depth)
    pixels = np.clip(np.round(line[:, :2]).astype(int), 0, size - 1)
    free = line[:, 2] > view.depth[pixels[:, 1], pixels[:, 0]] - DEPTH_MARGIN
    mask = np.zeros((size, size), np.uint8)
    corners = to_fixed_point(line)
    segments = [corners[k : k + 2] for k in range(len(line) - 1) if free[k] and free[k + 1]]
    cv2.polylines(mask, segments, False, 255, thickness, cv2.LINE_AA, FIXED_POINT_BITS)
    view.colour += mask[..., None] * np.float32(1 / 255) * (colour.astype(np.float32) - view.colour)
    view.foreground |= mask > 127


def paste_occluder(
    view: View, parameters: FaceParameters, rng: np.random.Generator, centre: np.ndarray, unit: float
) -> np.ndarray:
    """Draw a hand, a board or a round object in front of the face.

    Args:
        view: into which it is drawn.
        parameters: of the face.
        rng: random generator.
        centre: (2,), of the face, in pixels.
        unit: pixels of a head unit.

    Returns:
        (size, size), bool: the occluded pixels.
    """
    size = len(view.depth)
    appearance = parameters.appearance
    angle = rng.uniform(0, 2 * np.pi)
    target = centre + unit * rng.uniform(0.35, 1.0) * np.array([np.cos(angle), np.sin(angle) + 0.25])
    mask = np.zeros((size, size), np.uint8)
    if appearance.occluder_kind == 0:
        _draw_hand(mask, target, unit, rng)
        colour = get_colours(parameters).skin * 0.92
    elif appearance.occluder_kind == 1:
        extent = unit * rng.uniform(0.5, 1.2), unit * rng.uniform(0.6, 1.6)
        box = cv2.boxPoints((target.tolist(), extent, rng.uniform(-40, 40)))
        cv2.fillPoly(mask, [to_fixed_point(box)], 255, cv2.LINE_AA, FIXED_POINT_BITS)
        colour = choose(CLOTH, rng.random())
    else:
        axes = np.round(unit * rng.uniform(0.25, 0.6, 2)).astype(int).tolist()
        middle = np.round(target).astype(int).tolist()
        cv2.ellipse(mask, middle, axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA)
        handle = np.stack([target, target + unit * np.array([rng.uniform(-1, 1), 3.5])])
        _draw_stroke(mask, handle, 0.3 * unit)
        colour = choose(CLOTH, rng.random()) * 0.8
    rounded = cv2.GaussianBlur(mask, (0, 0), max(1.0, 0.09 * unit)).astype(np.float32) / 255
    tone = 0.35 + 0.75 * np.clip(2 * rounded - 0.8, 0, 1) + 0.05 * random_crop(clouds(3.0), rng, size, size)
    alpha = mask[..., None].astype(np.float32) / 255
    view.colour += alpha * (np.square(colour * tone[..., None]).astype(np.float32) - view.colour)
    view.foreground |= mask > 127
    return mask > 127


def _draw_hand(mask: np.ndarray, target: np.ndarray, unit: float, rng: np.random.Generator) -> None:
    """Draw fingers, palm and wrist that reach for a target (2,) from below or from the side."""
    direction = rng.uniform(-1.1, 1.1)
    ahead = np.array([np.sin(direction), -np.cos(direction)])
    beside = np.array([-ahead[1], ahead[0]])
    palm = target - ahead * unit * 0.75
    count = rng.integers(2, 5)
    for k in range(count):
        spread = (k - (count - 1) / 2) * 0.24
        tip = target + unit * (beside * spread * 1.35 + ahead * (0.1 - 0.5 * spread**2) * rng.uniform(0.7, 1.2))
        root = palm + unit * beside * spread
        _draw_stroke(mask, np.stack([root, tip]), 0.21 * unit)
    _draw_stroke(mask, np.stack([palm, palm - ahead * unit * 3]), 0.62 * unit)
    cv2.circle(mask, np.round(palm).astype(int).tolist(), max(1, round(0.46 * unit)), 255, -1, cv2.LINE_AA)


def _draw_stroke(mask: np.ndarray, line: np.ndarray, width: float) -> None:
    """Draw a line (n, 2) in pixels into a mask, at least a pixel wide."""
    cv2.polylines(mask, [to_fixed_point(line)], False, 255, max(1, round(width)), cv2.LINE_AA, FIXED_POINT_BITS)
