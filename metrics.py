"""Metrics of predicted landmarks: NME, failure rate, AUC and CED, on arrays and on files of any program.

    python metrics.py predictions.json data/w300/truth_test.json --dataset 300W
    python metrics.py predictions.json truth.json --dataset WFLW --normaliser inter-pupil --out metrics.json

Both files are a JSON list of {"image": NAME, "landmarks": [[x, y], ...]}, in 0-based pixels of the image as the data
set provides it; an entry of the truth file may add "subsets": ["common", ...] and "box": [left, top, right, bottom].
Files of anchors and contours are scored by `python -m ace_net.metrics`.

NME (normalised mean error) is in percent, FR (failure rate) and AUC (area under the CED, the cumulative error
distribution) are fractions. Nothing here needs Keras.
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from config import FAILURE_THRESHOLDS
from face_datasets.catalogue import EVALUATED_SPLITS, TITLES, Dataset, get_dataset
from face_datasets.landmark_files import read_entries, stack_boxes
from face_datasets.layouts import Layout
from face_datasets.normalisers import normaliser_distance
from utils import cli
from utils.files import write_json

FIGURES = tuple(f"{name}@{threshold:g}" for name in ("fr", "auc") for threshold in FAILURE_THRESHOLDS)
AUTHOR_AUC = (20, 10.0)  # the original author's own AUC: number of thresholds, and the last one, NME in percent


# --------------------------------------------------------------------------------------------------------------------
# Errors of faces
# --------------------------------------------------------------------------------------------------------------------


def point_errors(predicted: np.ndarray, truth: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Return the error of every landmark: its Euclidean distance to the truth in percent of a normalising distance.

    Args:
        predicted: (n, points, 2) in image pixels.
        truth: (n, points, 2) in image pixels.
        distance: (n,) in image pixels.

    Returns:
        (n, points) in percent.

    Raises:
        ValueError: predicted and truth are not both (n, points, 2), or hold no face, or a number that is not finite.
    """
    if predicted.shape != truth.shape or truth.ndim != 3 or truth.shape[-1] != 2 or not len(truth):
        raise ValueError(
            "predicted and true landmarks must both be (n, points, 2) with n > 0. "
            f"Received {predicted.shape} and {truth.shape}"
        )
    for kind, landmarks in (("predicted", predicted), ("true", truth)):
        if not np.isfinite(landmarks).all():
            count = int((~np.isfinite(landmarks)).any(axis=(1, 2)).sum())
            raise ValueError(f"{kind} landmarks must be finite numbers. Received NaN or infinity for {count} faces")
    return 100.0 * np.linalg.norm(predicted - truth, axis=-1) / distance[:, None]  # (n, points)


