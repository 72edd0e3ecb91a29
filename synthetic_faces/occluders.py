"""What stands between the camera and a face: glasses, hands and things."""

import cv2
import numpy as np

from synthetic_faces.camera import Camera
from synthetic_faces.canvas import BITS
from synthetic_faces.colours import CLOTH, FRAMES, choose, colours
from synthetic_faces.head import Head
from synthetic_faces.parameters import FaceParameters
from synthetic_faces.scene import View
from synthetic_faces.textures import clouds, piece

LENS = (0.34, 0.25)  # half the width and height of a lens
GLARE = np.array([[-0.6, -1], [-0.1, -1], [-0.5, 1], [-1.0, 1]])  # a band over a lens, in its half breadths


def put_on_glasses(view: View, head: Head, parameters: FaceParameters, camera: Camera) -> np.ndarray:
    """Draws glasses into a view; gives the mask (side, side) of what they hide."""
    look, person = parameters.look, parameters.person
    side = len(view.near)
    hidden = np.zeros((side, side), np.uint8)
    width, height = LENS[0] * (0.9 + 0.25 * look.intensity), LENS[1] * (0.75 + 0.5 * look.hair_length)
    exponent = (2.0, 3.0, 5.0)[look.glasses_kind]
    frame = choose(FRAMES, look.accent) ** 2
    thick = max(1, round(side * camera.scale * (0.02 + 0.05 * look.intensity * (look.glasses_kind > 0))))
    front = head.person.depth + head.person.nasion + 0.04
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    slant = GLARE * [1 if look.light_x < 0 else -1, 1]
    rims, lines = [], []
    for way in (-1, 1):
        x = way * (person.eye_x + 0.01) + width * np.sign(cos) * np.abs(cos) ** (2 / exponent)
        y = 0.05 + height * np.sign(sin) * np.abs(sin) ** (2 / exponent)
        rims.append(np.stack([x, y, front - 0.22 * x**2], axis=-1))
        hinge = np.array([way * (person.eye_x + 0.01 + width), -0.03, front - 0.22 * (person.eye_x + width) ** 2])
        ear = head.base(head.get_row(0.02), way * np.radians(98)) * [1.06, 1, 1]
        lines.append(hinge + np.linspace(0, 1, 24)[:, None] * (ear - hinge))
    inner = person.eye_x + 0.01 - width
    across = np.linspace(-inner, inner, 9)
    lines.append(np.stack([across, -0.03 - 0.05 * (1 - (across / inner) ** 2), np.full(9, front)], axis=-1))
    for rim in rims:
        place = _pixels(rim, camera, side)
        lens = np.zeros((side, side), np.uint8)
        cv2.fillPoly(lens, [_fixed(place)], 255, cv2.LINE_AA, BITS)
        lens[view.near > _plane(place, side) + 0.04] = 0  # the nose, before a lens of a turned head
        share = lens.astype(np.float32) / 255
        if look.dark_glasses:
            tint = np.linspace(0.012, 0.05, side, dtype=np.float32)[:, None, None] * np.ones(3, np.float32)
            view.colour += (0.93 * share)[..., None] * (tint - view.colour)
            hidden |= lens
            view.covered |= lens > 127
        glare = np.zeros((side, side), np.uint8)
        band = place[:, :2].mean(axis=0) + slant * np.ptp(place[:, :2], axis=0) / 2
        cv2.fillPoly(glare, [_fixed(band)], 255, cv2.LINE_AA, BITS)
        view.colour += (share * glare * np.float32(0.16 / 255))[..., None] * (1 - view.colour)
        _draw(view, np.concatenate([place, place[:1]]), frame, thick)
    for line in lines:
        _draw(view, _pixels(line, camera, side), frame, thick)
    return hidden > 127


def _plane(place: np.ndarray, side: int) -> np.ndarray:
    """Nearness (side, side) of the plane through a rim (n, 3)."""
    ones = np.ones(len(place))
    slope = np.linalg.lstsq(np.stack([place[:, 0], place[:, 1], ones], axis=1), place[:, 2], rcond=None)[0]
    return (slope[0] * np.arange(side)[None] + slope[1] * np.arange(side)[:, None] + slope[2]).astype(np.float32)


def _pixels(points: np.ndarray, camera: Camera, side: int) -> np.ndarray:
    """Head coordinates (n, 3) to pixels and nearness (n, 3)."""
    place = camera.project(camera.see(points))
    place[:, :2] = place[:, :2] * side - 0.5
    return place


