"""Noise for skin, hair, cloth and backgrounds: computed once per process, the same everywhere."""

import functools

import cv2
import numpy as np

SIZE = 512  # pixels after which noise repeats; it is tiled twice in both directions, so that any crop is one slice


@functools.cache
def clouds(finest: float) -> np.ndarray:
    """Return tiled noise of standard deviation 1 with features from `finest` pixels up."""
    down, across = _frequencies()
    frequency = np.hypot(down, across)
    return _noise(round(finest * 1000), frequency**-1.3 * np.exp(-((finest * frequency) ** 2) * 12))


@functools.cache
def streaks(across: float, along: float) -> np.ndarray:
    """Return tiled noise of standard deviation 1: upright streaks, `across` pixels wide and `along` pixels high."""
    y, x = _frequencies()
    fine = np.exp(-20 * ((across * x) ** 2 + (along * y) ** 2))
    coarse = 2.2 * np.exp(-20 * ((5 * across * x) ** 2 + (along * y) ** 2))
    return _noise(round(across * 1000 + along), fine + coarse)


def _frequencies() -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (SIZE, 1) and (1, SIZE // 2 + 1) of a real Fourier transform, in cycles a pixel; never 0."""
    down, across = np.fft.fftfreq(SIZE), np.fft.rfftfreq(SIZE)
    down[0] = across[0] = 0.5 / SIZE
    return down[:, None], across[None]


def _noise(seed: int, amplitude: np.ndarray) -> np.ndarray:
    """Return seamless noise (2 * SIZE, 2 * SIZE) with these amplitudes over frequencies."""
    white = np.fft.rfft2(np.random.default_rng([SIZE, seed]).standard_normal((SIZE, SIZE)))
    noise = np.fft.irfft2(white * amplitude, (SIZE, SIZE))
    return np.tile(((noise - noise.mean()) / noise.std()).astype(np.float32), (2, 2))


def random_crop(noise: np.ndarray, rng: np.random.Generator, height: int, width: int, zoom: float = 1.0) -> np.ndarray:
    """Return a random crop (height, width) of tiled noise; it may be a view, so do not write to it.

    Args:
        noise: of `clouds` or `streaks`.
        rng: random generator.
        height: in pixels.
        width: in pixels.
        zoom: enlargement; larger where the noise is too small for the crop.
    """
    zoom = max(zoom, height / SIZE, width / SIZE)
    rows, columns = int(np.ceil(height / zoom)), int(np.ceil(width / zoom))
    x, y = rng.integers(0, SIZE, 2)
    crop = noise[y : y + rows, x : x + columns]
    return crop if zoom == 1 else cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR)
