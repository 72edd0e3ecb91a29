"""Calibrate the confidence of weights on held-out faces, and measure it.

    python -m evaluation.calibrate --dataset 300W --data-dir data --weights runs/acr/best.keras

writes best.confidence.json beside the weights, which predict.py uses from then on, and the reliability plot
best.confidence.png. The faces are the validation split, once as they are, once with a patch of another face over each.
All printed numbers come from two-fold cross-validation; the calibration that is written is fitted on all faces. Faces
are cropped around their true landmarks and predicted in one pass.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from config import DATA_DIR, EVALUATION_BATCH, SEED, get_crop
from face_datasets.catalogue import TITLES, get_dataset
from face_datasets.face_dataset import FaceDataset, load_faces
from image_utility import compose, invert, landmark_box, to_network, transform, warp
from inference.confidence import Calibration, log_deviation, map_back, tta_matrices, tta_std
from inference.config import CONFIDENCE_BINS, CONFIDENT_ERROR, OCCLUDER_FRACTION, TTA_VIEWS
from metrics import point_errors
from utils import cli
from utils.files import atomic_write

if TYPE_CHECKING:
    from inference.network import LandmarkNetwork

FIT_STRENGTH = 1.0  # C of scikit-learn's logistic regression
BLOCKS = 10  # of neighbouring faces, for the cross-validation


def predict_views(network: "LandmarkNetwork", faces: FaceDataset, images: list[np.ndarray]) -> np.ndarray:
    """Return the predictions for all TTA views of every face.

    Args:
        network: the network.
        faces: the faces.
        images: stored images that replace those of the faces.

    Returns:
        landmarks (faces, views, points, 2) in image pixels.
    """
    size, views = network.input_size, len(TTA_VIEWS)
    to_views = tta_matrices(TTA_VIEWS, size)
    matrices = compose(to_views, faces.crop_matrices(get_crop(network.crop), size)[:, None])  # (faces, views, 2, 3)
    from_stored = compose(matrices, invert(faces.matrices)[:, None])
    predicted = []
    for start in tqdm(range(0, len(faces), EVALUATION_BATCH // views), unit="batch", disable=None):
        some = range(start, min(start + EVALUATION_BATCH // views, len(faces)))
        crops = np.stack([warp(images[i], matrix, size) for i in some for matrix in from_stored[i]])
        predicted.append(network.predict(to_network(crops)).reshape(len(some), views, -1, 2))
    return map_back(np.concatenate(predicted), matrices, faces.dataset.layout)


def paste_occluders(faces: FaceDataset, seed: int = SEED) -> tuple[list[np.ndarray], np.ndarray]:
    """Paste a patch of another face over each face.

    The patch is OCCLUDER_FRACTION of the landmark box wide and high, at a random position inside the box.

    Args:
        faces: the faces; they are not changed.
        seed: random seed of the positions.

    Returns:
        the stored images with patches, and which landmarks are occluded, (faces, points), bool: those whose pixel is
        one of the patch.
    """
    rng = np.random.default_rng(seed)
    others = np.roll(np.arange(len(faces)), 1)  # neighbours in the list, so never the face itself
    images, occluded = [], []
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
        target = image[start[1] : max(high[1], 0), start[0] : max(high[0], 0)]
        height, width = np.minimum(target.shape[:2], patch.shape[:2])
        target[:height, :width] = patch[:height, :width]
        images.append(image)
        pixels = np.floor(stored + 0.5)  # a pixel extends half a pixel to either side of its centre
        occluded.append(((pixels >= start) & (pixels < start + [width, height])).all(axis=1))
    return images, np.stack(occluded)


def fit(deviations: np.ndarray, correct: np.ndarray) -> Calibration:
    """Fit the calibration from deviations to the probability that a landmark is correct.

    Args:
        deviations: TTA standard deviations, (faces, points).
        correct: (faces, points), bool.

    Raises:
        ValueError: all of them are correct, or none.
    """
    from sklearn.linear_model import LogisticRegression

    if correct.all() or not correct.any():
        raise ValueError(
            f"cannot calibrate. Received {correct.sum()} of {correct.size} correct landmarks; expected some of both"
        )
    points = deviations.shape[1]
    which = np.tile(np.eye(points), (len(deviations), 1))  # (faces * points, points)
    inputs = np.column_stack([log_deviation(deviations).ravel(), which])
    model = LogisticRegression(C=FIT_STRENGTH, max_iter=10_000).fit(inputs, correct.ravel())
    return Calibration(float(model.coef_[0, 0]), model.intercept_[0] + model.coef_[0, 1:])


def cross_validated_confidence(deviations: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Return the confidence of landmarks by two-fold cross-validation.

    The faces are divided into BLOCKS of neighbours, which belong to the two folds in turn. Faces of one photograph are
    neighbours and so stay in one fold, except for some at the block boundaries; and folds of many blocks are equally
    hard, unlike the halves of one cut in the middle.

    Args:
        deviations: TTA standard deviations, (kinds, faces, points), of the same faces in several kinds of images.
        correct: (kinds, faces, points), bool.

    Returns:
        (kinds, faces, points), 0 to 1.

    Raises:
        ValueError: in one fold all landmarks are correct, or none.
    """
    count = deviations.shape[1]
    first = np.arange(count) * min(BLOCKS, count) // count % 2 == 0  # (faces,)
    confidence = np.empty(deviations.shape)
    for fold in (first, ~first):
        calibration = fit(np.concatenate(deviations[:, fold]), np.concatenate(correct[:, fold]))
        confidence[:, ~fold] = calibration.confidence(deviations[:, ~fold])
    return confidence


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's rank correlation of two arrays of the same shape."""
    from scipy.stats import spearmanr

    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def calibrate(weights: str, dataset_name: str, data_dir: str) -> dict:
    """Fit, measure, print and write the calibration of weights.

    Args:
        weights: file of weights.
        dataset_name: the prepared data set.
        data_dir: data root.

    Returns:
        what was measured, as it is printed and stored.

    Raises:
        FileNotFoundError: no such weights, or a data set that is not prepared.
        ValueError: weights of another landmark count.
    """
    from inference.network import load_network

    dataset = get_dataset(dataset_name)
    network = load_network(weights)
    if network.points != dataset.layout.points:
        raise ValueError(
            f"{weights} is not for {dataset.title}. Received {network.points} landmarks; "
            f"expected {dataset.layout.points}"
        )
    faces = load_faces(data_dir, dataset.name, "validation", network.input_size)
    distance = faces.normaliser_distance()
    occluded_images, occluded = paste_occluders(faces)
    errors, deviations = [], []  # of visible faces, of occluded ones
    for images in (faces.images, occluded_images):
        views = predict_views(network, faces, images)
        errors.append(point_errors(views.mean(axis=1), faces.landmarks, distance))  # (faces, points)
        deviations.append(tta_std(views))
    errors, deviations = np.stack(errors), np.stack(deviations)  # (2, faces, points)
    correct = errors <= CONFIDENT_ERROR
    visible, hidden = cross_validated_confidence(deviations, correct)
    measured = {  # the keys of files that lie beside published weights
        "dataset": dataset.title,
        "split": faces.split,
        "n": len(faces),
        "normaliser": dataset.normaliser,
        "rank correlation with the error": {
            "open faces": rank_correlation(-visible, errors[0]),
            "open faces, mean of each face": rank_correlation(-visible.mean(axis=1), errors[0].mean(axis=1)),
            "covered faces": rank_correlation(-hidden, errors[1]),
        },
        "mean confidence, and share that is right": {
            "open faces": _means(visible, correct[0]),
            "landmarks that will be covered": _means(visible[occluded], correct[0][occluded]),
            "the same, covered": _means(hidden[occluded], correct[1][occluded]),
            "covered faces, landmarks beside the cover": _means(hidden[~occluded], correct[1][~occluded]),
        },
        "covered landmarks whose confidence fell": float((hidden < visible)[occluded].mean()),
    }
    _print(measured)
    calibration = fit(np.concatenate(deviations), np.concatenate(correct))
    path = calibration.save(network.path, measured)
    curves = {"visible faces": (visible, correct[0]), "occluded faces": (hidden, correct[1])}
    draw_reliability(path.with_suffix(".png"), curves, CONFIDENCE_BINS, CONFIDENT_ERROR, dataset.normaliser)
    print(f"slope {calibration.slope:.3f}, mean offset {np.mean(calibration.offsets):.3f}")
    print(f"{path} holds the calibration, {path.with_suffix('.png')} the reliability plot")
    return measured