def _fixed(place: np.ndarray) -> np.ndarray:
    return np.round(place[:, :2] * 2**BITS).astype(np.int32)


def _draw(view: View, line: np.ndarray, colour: np.ndarray, thick: int) -> None:
    """Draws those pieces of a line (n, 3) that nothing stands before."""
    side = len(view.near)
    at = np.clip(np.round(line[:, :2]).astype(int), 0, side - 1)
    free = line[:, 2] > view.near[at[:, 1], at[:, 0]] - 0.04
    mask = np.zeros((side, side), np.uint8)
    corners = _fixed(line)
    pieces = [corners[k : k + 2] for k in range(len(line) - 1) if free[k] and free[k + 1]]
    cv2.polylines(mask, pieces, False, 255, thick, cv2.LINE_AA, BITS)
    view.colour += mask[..., None] * np.float32(1 / 255) * (colour.astype(np.float32) - view.colour)
    view.covered |= mask > 127


def put_before(
    view: View, parameters: FaceParameters, rng: np.random.Generator, centre: np.ndarray, unit: float
) -> np.ndarray:
    """Draws a hand, a board or a round thing before the face; gives the mask (side, side) of what it hides.

    Args:
        centre: of the face, and unit: of a head unit, in pixels.
    """
    side = len(view.near)
    look = parameters.look
    angle = rng.uniform(0, 2 * np.pi)
    aim = centre + unit * rng.uniform(0.35, 1.0) * np.array([np.cos(angle), np.sin(angle) + 0.25])
    mask = np.zeros((side, side), np.uint8)
    if look.cover_kind == 0:
        _hand(mask, aim, unit, rng)
        colour = colours(parameters).skin * 0.92
    elif look.cover_kind == 1:
        box = cv2.boxPoints(
            (aim.tolist(), (unit * rng.uniform(0.5, 1.2), unit * rng.uniform(0.6, 1.6)), rng.uniform(-40, 40))
        )
        cv2.fillPoly(mask, [_fixed(box)], 255, cv2.LINE_AA, BITS)
        colour = choose(CLOTH, rng.random())
    else:
        size = unit * rng.uniform(0.25, 0.6, 2)
        cv2.ellipse(
            mask,
            np.round(aim).astype(int).tolist(),
            np.round(size).astype(int).tolist(),
            rng.uniform(0, 180),
            0,
            360,
            255,
            -1,
            cv2.LINE_AA,
        )
        handle = np.stack([aim, aim + unit * np.array([rng.uniform(-1, 1), 3.5])])
        cv2.polylines(mask, [_fixed(handle)], False, 255, max(1, round(0.3 * unit)), cv2.LINE_AA, BITS)
        colour = choose(CLOTH, rng.random()) * 0.8
    round_off = cv2.GaussianBlur(mask, (0, 0), max(1.0, 0.09 * unit)).astype(np.float32) / 255
    tone = 0.35 + 0.75 * np.clip(2 * round_off - 0.8, 0, 1) + 0.05 * piece(clouds(3.0), rng, side, side)
    share = mask[..., None].astype(np.float32) / 255
    view.colour += share * (np.square(colour * tone[..., None]).astype(np.float32) - view.colour)
    view.covered |= mask > 127
    return mask > 127


def _hand(mask: np.ndarray, aim: np.ndarray, unit: float, rng: np.random.Generator) -> None:
    """Fingers that come from below or from the side."""
    toward = rng.uniform(-1.1, 1.1)
    ahead = np.array([np.sin(toward), -np.cos(toward)])
    beside = np.array([-ahead[1], ahead[0]])
    palm = aim - ahead * unit * 0.75
    count = rng.integers(2, 5)
    for k in range(count):
        spread = (k - (count - 1) / 2) * 0.24
        tip = aim + unit * (beside * spread * 1.35 + ahead * (0.1 - 0.5 * spread**2) * rng.uniform(0.7, 1.2))
        root = palm + unit * beside * spread
        cv2.polylines(mask, [_fixed(np.stack([root, tip]))], False, 255, max(1, round(0.21 * unit)), cv2.LINE_AA, BITS)
    wrist = np.stack([palm, palm - ahead * unit * 3])
    cv2.polylines(mask, [_fixed(wrist)], False, 255, max(1, round(0.62 * unit)), cv2.LINE_AA, BITS)
    cv2.circle(mask, np.round(palm).astype(int).tolist(), max(1, round(0.46 * unit)), 255, -1, cv2.LINE_AA)
