"""How good are predicted landmarks? NME, failure rate, AUC and CED, on arrays and on anybody's predictions file.

    python metrics.py predictions.json data/w300/truth_test.json --dataset 300W
    python metrics.py predictions.json truth.json --dataset WFLW --normaliser inter-pupil --out metrics.json

Both files are a JSON list of {"image": NAME, "landmarks": [[x, y], ...]}, in 0-based pixels of the image as the set
ships it; an entry of the truth file may add "subsets": ["common", ...] and "box": [left, top, right, bottom]. Files of
anchors and contours are scored by `python -m ace_net.metrics`.
NME (normalised mean error) is in percent, FR (failure rate) and AUC (area under the CED, the cumulative error
distribution) are fractions. Keras is not needed here.
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
from utils.files import write_json

AUTHOR_AUC = (20, 10.0)  # the original author's own AUC: number of thresholds, and the last one, NME in percent


# --------------------------------------------------------------------------------------------------------------------
# Errors of faces
# --------------------------------------------------------------------------------------------------------------------


FIGURES = tuple(f"{name}@{threshold:g}" for name in ("fr", "auc") for threshold in FAILURE_THRESHOLDS)


def point_errors(predicted: np.ndarray, truth: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Error of every landmark: (n, points) Euclidean distances to the truth in percent of distance (n,).

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
    """Normalised mean error of every face: (n,) in percent, the mean of point_errors over the landmarks."""
    return point_errors(predicted, truth, distance).mean(axis=1)


def landmark_nme(predicted: np.ndarray, truth: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Error of every landmark: (points,) in percent, the mean of point_errors over the faces."""
    return point_errors(predicted, truth, distance).mean(axis=0)


def part_nme(predicted: np.ndarray, truth: np.ndarray, distance: np.ndarray, layout: Layout) -> dict[str, float]:
    """Error of every facial part of the layout in percent: the mean over its landmarks and over the faces."""
    errors = landmark_nme(predicted, truth, distance)
    return {part: float(errors[list(points)].mean()) for part, points in layout.parts.items()}


# --------------------------------------------------------------------------------------------------------------------
# Errors of many faces, in one number
# --------------------------------------------------------------------------------------------------------------------


def failure_rate(nmes: np.ndarray, threshold: float) -> float:
    """Share of the faces with an NME above the threshold; both in percent."""
    return float(np.mean(nmes > threshold))