def _means(confidence: np.ndarray, correct: np.ndarray) -> list[float]:
    return [float(confidence.mean()), float(correct.mean())]


def _print(measured: dict) -> None:
    """Print the numbers."""
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


def draw_reliability(
    path: str | os.PathLike,
    curves: dict[str, tuple[np.ndarray, np.ndarray]],
    bins: int,
    error: float,
    normaliser: str,
) -> None:
    """Draw the fraction of correct landmarks and the number of landmarks against the confidence.

    Args:
        path: the figure.
        curves: title -> confidence, 0 to 1, and whether the landmark is correct, bool, two arrays of one shape.
        bins: number of bars, of equal width.
        error: error in percent of the normaliser that counts as correct.
        normaliser: name of the normaliser.
    """
    from matplotlib.figure import Figure

    from evaluation.plots import DPI

    figure = Figure(figsize=(6.5, 7.0), dpi=DPI, layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="perfectly calibrated")
    edges = np.linspace(0, 1, bins + 1)
    for title, (confidence, correct) in curves.items():
        bin_of = np.clip(np.digitize(confidence.ravel(), edges) - 1, 0, bins - 1)
        counts = np.bincount(bin_of, minlength=bins)
        filled = counts > 0
        means, fractions = (
            np.bincount(bin_of, weights=values.ravel(), minlength=bins)[filled] / counts[filled]
            for values in (confidence, correct)
        )
        above.plot(means, fractions, marker="o", label=title)
        below.stairs(counts / counts.sum(), edges, linewidth=1.5, label=title)
    above.set(
        ylabel="fraction of correct landmarks",
        ylim=(0, 1),
        title=f"correct: error of at most {error:g} % ({normaliser})",
    )
    above.legend()
    below.set(xlabel="confidence", ylabel="fraction of landmarks", xlim=(0, 1))
    for axes in (above, below):
        axes.grid(alpha=0.25)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Calibrate the confidence of weights on held-out faces.")
    parser.add_argument("--dataset", required=True, help=f"prepared data set, one of {TITLES}")
    parser.add_argument("--weights", required=True, help="weights; the calibration is written beside them")
    parser.add_argument("--data-dir", default=DATA_DIR, help="data root; default: %(default)s")
    options = parser.parse_args(arguments)

    def work() -> None:
        calibrate(options.weights, options.dataset, options.data_dir)

    return cli.run(work, "evaluation.calibrate")


if __name__ == "__main__":
    sys.exit(main())
