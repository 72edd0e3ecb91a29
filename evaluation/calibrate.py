"""Calibrate the confidence of weights on held-out faces, and measure its quality.

    python -m evaluation.calibrate --dataset 300W --data-dir data --weights runs/acr/best.keras

writes best.confidence.json beside the weights, which predict.py uses from then on, and the reliability plot
best.confidence.png. The faces are the validation split, once without and once with an occluder, a patch of another
face. All printed numbers are two-fold cross-validated: each half of the faces is evaluated with a fit on the other
half. The calibration that is written is fitted on all faces. Faces are cropped around their true landmarks and
predicted in one pass.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from config import DATA_DIR, EVALUATION_BATCH, SEED, get_crop
from face_datasets.catalogue import TITLES, get_dataset
from face_datasets.face_dataset import FaceDataset, load_faces
from image_utility import compose, invert, landmark_box, to_network, transform, warp
from inference.confidence import Calibration, log_deviation, map_back, tta_matrices, tta_std
from inference.config import CONFIDENCE_BINS, CONFIDENT_ERROR, OCCLUDER_FRACTION, TTA_VIEWS
from inference.network import LandmarkNetwork, load_network
from metrics import point_errors
from utils import cli
from utils.files import atomic_write

FIT_STRENGTH = 1.0  # C of scikit-learn's logistic regression
BLOCKS = 10  # of neighbouring faces


def predict_views(network: LandmarkNetwork, faces: FaceDataset, images: Sequence[np.ndarray]) -> np.ndarray:
    """Return the landmarks (faces, views, points, 2) of all TTA views in image pixels.

    Args:
        network: the network.
        faces: the faces.
        images: stored images (height, width, 3) to use instead of the faces' own.
    """
    size, count = network.input_size, len(TTA_VIEWS)
    affines = tta_matrices(TTA_VIEWS, size)
    matrices = compose(affines, faces.crop_matrices(get_crop(network.crop), size)[:, None])  # (faces, views, 2, 3)
    from_stored = compose(matrices, invert(faces.matrices)[:, None])
    predicted = []
    for start in tqdm(range(0, len(faces), EVALUATION_BATCH // count), unit="batch", disable=None):
        batch = range(start, min(start + EVALUATION_BATCH // count, len(faces)))
        crops = np.stack([warp(images[i], matrix, size) for i in batch for matrix in from_stored[i]])
        predicted.append(network.predict(to_network(crops)).reshape(len(batch), count, -1, 2))
    return map_back(np.concatenate(predicted), matrices, faces.dataset.layout)


def paste_occluders(faces: FaceDataset, seed: int = SEED) -> tuple[list[np.ndarray], np.ndarray]:
    """Paste a patch of another face over each face.

    The patch has OCCLUDER_FRACTION of the width and height of the landmarks' box, at a random position inside the box.

    Args:
        faces: the faces.
        seed: random seed of the positions; default: SEED.

    Returns:
        the stored images, and occluded (faces, points), bool: whether the pixel of a landmark belongs to the patch.
    """
    rng = np.random.default_rng(seed)
    donors = np.roll(np.arange(len(faces)), 1)  # neighbours in the list, so never the face itself
    images, occluded = [], []
    for image, donor, landmarks, matrix in zip(faces.images, donors, faces.landmarks, faces.matrices, strict=True):
        stored = transform(landmarks, matrix)  # (points, 2) in the stored image
        box = landmark_box(stored)
        side = OCCLUDER_FRACTION * (box[2:] - box[:2])
        low = (box[:2] + rng.random(2) * (box[2:] - box[:2] - side)).round().astype(int)
        high = (low + np.maximum(side.round(), 1)).astype(int)
        donor = faces.images[donor]
        left, top = ((np.array(donor.shape[1::-1]) - (high - low)) // 2).clip(0)
        patch = donor[top : top + high[1] - low[1], left : left + high[0] - low[0]]
        image = image.copy()
        start = low.clip(0)
        target = image[start[1] : max(high[1], 0), start[0] : max(high[0], 0)]
        height, width = np.minimum(target.shape[:2], patch.shape[:2])
        target[:height, :width] = patch[:height, :width]
        images.append(image)
        pixels = np.floor(stored + 0.5)  # pixel centres have whole coordinates
        occluded.append(((pixels >= start) & (pixels < start + [width, height])).all(axis=1))
    return images, np.stack(occluded)


def fit(deviation: np.ndarray, correct: np.ndarray) -> Calibration:
    """Return the calibration that predicts best which landmarks are correct: a logistic regression.

    Args:
        deviation: (faces, points) of `tta_std`.
        correct: (faces, points), bool.

    Raises:
        ValueError: all landmarks are correct, or none.
    """
    from sklearn.linear_model import LogisticRegression

    if correct.all() or not correct.any():
        raise ValueError(
            f"cannot calibrate. Received {correct.sum()} correct landmarks of {correct.size}; expected some of both"
        )
    points = deviation.shape[1]
    indicators = np.tile(np.eye(points), (len(deviation), 1))  # (faces * points, points)
    inputs = np.column_stack([log_deviation(deviation).ravel(), indicators])
    model = LogisticRegression(C=FIT_STRENGTH, max_iter=10_000).fit(inputs, correct.ravel())
    return Calibration(float(model.coef_[0, 0]), model.intercept_[0] + model.coef_[0, 1:])


def cross_validated_confidence(deviations: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Return two-fold cross-validated confidences: those of each half of the faces from a fit on the other half.

    The faces are divided into BLOCKS of neighbours, which alternate between the halves. Faces of one photograph are
    neighbours, so most of them are in one half; and halves of many blocks are about equally hard.

    Args:
        deviations: (kinds, faces, points) of `tta_std`, of the same faces in several kinds of images.
        correct: (kinds, faces, points), bool.

    Returns:
        (kinds, faces, points).

    Raises:
        ValueError: in one half all landmarks are correct, or none.
    """
    count = deviations.shape[1]
    first = np.arange(count) * min(BLOCKS, count) // count % 2 == 0  # (faces,)
    confidence = np.empty(deviations.shape)
    for half in (first, ~first):
        calibration = fit(np.concatenate(deviations[:, half]), np.concatenate(correct[:, half]))
        confidence[:, ~half] = calibration.confidence(deviations[:, ~half])
    return confidence


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's rank correlation of two arrays of the same shape."""
    from scipy.stats import spearmanr

    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def calibrate(weights: str, dataset_name: str, data_dir: str) -> dict:
    """Fit, evaluate, print and write the calibration; see above.

    Args:
        weights: path of the weights.
        dataset_name: name or title of a prepared data set.
        data_dir: data root.

    Returns:
        the measured quality.

    Raises:
        FileNotFoundError: there are no such weights, or the data set is not prepared.
        ValueError: the weights are for another number of landmarks.
    """
    dataset = get_dataset(dataset_name)
    network = load_network(weights)
    if network.points != dataset.layout.points:
        raise ValueError(
            f"{weights} is not for {dataset.title}. Received {network.points} landmarks; expected "
            f"{dataset.layout.points}"
        )
    faces = load_faces(data_dir, dataset.name, "validation", network.input_size)
    distance = faces.normaliser_distance()
    occluded_images, occluded = paste_occluders(faces)
    errors, deviations = [], []  # without and with occluders
    for images in (faces.images, occluded_images):
        views = predict_views(network, faces, images)
        errors.append(point_errors(views.mean(axis=1), faces.landmarks, distance))  # (faces, points)
        deviations.append(tta_std(views))
    errors, deviations = np.stack(errors), np.stack(deviations)  # (2, faces, points)
    correct = errors <= CONFIDENT_ERROR
    before, after = cross_validated_confidence(deviations, correct)
    figures = {
        "dataset": dataset.title,
        "split": faces.split,
        "n": len(faces),
        "normaliser": dataset.normaliser,
        "rank correlation with the error": {
            "open faces": rank_correlation(-before, errors[0]),
            "open faces, mean of each face": rank_correlation(-before.mean(axis=1), errors[0].mean(axis=1)),
            "covered faces": rank_correlation(-after, errors[1]),
        },
        "mean confidence, and share that is right": {
            "open faces": _means(before, correct[0]),
            "landmarks that will be covered": _means(before[occluded], correct[0][occluded]),
            "the same, covered": _means(after[occluded], correct[1][occluded]),
            "covered faces, landmarks beside the cover": _means(after[~occluded], correct[1][~occluded]),
        },
        "covered landmarks whose confidence fell": float((after < before)[occluded].mean()),
    }
    print_figures(figures)
    calibration = fit(np.concatenate(deviations), np.concatenate(correct))
    path = calibration.save(network.path, figures)
    curves = {"without occluder": (before, correct[0]), "with occluder": (after, correct[1])}
    draw_reliability(path.with_suffix(".png"), curves, CONFIDENCE_BINS, CONFIDENT_ERROR, dataset.normaliser)
    print(f"slope {calibration.slope:.3f}, mean offset {np.mean(calibration.offsets):.3f}")
    print(f"calibration: {path}; reliability plot: {path.with_suffix('.png')}")
    return figures


