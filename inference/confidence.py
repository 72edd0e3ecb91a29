"""Confidence of landmarks from test-time augmentation (TTA).

    confidence = P(error <= 5 % of the normaliser) = 1 / (1 + exp(-(slope log(deviation) + offset)))

The normaliser is that of the network's data set; for 300W it is the distance between the outer eye corners. The
deviation is the standard deviation of a landmark over the TTA views, relative to the size of the face. The slope and
the offsets (one per landmark, since jaw points are harder than eye corners) are fitted on held-out faces by
`python -m evaluation.calibrate` and stored beside the weights: best.keras, best.confidence.json. Weights without such a
file use the values of inference/config.py.
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

CALIBRATE = "python -m evaluation.calibrate"  # for error messages
MIN_DEVIATION = 1e-4  # of the face size; smaller values have no meaningful logarithm


def tta_matrices(views: tuple[View, ...], size: int) -> np.ndarray:
    """Return the matrices (views, 2, 3) from the pixels of a crop to the pixels of each view.

    Args:
        views: the views.
        size: side of the crop in pixels.
    """
    return affine_matrices(
        np.array([view.rotation for view in views]),
        np.array([view.scale for view in views]),
        np.array([view.shift for view in views]),
        np.array([view.flip for view in views]),
        size,
    )


def map_back(
    predicted: np.ndarray, matrices: np.ndarray, layout: Layout, views: tuple[View, ...] = TTA_VIEWS
) -> np.ndarray:
    """Return the landmarks of all views in image pixels, mirrored views with their landmarks in the original order.

    Args:
        predicted: landmarks (..., views, points, 2) in the pixels of each view.
        matrices: (..., views, 2, 3) from image pixels to the pixels of each view.
        layout: layout of the landmarks.
        views: the views; default: TTA_VIEWS.

    Returns:
        (..., views, points, 2) in image pixels.
    """
    landmarks = transform(predicted, invert(matrices))
    flips = [view.flip for view in views]
    landmarks[..., flips, :, :] = mirror_landmarks(landmarks[..., flips, :, :], layout.partners)
    return landmarks


def tta_std(landmarks: np.ndarray) -> np.ndarray:
    """Return the standard deviation of landmarks over the views, relative to the size of the face.

    The size is the square root of the area of the mean landmarks' box, which hardly changes with the head's pose.

    Args:
        landmarks: (..., views, points, 2).

    Returns:
        (..., points): the root mean square distance from the mean.
    """
    mean = landmarks.mean(axis=-3)
    sides = np.maximum(np.ptp(mean, axis=-2), 1e-9)  # (..., 2)
    size = np.sqrt(sides.prod(axis=-1))[..., None]  # (..., 1)
    return np.sqrt(((landmarks - mean[..., None, :, :]) ** 2).sum(axis=-1).mean(axis=-2)) / size


def log_deviation(deviation: np.ndarray) -> np.ndarray:
    """Return the logarithm of standard deviations, the input of the logistic function."""
    return np.log(np.maximum(deviation, MIN_DEVIATION))


@dataclass(frozen=True)
class Calibration:
    """Logistic function from the TTA standard deviation to the confidence.

    Attributes:
        slope: slope for all landmarks.
        offsets: one offset for all landmarks, or (points,).
    """

    slope: float = CONFIDENCE_SLOPE
    offsets: float | np.ndarray = CONFIDENCE_OFFSET

    def confidence(self, deviation: np.ndarray) -> np.ndarray:
        """Return the probability of an error of at most CONFIDENT_ERROR percent of the normaliser.

        Args:
            deviation: (..., points) of `tta_std`.

        Returns:
            (..., points), 0 to 1.
        """
        return 1 / (1 + np.exp(-(self.slope * log_deviation(deviation) + self.offsets)))

    def save(self, weights: str | os.PathLike, figures: dict) -> Path:
        """Write the calibration beside the weights and return its path.

        Args:
            weights: path of the weights.
            figures: measured quality of the calibration, stored with it.
        """
        path = calibration_path(weights)
        offsets = np.asarray(self.offsets).round(4).tolist()
        write_json(path, {"error": CONFIDENT_ERROR, "slope": round(self.slope, 4), "offsets": offsets, **figures})
        return path


def calibration_path(weights: str | os.PathLike) -> Path:
    """Return the path of the calibration of a file of weights."""
    return Path(weights).with_suffix(CONFIDENCE_SUFFIX)


def load_calibration(weights: str | os.PathLike, points: int) -> Calibration:
    """Load the calibration beside a file of weights, or return the default if there is none.

    Args:
        weights: path of the weights.
        points: number of landmarks of the network.

    Raises:
        ValueError: the file is damaged, or is for another number of landmarks.
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
            f"{path} does not fit the network. Received offsets {offsets.shape}, error {error:g}; expected "
            f"({points},) and {CONFIDENT_ERROR:g}. {CALIBRATE} writes a calibration"
        )
    return Calibration(slope, offsets)
