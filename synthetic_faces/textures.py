"""Noise that skin, hair, cloth and backgrounds are made of; made once a process, the same everywhere."""

import functools

import cv2
import numpy as np

SIDE = 512  # pixels after which noise repeats; it is kept twice in both directions, so that any piece is one slice


@functools.cache
def clouds(finest: float) -> np.ndarray:
    """Noise of standard deviation 1 with features from `finest` pixels up: twice, as `piece` takes it."""
    down, across = _frequencies()
    frequency = np.hypot(down, across)
    return _noise(round(finest * 1000), frequency**-1.3 * np.exp(-((finest * frequency) ** 2) * 12))


@functools.cache
def streaks(across: float, along: float) -> np.ndarray:
    """Upright streaks, standard deviation 1, `across` and `along` pixels large: twice, as `piece` takes them."""
    y, x = _frequencies()
    fine = np.exp(-20 * ((across * x) ** 2 + (along * y) ** 2))
    coarse = 2.2 * np.exp(-20 * ((5 * across * x) ** 2 + (along * y) ** 2))
    return _noise(round(across * 1000 + along), fine + coarse)


def _frequencies() -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (SIDE, 1) and (1, SIDE // 2 + 1) of a real Fourier transform, in cycles a pixel; never 0."""
    down, across = np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE)
    down[0] = across[0] = 0.5 / SIDE
    return down[:, None], across[None]


def _noise(seed: int, amplitude: np.ndarray) -> np.ndarray:
    """Noise with these amplitudes over frequencies. It has no seams, so that it can lie beside itself."""
    white = np.fft.rfft2(np.random.default_rng([SIDE, seed]).standard_normal((SIDE, SIDE)))
    noise = np.fft.irfft2(white * amplitude, (SIDE, SIDE))
    return np.tile(((noise - noise.mean()) / noise.std()).astype(np.float32), (2, 2))


def piece(noise: np.ndarray, rng: np.random.Generator, height: int, width: int, zoom: float = 1.0) -> np.ndarray:
    """A random piece (height, width) of noise that has no seams, enlarged `zoom` times, or more where it would not do.

    Not to be written to.
    """
    zoom = max(zoom, height / SIDE, width / SIDE)
    rows, columns = int(np.ceil(height / zoom)), int(np.ceil(width / zoom))
    x, y = rng.integers(0, SIDE, 2)
    found = noise[y : y + rows, x : x + columns]
    return found if zoom == 1 else cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)
