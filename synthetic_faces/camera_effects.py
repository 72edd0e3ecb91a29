"""From a rendered view to a photograph: background, exposure, blur, noise and compression."""

import cv2
import numpy as np

from synthetic_faces.parameters import FaceParameters
from synthetic_faces.scene import View
from synthetic_faces.textures import clouds, random_crop, streaks

GREY = 0.24  # linear brightness to which a camera exposes people
JPEG_QUALITY = (35, 98)
COARSE = 96  # pixels of a background before it is enlarged


def draw_background(parameters: FaceParameters, rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a background: a wall, ellipses, leaves or boxes.

    Returns:
        (size, size, 3), float32, linear RGB.
    """
    kind = parameters.appearance.background_kind
    shape = (COARSE, COARSE)
    first, second = _draw_muted_colour(rng), _draw_muted_colour(rng)
    ramp = np.linspace(0, 1, COARSE)
    slope = ramp[:, None] * rng.uniform(-1, 1) + ramp[None] * rng.uniform(-1, 1)
    weight = np.clip(0.5 + slope + 0.2 * random_crop(clouds(10.0), rng, *shape), 0, 1)[..., None]
    image = (first * weight + second * (1 - weight)).astype(np.float32)
    if kind == 1 or kind == 3:
        for _ in range(rng.integers(6, 30)):
            colour = _draw_muted_colour(rng).tolist()
            centre, half = rng.uniform(0, COARSE, 2), rng.uniform(3, 32, 2)
            if kind == 3:
                low, high = (centre - half).astype(int).tolist(), (centre + half).astype(int).tolist()
                cv2.rectangle(image, low, high, colour, -1)
            else:
                axes = half.astype(int).tolist()
                cv2.ellipse(image, centre.astype(int).tolist(), axes, rng.uniform(0, 180), 0, 360, colour, -1)
    elif kind == 2:
        for noise in (clouds(2.0), streaks(1.2, 30.0)):
            leaves = random_crop(noise, rng, *shape, rng.uniform(0.6, 2))[..., None]
            image *= 1 + 0.35 * leaves * rng.uniform(0.3, 1, 3).astype(np.float32)
    image = cv2.GaussianBlur(np.clip(image, 0.01, 1), (0, 0), rng.uniform(0.8, 2.5))
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    grain = random_crop(clouds(1.0), rng, size, size, 2.0)
    return np.square(np.clip(image * (1 + 0.05 * grain[..., None]), 0, 1))


def _draw_muted_colour(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour (3,) as walls, trees and streets have it: seldom a bright one."""
    grey = rng.uniform(0.05, 0.95)
    return np.clip(grey + rng.normal(0, 0.07 if rng.random() < 0.75 else 0.22, 3), 0.02, 0.98)


def apply_camera(
    view: View, parameters: FaceParameters, background: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the photograph of a view, uint8 RGB (size, size, 3).

    Args:
        view: of the face, at least as large as the photograph.
        parameters: of the face.
        background: linear RGB, of the size of the view.
        size: side of the photograph in pixels.
        rng: random generator.
    """
    appearance = parameters.appearance
    colour = np.where(view.foreground[..., None], view.colour, background)
    colour = cv2.resize(colour, (size, size), interpolation=cv2.INTER_AREA)
    exposure = (rng.uniform(0.1, 0.3) if appearance.dark else rng.uniform(0.7, 1.25)) * _auto_exposure(view)
    cast = 1 + (0.3 if appearance.coloured_light else 0.06) * rng.uniform(-1, 1, 3)
    image = np.sqrt(np.clip(colour * (exposure * cast).astype(np.float32), 0, 1))  # a screen's gamma is about 2
    contrast = rng.uniform(0.85, 1.2)
    image = np.clip((image - 0.5) * contrast + 0.5, 0, 1)
    if appearance.grey:
        image = np.repeat(image @ np.array([[0.3], [0.59], [0.11]], np.float32), 3, axis=2)
    unit = parameters.pose.scale * size  # pixels of a head unit
    if appearance.blur:
        image = cv2.GaussianBlur(image, (0, 0), max(0.3, unit * rng.uniform(0.012, 0.05)))
    if appearance.motion:
        image = _motion_blur(image, unit * rng.uniform(0.05, 0.16), rng.uniform(0, np.pi))
    quality = int(rng.uniform(*JPEG_QUALITY))  # before the noise, which takes more draws for a larger image
    if appearance.noise:
        image = image + rng.normal(0, rng.uniform(0.006, 0.05), image.shape)
    pixels = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])


def _auto_exposure(view: View) -> float:
    """Return the factor that brings people half way to a middle grey."""
    people = view.colour[view.foreground]
    return float((GREY / max(people.mean(), 0.01)) ** 0.5) if len(people) else 1.0


def _motion_blur(image: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Blur an image along a line, as camera shake does; length in pixels, angle in radians."""
    size = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((size, size), np.float32)
    middle = size // 2
    half = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(np.round(np.array([middle, middle]) + sign * half).astype(int).tolist()) for sign in (-1, 1)]
    cv2.line(kernel, *ends, 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())
