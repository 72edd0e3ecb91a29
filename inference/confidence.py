"""How sure is each landmark? The network sees a face several times, moved a little, and we look how far it disagrees.

    confidence = P(error <= 5 % of the normaliser) = 1 / (1 + exp(-(slope log(spread) + offset)))

The normaliser is that of the network's data set: 300W's is the distance between the outer corners of the eyes. `spread`
is the root mean square distance of a landmark's copies from their mean, in units of the face's size. Slope and offsets
(one for each landmark, since a point of the jaw is harder to place than an eye's corner) are fitted on held-out faces
by `python -m evaluation.calibrate` and lie beside the weights: best.keras, best.confidence.json. Other weights use
those of inference/config.py.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from face_datasets.layouts import Layout
from image_utility import affine_matrices, invert, mirror_landmarks, transform
from inference.config import CONFIDENCE_OFFSET, CONFIDENCE_SLOPE, CONFIDENCE_SUFFIX, CONFIDENT_ERROR, TTA_VIEWS, View
from utils.files import write_json

CALIBRATE = "python -m evaluation.calibrate"  # for errors
MIN_SPREAD = 1e-4  # of a face's size; the logarithm of less means nothing


def tta_matrices(copies: tuple[View, ...], size: int) -> np.ndarray:
    """The matrices (copies, 2, 3) from crop pixels to the pixels of each copy; crops are `size` pixels wide."""
    return affine_matrices(
        np.array([copy.rotation for copy in copies]),
        np.array([copy.scale for copy in copies]),
        np.array([copy.shift for copy in copies]),
        np.array([copy.flip for copy in copies]),
        size,
    )


def map_back(
    predicted: np.ndarray, matrices: np.ndarray, layout: Layout, copies: tuple[View, ...] = TTA_VIEWS
) -> np.ndarray:
    """Landmarks of a face's copies (..., copies, points, 2) in crop pixels, brought to image pixels by the inverse of
    their matrices (..., copies, 2, 3); a mirrored copy's landmarks get their own names again."""
    landmarks = transform(predicted, invert(matrices))
    flips = [copy.flip for copy in copies]
    landmarks[..., flips, :, :] = mirror_landmarks(landmarks[..., flips, :, :], layout.partners)
    return landmarks


def tta_std(copies: np.ndarray) -> np.ndarray:
    """Disagreement of copies (..., copies, points, 2): (..., points), in units of the face's size.

    The size is the square root of the area of the mean landmarks' box, which hardly changes with the head's pose.
    """
    mean = copies.mean(axis=-3)
    sides = np.maximum(np.ptp(mean, axis=-2), 1e-9)  # (..., 2)
    size = np.sqrt(sides.prod(axis=-1))[..., None]  # (..., 1)
    return np.sqrt(((copies - mean[..., None, :, :]) ** 2).sum(axis=-1).mean(axis=-2)) / size


def log_spread(spread: np.ndarray) -> np.ndarray:
    """What the confidence follows from."""
    return np.log(np.maximum(spread, MIN_SPREAD))


@dataclass(frozen=True)
class Calibration:
    """From spread to confidence. offsets: one for all landmarks, or (points,)."""

    slope: float = CONFIDENCE_SLOPE
    offsets: float | np.ndarray = CONFIDENCE_OFFSET

    def confidence(self, spread: np.ndarray) -> np.ndarray:
        """Probability (..., points) that a landmark's error is at most CONFIDENT_ERROR percent of the normaliser."""
        return 1 / (1 + np.exp(-(self.slope * log_spread(spread) + self.offsets)))

    def save(self, weights: str | os.PathLike, measured: dict) -> Path:
        """Writes the calibration beside the weights, with what was measured of it; returns the file."""
        path = calibration_path(weights)
        offsets = np.asarray(self.offsets).round(4).tolist()
        write_json(path, {"error": CONFIDENT_ERROR, "slope": round(self.slope, 4), "offsets": offsets, **measured})
        return path


def calibration_path(weights: str | os.PathLike) -> Path:
    """Where the calibration of a weights file lies."""
    return Path(weights).with_suffix(CONFIDENCE_SUFFIX)


def load_calibration(weights: str | os.PathLike, points: int) -> Calibration:
    """The calibration beside a weights file of so many landmarks, or the project's own where there is none.

    Raises:
        ValueError: the file is broken, or of another number of landmarks.
    """
    path = calibration_path(weights)
    if not path.is_file():
        return Calibration()
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        slope, offsets, error = float(read["slope"]), np.array(read["offsets"], np.float64), float(read["error"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as problem:
        raise ValueError(f"{path} is not a calibration. Received {problem!r}; {CALIBRATE} writes one") from problem
    if offsets.shape != (points,) or not np.isfinite([slope, *offsets]).all() or error != CONFIDENT_ERROR:
        raise ValueError(
            f"{path} does not fit. Received offsets {offsets.shape}, error {error:g}; ({points},) and "
            f"{CONFIDENT_ERROR:g} are right: {CALIBRATE} writes them"
        )
    return Calibration(slope, offsets)