def _means(confidence: np.ndarray, correct: np.ndarray) -> list[float]:
    return [float(confidence.mean()), float(correct.mean())]


def print_figures(figures: dict) -> None:
    """Print the measured quality, one figure a line."""
    print(f"confidence = probability of an error of at most {CONFIDENT_ERROR:g} % ({figures['normaliser']})")
    print(f"{figures['dataset']}, {figures['split']}, {figures['n']} faces")
    for title, value in figures.items():
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
    """Draw the fraction of correct landmarks by confidence, and the distribution of the confidence.

    Args:
        path: the picture.
        curves: title -> confidence, 0 to 1, and whether the landmark is correct, bool, two arrays of one shape.
        bins: number of bins of equal width.
        error: maximum error of a correct landmark, in percent of the normaliser.
        normaliser: its name.
    """
    from matplotlib.figure import Figure

    from evaluation.plots import DPI

    figure = Figure(figsize=(6.5, 7.0), dpi=DPI, layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="perfectly calibrated")
    edges = np.linspace(0, 1, bins + 1)
    for title, (confidence, correct) in curves.items():
        indices = np.clip(np.digitize(confidence.ravel(), edges) - 1, 0, bins - 1)
        counts = np.bincount(indices, minlength=bins)
        filled = counts > 0
        means, fractions = (
            np.bincount(indices, weights=values.ravel(), minlength=bins)[filled] / counts[filled]
            for values in (confidence, correct)
        )
        above.plot(means, fractions, marker="o", label=title)
        below.stairs(counts / counts.sum(), edges, linewidth=1.5, label=title)
    above.set(ylabel="fraction correct", ylim=(0, 1), title=f"correct: error of at most {error:g} % ({normaliser})")
    above.legend()
    below.set(xlabel="confidence", ylabel="fraction of landmarks", xlim=(0, 1))
    for axes in (above, below):
        axes.grid(alpha=0.25)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Calibrate the confidence of weights on held-out faces.")
    add = parser.add_argument
    add("--dataset", required=True, help=f"prepared data set: one of {TITLES}")
    add("--weights", required=True, help="weights; the calibration is written beside them")
    add("--data-dir", default=DATA_DIR, help="data root; default: %(default)s")
    options = parser.parse_args(arguments)

    def work() -> None:
        calibrate(options.weights, options.dataset, options.data_dir)

    return cli.run(work, "evaluation.calibrate")


if __name__ == "__main__":
    sys.exit(main())
