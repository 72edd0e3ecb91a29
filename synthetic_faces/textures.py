"""Noise that skin, hair, cloth and backgrounds are made of; made once a process, the same everywhere."""

import functools

import cv2
import numpy as np

SIDE = 640  # pixels after which noise repeats; it is kept twice in both directions, so that any piece is one slice


@functools.cache
def clouds(finest: float) -> np.ndarray:
    """Noise of standard deviation 1 with features from `finest` pixels up: twice, as `piece` takes it."""
    rng = np.random.default_rng([SIDE, round(finest * 1000)])
    total = np.zeros((SIDE, SIDE), np.float32)
    scale = finest
    while scale < SIDE / 4:
        total += scale**0.6 * _blurred(rng.standard_normal((SIDE, SIDE), np.float32), scale, scale)
        scale *= 2.2
    return np.tile(_unit(total), (2, 2))


@functools.cache
def streaks(across: float, along: float) -> np.ndarray:
    """Upright streaks, standard deviation 1: twice, as `piece` takes them."""
    rng = np.random.default_rng([SIDE, round(across * 1000), round(along * 1000)])
    coarse = _blurred(rng.standard_normal((SIDE, SIDE), np.float32), 5 * across, along)
    noise = _blurred(rng.standard_normal((SIDE, SIDE), np.float32), across, along)
    return np.tile(_unit(noise + 0.6 * coarse), (2, 2))


def piece(noise: np.ndarray, rng: np.random.Generator, height: int, width: int, zoom: float = 1.0) -> np.ndarray:
    """A random piece (height, width) of noise that has no seams, enlarged `zoom` times. Not to be written to.

    Raises:
        ValueError: a piece larger than the picture.
    """
    rows, columns = int(np.ceil(height / zoom)), int(np.ceil(width / zoom))
    if max(rows, columns) > SIDE:
        raise ValueError(f"no such piece of noise. Received {rows} x {columns}; at most {SIDE} x {SIDE} is right")
    x, y = rng.integers(0, SIDE, 2)
    found = noise[y : y + rows, x : x + columns]
    return found if zoom == 1 else cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)


def _blurred(noise: np.ndarray, x: float, y: float) -> np.ndarray:
    """Blurred, wrapping around, to standard deviation 1."""
    pad = int(3 * max(x, y)) + 1
    pad = min(pad, SIDE - 1)
    wrapped = np.pad(noise, pad, mode="wrap")
    blurred = cv2.GaussianBlur(wrapped, (0, 0), x, sigmaY=y)[pad:-pad, pad:-pad]
    return _unit(blurred)


def _unit(noise: np.ndarray) -> np.ndarray:
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)
