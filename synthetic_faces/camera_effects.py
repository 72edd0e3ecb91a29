"""From a view to a photograph: the background, and the faults of camera and file."""

import cv2
import numpy as np

from synthetic_faces.parameters import FaceParameters
from synthetic_faces.scene import View
from synthetic_faces.textures import clouds, piece, streaks

GREY = 0.24  # linear; what cameras take people for
JPEG_QUALITY = (35, 98)
COARSE = 96  # side that backgrounds are made at before they are enlarged


def background(parameters: FaceParameters, rng: np.random.Generator, side: int) -> np.ndarray:
    """What lies behind a head, linear colours (side, side, 3), float32: a wall, clutter, leaves or boxes."""
    kind = parameters.look.background_kind
    shape = (COARSE, COARSE)
    first, second = _muted(rng), _muted(rng)
    slope = np.linspace(0, 1, COARSE)[:, None] * rng.uniform(-1, 1) + np.linspace(0, 1, COARSE)[None] * rng.uniform(
        -1, 1
    )
    share = np.clip(0.5 + slope + 0.2 * piece(clouds(10.0), rng, *shape), 0, 1)[..., None]
    picture = (first * share + second * (1 - share)).astype(np.float32)
    if kind == 1 or kind == 3:
        for _ in range(rng.integers(6, 30)):
            colour = _muted(rng)
            centre, size = rng.uniform(0, COARSE, 2), rng.uniform(3, 32, 2)
            if kind == 3:
                cv2.rectangle(
                    picture,
                    (centre - size).astype(int).tolist(),
                    (centre + size).astype(int).tolist(),
                    colour.tolist(),
                    -1,
                )
            else:
                cv2.ellipse(
                    picture,
                    centre.astype(int).tolist(),
                    size.astype(int).tolist(),
                    rng.uniform(0, 180),
                    0,
                    360,
                    colour.tolist(),
                    -1,
                )
    elif kind == 2:
        for noise in (clouds(2.0), streaks(1.2, 30.0)):
            picture *= 1 + 0.35 * piece(noise, rng, *shape, rng.uniform(0.6, 2))[..., None] * rng.uniform(
                0.3, 1, 3
            ).astype(np.float32)
    picture = cv2.GaussianBlur(np.clip(picture, 0.01, 1), (0, 0), rng.uniform(0.8, 2.5))
    picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR)
    grain = piece(clouds(1.0), rng, side, side, 2.0)
    return np.square(np.clip(picture * (1 + 0.05 * grain[..., None]), 0, 1))


def _muted(rng: np.random.Generator) -> np.ndarray:
    """A colour as walls, trees and streets have: seldom a bright one."""
    grey = rng.uniform(0.05, 0.95)
    return np.clip(grey + rng.normal(0, 0.07 if rng.random() < 0.75 else 0.22, 3), 0.02, 0.98)


def develop(
    view: View, parameters: FaceParameters, behind: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """The photograph, uint8 RGB (size, size, 3)."""
    look = parameters.look
    colour = np.where(view.covered[..., None], view.colour, behind)
    colour = cv2.resize(colour, (size, size), interpolation=cv2.INTER_AREA)
    exposure = (rng.uniform(0.1, 0.3) if look.dark else rng.uniform(0.7, 1.25)) * _metered(view)
    cast = 1 + (0.3 if look.coloured_light else 0.06) * rng.uniform(-1, 1, 3)
    picture = np.sqrt(
        np.clip(colour * (exposure * cast).astype(np.float32), 0, 1)
    )  # screens take about the square root
    contrast = rng.uniform(0.85, 1.2)
    picture = np.clip((picture - 0.5) * contrast + 0.5, 0, 1)
    if look.grey:
        picture = np.repeat(picture @ np.array([[0.3], [0.59], [0.11]], np.float32), 3, axis=2)
    unit = parameters.pose.scale * size
    if look.blur:
        picture = cv2.GaussianBlur(picture, (0, 0), max(0.3, unit * rng.uniform(0.012, 0.05)))
    if look.motion:
        picture = _moved(picture, unit * rng.uniform(0.05, 0.16), rng.uniform(0, np.pi))
    quality = int(rng.uniform(*JPEG_QUALITY))  # before the noise, which takes more draws for a larger picture
    if look.noise:
        picture = picture + rng.normal(0, rng.uniform(0.006, 0.05), picture.shape)
    pixels = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    _, packed = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1])


def _metered(view: View) -> float:
    """What a camera multiplies light by so that people are neither black nor white, half way."""
    people = view.colour[view.covered]
    return float((GREY / max(people.mean(), 0.01)) ** 0.5) if len(people) else 1.0


def _moved(picture: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Smeared along a line, as by a hand that shakes."""
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    middle = side // 2
    reach = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(np.round(np.array([middle, middle]) + way * reach).astype(int).tolist()) for way in (-1, 1)]
    cv2.line(kernel, *ends, 1.0)
    return cv2.filter2D(picture, -1, kernel / kernel.sum())