def nme(predicted: np.ndarray, truth: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Return the normalised mean error of every face, (n,) in percent: the mean of `point_errors` over landmarks."""
    return point_errors(predicted, truth, distance).mean(axis=1)


def landmark_nme(predicted: np.ndarray, truth: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Return the error of every landmark, (points,) in percent: the mean of `point_errors` over the faces."""
    return point_errors(predicted, truth, distance).mean(axis=0)


def part_nme(predicted: np.ndarray, truth: np.ndarray, distance: np.ndarray, layout: Layout) -> dict[str, float]:
    """Return the error of every facial part of the layout in percent: the mean over its landmarks and the faces."""
    errors = landmark_nme(predicted, truth, distance)
    return {part: float(errors[list(points)].mean()) for part, points in layout.parts.items()}


# --------------------------------------------------------------------------------------------------------------------
# Figures of many faces
# --------------------------------------------------------------------------------------------------------------------


def failure_rate(nmes: np.ndarray, threshold: float) -> float:
    """Return the fraction of faces with an NME (n,) above the threshold; both in percent."""
    return float(np.mean(nmes > threshold))


def ced(nmes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cumulative error distribution as the corners of its step function, from (0, 0) on.

    Args:
        nmes: (n,) in percent.

    Returns:
        errors (k,), increasing, in percent, and fractions (k,) of the faces with NME <= that error. Between two corners
        the curve has the fraction of the left one.
    """
    errors, counts = np.unique(nmes, return_counts=True)
    return np.append(0.0, errors), np.append(0.0, np.cumsum(counts) / counts.sum())


def auc(nmes: np.ndarray, threshold: float) -> float:
    """Return the area under the CED from 0 to the threshold, divided by the threshold: 1 is perfect, 0 means that all
    faces fail.

    It is exact: each face adds a rectangle from its own NME to the threshold to the step function. A grid of thresholds
    would make the value depend on its step.

    Args:
        nmes: (n,) in percent.
        threshold: in percent.
    """
    return float(np.mean(np.maximum(0.0, 1.0 - nmes / threshold)))


def author_auc(nmes: np.ndarray) -> float:
    """Return the "AUC" that the author of ACR Loss printed. It is not an AUC: compare it with his numbers only.

    His evaluation integrates the threshold over the running sum of the CED (trapezoidal rule), with 20 thresholds
    x_0 ... x_19 from 0 to an NME of 0.1 as a fraction: the sum over i = 1 ... 19 of CED(x_i) (x_(i-1) + x_i) / 2. A
    perfect prediction scores 0.95.

    Args:
        nmes: (n,) in percent.
    """
    count, last = AUTHOR_AUC
    thresholds = np.linspace(0.0, last, count)  # (20,) percent
    fractions = (nmes[:, None] <= thresholds).mean(axis=0)  # (20,)
    middles = (thresholds[:-1] + thresholds[1:]) / 2.0 / 100.0  # (19,), NME as a fraction
    return float(fractions[1:] @ middles)


# --------------------------------------------------------------------------------------------------------------------
# Evaluation
# --------------------------------------------------------------------------------------------------------------------


def subset_masks(dataset: Dataset, subsets: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """Return the faces of every subset: name -> (n,) bool.

    "full" comes first: every face. The data set's own subsets follow in its order, then others.

    Args:
        dataset: data set of the faces.
        subsets: names of the subsets of each of n faces.
    """
    found = {name for face in subsets for name in face} - {"full"}
    known = [name for counts in dataset.subsets.values() for name in counts]
    names = [name for name in known if name in found] + sorted(found - set(known))
    masks = {name: np.array([name in face for face in subsets]) for name in names}
    return {"full": np.ones(len(subsets), bool), **masks}


def evaluate(
    predicted: np.ndarray,
    truth: np.ndarray,
    dataset: Dataset,
    subsets: Sequence[Sequence[str]],
    official: dict[str, int] | None = None,
    normaliser: str | None = None,
    names: Sequence[str] | None = None,
    boxes: np.ndarray | None = None,
) -> dict:
    """Return the content of metrics.json for n predictions.

    Args:
        predicted: (n, points, 2) in image pixels.
        truth: (n, points, 2) in image pixels.
        dataset: data set of the faces.
        subsets: names of the subsets of each face.
        official: subset -> official number of faces, see Dataset.subsets; None for a subset that is not in it.
        normaliser: name of the normaliser; default: the data set's own.
        names: names of the faces, for error messages.
        boxes: (n, 4) left, top, right, bottom in image pixels, for the normaliser "box".

    Returns:
        "dataset", "normaliser" and, with that normaliser, "subsets": subset -> "n", "n_official", "nme", "fr@8",
        "fr@10", "auc@8", "auc@10", "median"; "parts": part -> NME over all faces; "landmarks": NME of each landmark
        over all faces; "author_auc@10": subset -> author_auc. "normalisers": name -> {"subsets": the same with that
        normaliser}, without those whose distance is zero for a face. NME and medians are in percent, FR and AUC are
        fractions.

    Raises:
        ValueError: arrays that do not fit the data set, numbers that are not finite, or a normaliser of zero.
    """
    normaliser = normaliser or dataset.normaliser
    official, layout = official or {}, dataset.layout
    if truth.shape[1:] != (layout.points, 2) or len(subsets) != len(truth):
        raise ValueError(
            f"true landmarks of {dataset.title} must be (n, {layout.points}, 2), with subsets for n faces. "
            f"Received {truth.shape} and subsets for {len(subsets)} faces"
        )
    masks = subset_masks(dataset, subsets)
    distances = {normaliser: normaliser_distance(truth, layout, normaliser, names, boxes)}  # the chosen one first
    for name in (dataset.normaliser, *layout.normalisers):
        with contextlib.suppress(ValueError):  # a face with coinciding pupils affects no other normaliser
            distances.setdefault(name, normaliser_distance(truth, layout, name, names, boxes))
    errors = {name: nme(predicted, truth, distance) for name, distance in distances.items()}
    normalisers = {
        name: {"subsets": {subset: _summary(nmes[mask], official.get(subset)) for subset, mask in masks.items()}}
        for name, nmes in errors.items()
    }
    return {
        "dataset": dataset.title,
        "normaliser": normaliser,
        "subsets": normalisers[normaliser]["subsets"],
        "normalisers": normalisers,
        "parts": part_nme(predicted, truth, distances[normaliser], layout),
        "landmarks": landmark_nme(predicted, truth, distances[normaliser]).tolist(),
        "author_auc@10": {subset: author_auc(errors[normaliser][mask]) for subset, mask in masks.items()},
    }


def _summary(nmes: np.ndarray, official: int | None) -> dict[str, float | int | None]:
    """Return the figures of one subset from the NME (n,) of its faces."""
    return {
        "n": len(nmes),
        "n_official": official,
        "nme": float(nmes.mean()),
        **{f"fr@{threshold:g}": failure_rate(nmes, threshold) for threshold in FAILURE_THRESHOLDS},
        **{f"auc@{threshold:g}": auc(nmes, threshold) for threshold in FAILURE_THRESHOLDS},
        "median": float(np.median(nmes)),
    }


def table(metrics: dict, official: dict[str, int] | None = None) -> str:
    """Return metrics.json as text: a line for each normaliser and subset, official subsets without a face included.

    Args:
        metrics: content of metrics.json.
        official: subset -> official number of faces.
    """
    rows = [["normaliser", "subset", "n", "official", "NME %", "median %", *(name.upper() for name in FIGURES)]]
    for normaliser, block in metrics["normalisers"].items():
        for subset, row in block["subsets"].items():
            errors = [f"{row['nme']:.2f}", f"{row['median']:.2f}", *(f"{row[name]:.4f}" for name in FIGURES)]
            official_count = "-" if row["n_official"] is None else str(row["n_official"])
            rows.append([normaliser, subset, str(row["n"]), official_count, *errors])
        for subset, count in (official or {}).items():
            if subset not in block["subsets"]:
                rows.append([normaliser, subset, "0", str(count), *["-"] * (2 + len(FIGURES))])
    full, first = metrics["subsets"]["full"], metrics["normaliser"]
    parts = ", ".join(f"{part} {error:.2f}" for part, error in metrics["parts"].items())
    author = ", ".join(f"{subset} {value:.4f}" for subset, value in metrics["author_auc@10"].items())
    return "\n".join(
        [
            f"{metrics['dataset']}: {count_text(full['n'], full['n_official'])}",
            *align_columns(rows),
            "FR@t: fraction of faces with NME > t %. AUC@t: area under the CED from 0 to t %, divided by t.",
            f"NME % of the parts ({first}, full, n {full['n']}): {parts}",
            f"AUC@10 by the formula of ACR Loss's author, not comparable with AUC@10 ({first}): {author}",
        ]
    )


def count_text(count: int, official: int | None) -> str:
    """Return the number of faces and the official number in words; an unknown number is "-"."""
    return f"{count} of {'-' if official is None else official} official faces"


def align_columns(rows: list[list[str]]) -> list[str]:
    """Return rows of cells as lines of text: two columns of names aligned left, numbers aligned right."""
    columns = []
    for index, cells in enumerate(zip(*rows, strict=True)):
        width = max(map(len, cells))
        columns.append([cell.ljust(width) if index < 2 else cell.rjust(width) for cell in cells])
    return ["  ".join(cells) for cells in zip(*columns, strict=True)]


# --------------------------------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------------------------------


def evaluate_files(
    predictions_path: str | Path,
    truth_path: str | Path,
    dataset: Dataset,
    normaliser: str | None = None,
    split: str | None = None,
) -> tuple[dict, dict[str, int], list[str]]:
    """Score a predictions file against a truth file.

    Args:
        predictions_path: file of predictions.
        truth_path: file of the truth.
        dataset: data set of the faces.
        normaliser: name of the normaliser; default: the data set's own.
        split: split of the official counts; default: the one that the truth's subsets belong to.

    Returns:
        the result of `evaluate`, the official counts, and the predicted images that the truth does not have.

    Raises:
        ValueError: a file that read_entries refuses, or a face of the truth without a prediction.
    """
    points = dataset.layout.points
    truth, predictions = read_entries(truth_path, points), read_entries(predictions_path, points)
    lacking = [name for name in truth if name not in predictions]
    if lacking:
        raise ValueError(
            f"{predictions_path} lacks {len(lacking)} of the {len(truth)} faces of {truth_path}. "
            f"Received no prediction for {first_names(lacking)}, but {len(predictions)} predictions for "
            f"{first_names(list(predictions))}; every face of the truth must have one, under the same name"
        )
    official = dataset.subsets.get(split or split_of_subsets([entry.subsets for entry in truth.values()]), {})
    metrics = evaluate(
        np.stack([predictions[name].landmarks for name in truth]),
        np.stack([face.landmarks for face in truth.values()]),
        dataset,
        [entry.subsets or () for entry in truth.values()],
        official,
        normaliser,
        names=list(truth),
        boxes=stack_boxes(truth.values()),
    )
    return metrics, official, [name for name in predictions if name not in truth]


def split_of_subsets(subsets: list[tuple[str, ...] | None]) -> str:
    """Return the split of a truth file: faces in no subset are validation faces, without subsets they are test faces.

    Args:
        subsets: names of the subsets of each face, None if the file has none.
    """
    if any("private" in (names or ()) for names in subsets):
        return "private"
    return "validation" if all(names == () for names in subsets) else "test"


def first_names(names: list[str], count: int = 3) -> str:
    """Return the first few names, for a message."""
    return ", ".join(map(repr, names[:count])) + (", ..." if len(names) > count else "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Score predicted landmarks of any program.")
    parser.add_argument("predictions", help='JSON list of {"image": NAME, "landmarks": [[x, y], ...]}')
    parser.add_argument("truth", help='JSON list in the same form; entries may add "subsets": [NAME, ...] and "box"')
    parser.add_argument("--dataset", required=True, help=f"data set of the faces, one of {TITLES}")
    parser.add_argument(
        "--normaliser", help="normaliser: inter-ocular, inter-pupil, box or landmark-box; default: the data set's own"
    )
    parser.add_argument(
        "--split", choices=EVALUATED_SPLITS, help="split of the official counts; default: that of the truth's subsets"
    )
    parser.add_argument("--out", help="file for the numbers, as JSON; default: none")
    options = parser.parse_args(arguments)

    def score() -> None:
        dataset = get_dataset(options.dataset)
        metrics, official, extra = evaluate_files(
            options.predictions, options.truth, dataset, options.normaliser, options.split
        )
        if options.out:
            write_json(options.out, metrics)
        print(table(metrics, official))
        if extra:
            print(f"{len(extra)} predictions of images that the truth does not have are ignored: {first_names(extra)}")

    return cli.run(score, "metrics.py")


if __name__ == "__main__":
    sys.exit(main())