def ced(nmes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative error distribution: the corners of its step function, from (0, 0) on.

    Returns:
        errors (k,), rising, in percent, and shares (k,): the share of faces with NME <= that error. Between two corners
        the curve keeps the share of the left one.
    """
    errors, counts = np.unique(nmes, return_counts=True)
    return np.append(0.0, errors), np.append(0.0, np.cumsum(counts) / counts.sum())


def auc(nmes: np.ndarray, threshold: float) -> float:
    """Area under the CED from 0 to the threshold, divided by the threshold: 1 is perfect, 0 means that all faces fail.

    Exact. Each face adds to the step function a rectangle from its own NME to the threshold; no grid of thresholds is
    involved, whose step would change the value.
    """
    return float(np.mean(np.maximum(0.0, 1.0 - nmes / threshold)))


def author_auc(nmes: np.ndarray) -> float:
    """The AUC that the author of ACR Loss printed. It is not an AUC: compare it with his numbers only.

    His evaluation integrates the threshold over the running sum of the CED (trapezoidal rule), with 20 thresholds
    x_0 ... x_19 from 0 to an NME of 0.1 as a fraction: the sum over i = 1 ... 19 of CED(x_i) (x_(i-1) + x_i) / 2. A
    perfect prediction scores 0.95.
    """
    count, last = AUTHOR_AUC
    thresholds = np.linspace(0.0, last, count)  # (20,) percent
    shares = (nmes[:, None] <= thresholds).mean(axis=0)  # (20,)
    middles = (thresholds[:-1] + thresholds[1:]) / 2.0 / 100.0  # (19,) fractions
    return float(shares[1:] @ middles)


# --------------------------------------------------------------------------------------------------------------------
# The whole evaluation
# --------------------------------------------------------------------------------------------------------------------


def subset_masks(dataset: Dataset, subsets: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """Subset -> (n,) bool, from the subsets that each of n faces belongs to.

    "full" comes first: every face. The data set's own subsets follow in its order, then others.
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
    """Everything there is to say about n predictions, as the content of metrics.json.

    Args:
        predicted, truth: (n, points, 2) in image pixels.
        subsets: for every face the names of the subsets it belongs to.
        official: subset -> official number of faces, see Dataset.subsets; a subset that is not in it gets None.
        normaliser: the data set's own where None.
        names: of the faces, for error messages.
        boxes: (n, 4) left, top, right, bottom in image pixels, for the normaliser "box".

    Returns:
        "dataset", "normaliser" and, with that normaliser, "subsets": subset -> "n", "n_official", "nme", "fr@8",
        "fr@10", "auc@8", "auc@10", "median"; "parts": part -> NME over all faces; "landmarks": NME of each landmark
        over all faces; "author_auc@10": subset -> author_auc. "normalisers": name -> {"subsets": the same with that
        normaliser}, those left out that some face has at zero distance. NME and medians are in percent, FR and AUC are
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
        with contextlib.suppress(ValueError):  # one face with coinciding pupils, say, costs no other figure
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
    """The numbers of one subset, from the NME of its faces."""
    return {
        "n": len(nmes),
        "n_official": official,
        "nme": float(nmes.mean()),
        **{f"fr@{threshold:g}": failure_rate(nmes, threshold) for threshold in FAILURE_THRESHOLDS},
        **{f"auc@{threshold:g}": auc(nmes, threshold) for threshold in FAILURE_THRESHOLDS},
        "median": float(np.median(nmes)),
    }


def table(metrics: dict, official: dict[str, int] | None = None) -> str:
    """metrics.json as text: one line per normaliser and subset; official subsets without a face are listed too."""
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
            "FR@t: share of faces with NME > t %. AUC@t: area under the CED from 0 to t %, divided by t.",
            f"NME % of the parts ({first}, full, n {full['n']}): {parts}",
            f"AUC@10 by the formula of ACR Loss's author, not comparable with AUC@10 ({first}): {author}",
        ]
    )


def count_text(count: int, official: int | None) -> str:
    """How many faces there are of how many, in words; an unknown official number is "-"."""
    return f"{count} of {'-' if official is None else official} official faces"


def align_columns(rows: list[list[str]]) -> list[str]:
    """Rows of cells as lines of text: the two columns of names to the left, the numbers to the right."""
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
        split: whose official counts apply; where None, the one that the truth's subsets tell of.

    Returns:
        metrics as evaluate gives them, the official counts, and the predicted images that the truth does not name.

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
    """The split of a truth file: faces that belong to no subset are validation faces; saying nothing means test."""
    if any("private" in (names or ()) for names in subsets):
        return "private"
    return "validation" if all(names == () for names in subsets) else "test"


def first_names(names: list[str], most: int = 3) -> str:
    """The first few names, for a message."""
    return ", ".join(map(repr, names[:most])) + (", ..." if len(names) > most else "")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Score any program's predicted landmarks.")
    parser.add_argument("predictions", help='JSON list of {"image": NAME, "landmarks": [[x, y], ...]}')
    parser.add_argument("truth", help='the same form; an entry may add "subsets": [NAME, ...] and "box"')
    parser.add_argument("--dataset", required=True, help=f"one of {TITLES}")
    parser.add_argument(
        "--normaliser", help="inter-ocular, inter-pupil, box or landmark-box; default: the data set's own"
    )
    parser.add_argument("--split", choices=EVALUATED_SPLITS, help="whose official counts to print")
    parser.add_argument("--out", help="also write the numbers here, as JSON")
    options = parser.parse_args(arguments)
    try:
        dataset = get_dataset(options.dataset)
        metrics, official, extra = evaluate_files(
            options.predictions, options.truth, dataset, options.normaliser, options.split
        )
        if options.out:
            write_json(options.out, metrics)
    except (ValueError, OSError) as error:
        print(f"metrics.py: {error}", file=sys.stderr)
        return 1
    print(table(metrics, official))
    if extra:
        print(f"{len(extra)} predictions are of images that the truth does not name, not counted: {first_names(extra)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
