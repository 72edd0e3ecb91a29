"""Calibrates the confidence of weights on held-out faces, and shows what it is worth.

    python -m evaluation.calibrate --dataset 300W --data-dir data --weights runs/acr/best.keras

writes best.confidence.json beside the weights, which predict.py uses from then on, and the reliability plot
best.confidence.png. The faces are the validation split, once as they are, once with a patch of another face over each.
Every number it prints is of faces that its fit has not seen: each half of the faces is judged by a fit on the other.
The fit that is written has seen all of them. Faces are cut out around their true landmarks and seen in one pass.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from config import DATA_DIR, EVALUATION_BATCH, SEED, get_crop
from evaluation.plots import (
    DPI,
)
from face_datasets.catalogue import TITLES, get_dataset
from face_datasets.face_dataset import FaceDataset, load_faces
from image_utility import compose, invert, landmark_box, to_network, transform, warp
from inference.confidence import Calibration, log_deviation, map_back, tta_matrices, tta_std
from inference.config import CONFIDENCE_BINS, CONFIDENT_ERROR, OCCLUDER_FRACTION, TTA_VIEWS
from inference.network import LandmarkNetwork, load_network
from metrics import point_errors
from utils.files import atomic_write

FIT_STRENGTH = 1.0  # C of scikit-learn's logistic regression
BLOCKS = 10  # of neighbouring faces


def predict_views(network: LandmarkNetwork, faces: FaceDataset, images: list[np.ndarray]) -> np.ndarray:
    """Landmarks (faces, copies, points, 2) in image pixels, of stored images in the place of the faces' own."""
    size, copies = network.input_size, len(TTA_VIEWS)
    moves = tta_matrices(TTA_VIEWS, size)
    matrices = compose(moves, faces.crop_matrices(get_crop(network.crop), size)[:, None])  # (faces, copies, 2, 3)
    from_stored = compose(matrices, invert(faces.matrices)[:, None])
    predicted = []
    for start in tqdm(range(0, len(faces), EVALUATION_BATCH // copies), unit="batch", disable=None):
        some = range(start, min(start + EVALUATION_BATCH // copies, len(faces)))
        crops = np.stack([warp(images[i], matrix, size) for i in some for matrix in from_stored[i]])
        predicted.append(network.predict(to_network(crops)).reshape(len(some), copies, -1, 2))
    return map_back(np.concatenate(predicted), matrices, faces.dataset.layout)


def cover(faces: FaceDataset, seed: int = SEED) -> tuple[list[np.ndarray], np.ndarray]:
    """Stored images with a patch over each face, cut from another face, and which landmarks (faces, points) it covers:
    those whose pixel is one of the patch.

    The patch is OCCLUDER_FRACTION of the landmarks' box wide and high, somewhere inside the box.
    """
    rng = np.random.default_rng(seed)
    others = np.roll(np.arange(len(faces)), 1)  # neighbours in the list, so never the face itself
    images, covered = [], []
    for image, other, landmarks, matrix in zip(faces.images, others, faces.landmarks, faces.matrices, strict=True):
        stored = transform(landmarks, matrix)  # (points, 2) in the stored image
        box = landmark_box(stored)
        side = OCCLUDER_FRACTION * (box[2:] - box[:2])
        low = (box[:2] + rng.random(2) * (box[2:] - box[:2] - side)).round().astype(int)
        high = (low + np.maximum(side.round(), 1)).astype(int)
        donor = faces.images[other]
        left, top = ((np.array(donor.shape[1::-1]) - (high - low)) // 2).clip(0)
        patch = donor[top : top + high[1] - low[1], left : left + high[0] - low[0]]
        image = image.copy()
        start = low.clip(0)
        place = image[start[1] : max(high[1], 0), start[0] : max(high[0], 0)]
        height, width = np.minimum(place.shape[:2], patch.shape[:2])
        place[:height, :width] = patch[:height, :width]
        images.append(image)
        pixels = np.floor(stored + 0.5)  # a pixel reaches half a pixel to either side of its place
        covered.append(((pixels >= start) & (pixels < start + [width, height])).all(axis=1))
    return images, np.stack(covered)


def fit(spread: np.ndarray, right: np.ndarray) -> Calibration:
    """The calibration that makes spread (faces, points) tell best which landmarks are right, (faces, points) bool.

    Raises:
        ValueError: all of them are right, or none.
    """
    from sklearn.linear_model import LogisticRegression

    if right.all() or not right.any():
        raise ValueError(
            f"cannot calibrate. Received {right.sum()} of {right.size} landmarks that are right; some must be"
        )
    points = spread.shape[1]
    which = np.tile(np.eye(points), (len(spread), 1))  # (faces * points, points)
    inputs = np.column_stack([log_deviation(spread).ravel(), which])
    model = LogisticRegression(C=FIT_STRENGTH, max_iter=10_000).fit(inputs, right.ravel())
    return Calibration(float(model.coef_[0, 0]), model.intercept_[0] + model.coef_[0, 1:])


def cross_validated_confidence(spreads: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Confidence in landmarks, each half of the faces judged by a fit on the other half.

    The faces are cut into BLOCKS of neighbours, which belong to the halves by turns. Faces of one photograph are
    neighbours and so stay together, but for some at the cuts; and halves of many blocks are equally hard, where those
    of one cut in the middle need not be.

    Args:
        spreads, right: (kinds, faces, points), of the same faces seen in several ways.

    Returns:
        (kinds, faces, points).

    Raises:
        ValueError: in one half all landmarks are right, or none.
    """
    count = spreads.shape[1]
    first = np.arange(count) * min(BLOCKS, count) // count % 2 == 0  # (faces,)
    confidence = np.empty(spreads.shape)
    for seen in (first, ~first):
        half = fit(np.concatenate(spreads[:, seen]), np.concatenate(right[:, seen]))
        confidence[:, ~seen] = half.confidence(spreads[:, ~seen])
    return confidence


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays of the same shape."""
    from scipy.stats import spearmanr

    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def calibrate(weights: str, dataset_name: str, data_dir: str) -> dict:
    """Fits, measures, prints and writes; see above. Returns what was measured.

    Raises:
        FileNotFoundError: no such weights, or a data set that is not prepared.
        ValueError: weights of another landmark count.
    """
    dataset = get_dataset(dataset_name)
    network = load_network(weights)
    if network.points != dataset.layout.points:
        points = dataset.layout.points
        raise ValueError(
            f"{weights} is not for {dataset.title}. Received {network.points} landmarks; {points} are right"
        )
    faces = load_faces(data_dir, dataset.name, "validation", network.input_size)
    distance = faces.normaliser_distance()
    covered_images, covered = cover(faces)
    errors, spreads = [], []  # of open faces, of covered ones
    for images in (faces.images, covered_images):
        copies = predict_views(network, faces, images)
        errors.append(point_errors(copies.mean(axis=1), faces.landmarks, distance))  # (faces, points)
        spreads.append(tta_std(copies))
    errors, spreads = np.stack(errors), np.stack(spreads)  # (2, faces, points)
    right = errors <= CONFIDENT_ERROR
    open_faces, hidden = cross_validated_confidence(spreads, right)
    measured = {
        "dataset": dataset.title,
        "split": faces.split,
        "n": len(faces),
        "normaliser": dataset.normaliser,
        "rank correlation with the error": {
            "open faces": rank_correlation(-open_faces, errors[0]),
            "open faces, mean of each face": rank_correlation(-open_faces.mean(axis=1), errors[0].mean(axis=1)),
            "covered faces": rank_correlation(-hidden, errors[1]),
        },
        "mean confidence, and share that is right": {
            "open faces": _pair(open_faces, right[0]),
            "landmarks that will be covered": _pair(open_faces[covered], right[0][covered]),
            "the same, covered": _pair(hidden[covered], right[1][covered]),
            "covered faces, landmarks beside the cover": _pair(hidden[~covered], right[1][~covered]),
        },
        "covered landmarks whose confidence fell": float((hidden < open_faces)[covered].mean()),
    }
    _print(measured)
    everything = fit(np.concatenate(spreads), np.concatenate(right))
    path = everything.save(network.path, measured)
    curves = {"open faces": (open_faces, right[0]), "covered faces": (hidden, right[1])}
    draw_reliability(path.with_suffix(".png"), curves, CONFIDENCE_BINS, CONFIDENT_ERROR, dataset.normaliser)
    print(f"slope {everything.slope:.3f}, mean offset {np.mean(everything.offsets):.3f}")
    print(f"{path} holds the calibration, {path.with_suffix('.png')} the reliability plot")
    return measured


def _pair(confidence: np.ndarray, right: np.ndarray) -> list[float]:
    return [float(confidence.mean()), float(right.mean())]


def _print(measured: dict) -> None:
    """The numbers as lines."""
    print(f"confidence = probability of an error of at most {CONFIDENT_ERROR:g} % ({measured['normaliser']})")
    print(f"{measured['dataset']}, {measured['split']}, {measured['n']} faces")
    for title, value in measured.items():
        if isinstance(value, dict):
            print(f"{title}:")
            for name, number in value.items():
                numbers = number if isinstance(number, list) else [number]
                print(f"  {name:<44}" + "".join(f"{one:8.3f}" for one in numbers))
        elif isinstance(value, float):
            print(f"{title:<46}{value:8.3f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Calibrates the confidence of weights on held-out faces.")
    parser.add_argument("--dataset", required=True, help=f"one of {TITLES}, prepared")
    parser.add_argument("--weights", required=True, help="the weights; the calibration is written beside them")
    parser.add_argument("--data-dir", default=DATA_DIR, help="the data root")
    options = parser.parse_args(arguments)
    try:
        calibrate(options.weights, options.dataset, options.data_dir)
    except (ValueError, OSError, ImportError) as error:
        print(f"evaluation.calibrate: {error}", file=sys.stderr)
        return 1
    return 0


def draw_reliability(
    path: str | os.PathLike,
    curves: dict[str, tuple[np.ndarray, np.ndarray]],
    bins: int,
    error: float,
    normaliser: str,
) -> None:
    """Draws how often landmarks of a given confidence are right, and how many landmarks have which confidence.

    Args:
        curves: title -> confidence, 0 to 1, and whether the landmark is right, bool, two arrays of one shape.
        bins: bars of equal width. error: percent of the normaliser that counts as right.
    """
    figure = Figure(figsize=(6.5, 7.0), dpi=DPI, layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="perfectly calibrated")
    edges = np.linspace(0, 1, bins + 1)
    for title, (confidence, right) in curves.items():
        bin_of = np.clip(np.digitize(confidence.ravel(), edges) - 1, 0, bins - 1)
        counts = np.bincount(bin_of, minlength=bins)
        filled = counts > 0
        means, shares = (
            np.bincount(bin_of, weights=values.ravel(), minlength=bins)[filled] / counts[filled]
            for values in (confidence, right)
        )
        above.plot(means, shares, marker="o", label=title)
        below.stairs(counts / counts.sum(), edges, linewidth=1.5, label=title)
    above.set(ylabel="share that is right", ylim=(0, 1), title=f"right: error of at most {error:g} % ({normaliser})")
    above.legend()
    below.set(xlabel="confidence", ylabel="share of landmarks", xlim=(0, 1))
    for axes in (above, below):
        axes.grid(alpha=0.25)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


if __name__ == "__main__":
    sys.exit(main())
