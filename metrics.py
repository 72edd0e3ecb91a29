"""How good are predicted landmarks? NME, failure rate, AUC and CED, on arrays and on anybody's predictions file.

    python metrics.py predictions.json data/w300/truth_test.json --dataset 300W
    python metrics.py predictions.json truth.json --dataset WFLW --normaliser inter-pupil --out metrics.json

Both files are a JSON list of {"image": NAME, "landmarks": [[x, y], ...]}, in 0-based pixels of the image as the set
ships it; an entry of the truth file may add "subsets": ["common", ...] and "box": [left, top, right, bottom]. Files of
anchors and contours have "anchors" and "contours" in the place of "landmarks"; they are scored by NME^AC.
NME (normalised mean error) is in percent, FR (failure rate) and AUC (area under the CED, the cumulative error
distribution) are fractions. Keras is not needed here.
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from config import (
    AUTHOR_AUC,
    CONTOUR_AUC,
    CONTOUR_SHARE,
    EVALUATED_SPLITS,
    FAILURE_THRESHOLDS,
    TITLES,
    Dataset,
    dataset_of,
)
from landmark_files import Outline, boxes_of, holds_outlines, read_entries, read_outlines
from landmark_layouts import ANCHORS, CONTOUR_PARTS, CONTOURS, UNCOUNTED_ANCHORS, Layout
from safe_files import write_json

# --------------------------------------------------------------------------------------------------------------------
# Errors of faces
# --------------------------------------------------------------------------------------------------------------------


MEASURES = tuple(f"{name}@{threshold:g}" for name in ("fr", "auc") for threshold in FAILURE_THRESHOLDS)
BOX, LANDMARK_BOX = "box", "landmark-box"  # normalisers of every layout
OUTLINE_NORMALISER = "inter-ocular"  # of NME^AC, by the outer corners of the eyes
SAME_POINT = 1e-3  # of the inter-ocular distance, along x and y: a contour's point that is so near an anchor is it


def normaliser_distance(
    truth: np.ndarray,
    layout: Layout,
    name: str,
    names: Sequence[str] | None = None,
    boxes: np.ndarray | None = None,
) -> np.ndarray:
    """The distance that an error is divided by.

    For a key of layout.normalisers ("inter-ocular", "inter-pupil") it lies between the means of two groups of
    landmarks; for "box" and "landmark-box" it is the square root of width x height, of the face's box as the set ships
    it, or of the box around the true landmarks.

    Args:
        truth: (n, points, 2) true landmarks in image pixels.
        name: a key of layout.normalisers, "box" or "landmark-box".
        names: of the n faces, for the error message.
        boxes: (n, 4) left, top, right, bottom in image pixels; only "box" needs them.

    Returns:
        (n,) distances in image pixels.

    Raises:
        ValueError: no such normaliser, "box" without boxes, or a face whose distance is zero or no number.
    """
    if name == BOX and boxes is None:
        raise ValueError(f"the normaliser {BOX!r} needs a box of every face. Received none; try {LANDMARK_BOX!r}")
    if name in (BOX, LANDMARK_BOX):
        if name == LANDMARK_BOX:
            boxes = np.concatenate([truth.min(axis=1), truth.max(axis=1)], axis=1)  # (n, 4)
        sides = np.maximum(0.0, boxes[:, 2:] - boxes[:, :2])  # (n, 2)
        distance = np.sqrt(sides.prod(axis=1))  # (n,)
    elif name in layout.normalisers:
        first, second = (truth[:, list(group)].mean(axis=1) for group in layout.normalisers[name])  # (n, 2) each
        distance = np.linalg.norm(first - second, axis=-1)  # (n,)
    else:
        known = [*layout.normalisers, BOX, LANDMARK_BOX]
        raise ValueError(f"unknown normaliser. Received {name!r}; known: {known}")
    good = (distance > 0) & np.isfinite(distance)
    if not good.all():
        index = int(np.argmin(good))
        face = repr(names[index]) if names is not None else f"number {index}"
        what = "box" if name == BOX else "landmarks"
        found = "zero" if distance[index] == 0 else distance[index]
        raise ValueError(f"the {name} distance of face {face} is {found}, so its error has no NME. Correct its {what}")
    return distance


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
    rows = [["normaliser", "subset", "n", "official", "NME %", "median %", *(name.upper() for name in MEASURES)]]
    for normaliser, block in metrics["normalisers"].items():
        for subset, row in block["subsets"].items():
            errors = [f"{row['nme']:.2f}", f"{row['median']:.2f}", *(f"{row[name]:.4f}" for name in MEASURES)]
            official_count = "-" if row["n_official"] is None else str(row["n_official"])
            rows.append([normaliser, subset, str(row["n"]), official_count, *errors])
        for subset, count in (official or {}).items():
            if subset not in block["subsets"]:
                rows.append([normaliser, subset, "0", str(count), *["-"] * (2 + len(MEASURES))])
    full, first = metrics["subsets"]["full"], metrics["normaliser"]
    parts = ", ".join(f"{part} {error:.2f}" for part, error in metrics["parts"].items())
    author = ", ".join(f"{subset} {value:.4f}" for subset, value in metrics["author_auc@10"].items())
    return "\n".join(
        [
            f"{metrics['dataset']}: {count_text(full['n'], full['n_official'])}",
            *_aligned(rows),
            "FR@t: share of faces with NME > t %. AUC@t: area under the CED from 0 to t %, divided by t.",
            f"NME % of the parts ({first}, full, n {full['n']}): {parts}",
            f"AUC@10 by the formula of ACR Loss's author, not comparable with AUC@10 ({first}): {author}",
        ]
    )


def count_text(count: int, official: int | None) -> str:
    """How many faces there are of how many, in words; an unknown official number is "-"."""
    return f"{count} of {'-' if official is None else official} official faces"


def _aligned(rows: list[list[str]]) -> list[str]:
    """Rows of cells as lines of text: the two columns of names to the left, the numbers to the right."""
    columns = []
    for index, cells in enumerate(zip(*rows, strict=True)):
        width = max(map(len, cells))
        columns.append([cell.ljust(width) if index < 2 else cell.rjust(width) for cell in cells])
    return ["  ".join(cells) for cells in zip(*columns, strict=True)]


# --------------------------------------------------------------------------------------------------------------------
# Anchors and contours: NME^AC (ACE-Net, Sec. 5.2)
# --------------------------------------------------------------------------------------------------------------------


def split_outlines(points: np.ndarray) -> list[Outline]:
    """Arrays (n, OUTLINE, 2) of ace_net/contours.py as outlines."""
    first = len(ANCHORS)
    lines = points[:, first:].reshape(len(points), len(CONTOURS), -1, 2)
    known = np.isfinite(lines).all(axis=-1)  # (n, contours, vertices)
    return [
        Outline(face[:first], tuple(line[here] for line, here in zip(of_face, those, strict=True)))
        for face, of_face, those in zip(points, lines, known, strict=True)
    ]


def distance_to_line(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Distance (n,) of points (n, 2) from the nearest place of a line (m, 2), its pieces included; m is 1 or more."""
    begin, along = line[:-1], np.diff(line, axis=0)
    if not len(along):
        return np.linalg.norm(points - line[0], axis=-1)
    offset = points[:, None] - begin  # (n, m - 1, 2)
    share = (offset * along).sum(axis=-1) / np.maximum((along**2).sum(axis=-1), 1e-12)
    return np.linalg.norm(offset - np.clip(share, 0, 1)[..., None] * along, axis=-1).min(axis=1)


def outline_errors(predicted: Outline, truth: Outline) -> dict[str, np.ndarray]:
    """Eq. 13: anchor or contour -> the errors of its annotated points, in percent of the distance between the outer
    corners of the eyes.

    Every annotated point counts once: one that is an anchor does not count for its contours too. A point whose anchor
    or contour was not predicted has an error of 100 %.

    Raises:
        ValueError: the truth has no outer corner of an eye, or both lie on each other.
    """
    corners = [truth.anchors[ANCHORS.index(f"{side} eye outer corner")] for side in ("left", "right")]
    distance = float(np.linalg.norm(corners[0] - corners[1]))
    if not distance > 0:
        raise ValueError(f"NME^AC needs both outer corners of the eyes. Received {[c.tolist() for c in corners]}")
    errors = {}
    for name, true, found in zip(ANCHORS, truth.anchors, predicted.anchors, strict=True):
        if np.isfinite(true).all():
            errors[name] = np.array([np.linalg.norm(true - found) if np.isfinite(found).all() else distance])
    known = truth.anchors[np.isfinite(truth.anchors).all(axis=-1)]
    for name, points, line in zip(CONTOURS, truth.contours, predicted.contours, strict=True):
        points = points[(np.abs(points[:, None] - known) > SAME_POINT * distance).any(axis=-1).all(axis=-1)]
        if len(points):
            errors[name] = distance_to_line(points, line) if len(line) else np.full(len(points), distance)
    return {name: 100 * values / distance for name, values in errors.items()}


def outline_nme(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """NME^AC (Eq. 14) of every face, (n,) in percent, of arrays (n, OUTLINE, 2) in image pixels; without irises."""
    pairs = zip(split_outlines(predicted), split_outlines(truth), strict=True)
    return np.array([_mean_of(outline_errors(*pair)) for pair in pairs])


def _mean_of(errors: dict[str, np.ndarray], starts: tuple[str, ...] = ("",)) -> float:
    """The mean of the errors of those anchors and contours whose name begins so, irises left out; NaN where there is
    none."""
    chosen = [values for name, values in errors.items() if name.startswith(starts) and name not in UNCOUNTED_ANCHORS]
    return float(np.concatenate(chosen).mean()) if chosen else float("nan")


def evaluate_outlines(
    predicted: Sequence[Outline],
    truth: Sequence[Outline],
    dataset: Dataset,
    subsets: Sequence[Sequence[str]],
    official: dict[str, int] | None = None,
) -> tuple[dict, np.ndarray]:
    """Everything there is to say about predicted anchors and contours, as the content of metrics.json.

    Args:
        dataset: theirs. subsets, official: as `evaluate` takes them.

    Returns:
        "dataset", "metric", "normaliser" and "subsets": subset -> "n", "n_official", "nme", "median", "auc@6",
        "share@1.25" (the share of faces at or below), "missing", the share of annotated points whose anchor or contour
        was not predicted, and "nme_found", NME^AC without those points and without faces that have no others, or None.
        "parts" and "contours": NME^AC over all faces of each part, and of each anchor and contour, the mean of the
        faces' own means; only what is annotated. "irises": mean error of both, which count in no other figure, or None.
        And the NME^AC (n,) of the faces.

    Raises:
        ValueError: see outline_errors.
    """
    official = official or {}
    errors = [outline_errors(*pair) for pair in zip(predicted, truth, strict=True)]
    nmes = np.array([_mean_of(face) for face in errors])
    found = [_found(*pair) for pair in zip(predicted, errors, strict=True)]
    of_found = np.array([_mean_of(face) for face in found])
    missing = np.array([1 - _counted(some) / _counted(face) for some, face in zip(found, errors, strict=True)])
    rows = {}
    for subset, mask in subset_masks(dataset, subsets).items():
        chosen = nmes[mask]
        rows[subset] = {
            "n": len(chosen),
            "n_official": official.get(subset),
            "nme": float(chosen.mean()),
            "median": float(np.median(chosen)),
            f"auc@{CONTOUR_AUC:g}": auc(chosen, CONTOUR_AUC),
            f"share@{CONTOUR_SHARE:g}": float(np.mean(chosen <= CONTOUR_SHARE)),
            "missing": float(missing[mask].mean()),
            "nme_found": _mean_of_known(of_found[mask]),
        }
    named = {name: (name,) for name in (*ANCHORS, *CONTOURS)}
    both = {"parts": CONTOUR_PARTS, "contours": named}
    irises = [values[0] for face in errors for name, values in face.items() if name in UNCOUNTED_ANCHORS]
    means = {}
    for kind, groups in both.items():
        of_group = {
            group: _mean_of_known([_mean_of(face, starts) for face in errors]) for group, starts in groups.items()
        }
        means[kind] = {group: mean for group, mean in of_group.items() if mean is not None}
    metrics = {"dataset": dataset.title, "metric": "NME^AC", "normaliser": OUTLINE_NORMALISER, "subsets": rows, **means}
    metrics["irises"] = float(np.mean(irises)) if irises else None
    return metrics, nmes


def _found(predicted: Outline, errors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of a face's errors whose anchor or contour was predicted."""
    there = dict(zip(ANCHORS, np.isfinite(predicted.anchors).all(axis=-1), strict=True))
    there |= {name: len(line) > 0 for name, line in zip(CONTOURS, predicted.contours, strict=True)}
    return {name: values for name, values in errors.items() if there[name]}


def _counted(errors: dict[str, np.ndarray]) -> int:
    """How many points count."""
    return sum(len(values) for name, values in errors.items() if name not in UNCOUNTED_ANCHORS)


def _mean_of_known(values: Sequence[float]) -> float | None:
    """The mean of those that are not NaN; None where all are."""
    known = np.asarray(values)[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def outline_table(metrics: dict) -> str:
    """What evaluate_outlines says, as text."""
    rows = [["subset", "", "n", "official", "NME^AC %", "median %", f"AUC@{CONTOUR_AUC:g}", f"<= {CONTOUR_SHARE:g} %"]]
    rows[0] += ["missing", "of those found %"]
    for subset, row in metrics["subsets"].items():
        shares = [f"{row[name]:.4f}" for name in (f"auc@{CONTOUR_AUC:g}", f"share@{CONTOUR_SHARE:g}", "missing")]
        count = "-" if row["n_official"] is None else str(row["n_official"])
        found = "-" if row["nme_found"] is None else f"{row['nme_found']:.2f}"
        rows.append([subset, "", str(row["n"]), count, f"{row['nme']:.2f}", f"{row['median']:.2f}", *shares, found])
    full = metrics["subsets"]["full"]
    parts = ", ".join(f"{part} {error:.2f}" for part, error in metrics["parts"].items())
    return "\n".join(
        [
            f"{metrics['dataset']}: {count_text(full['n'], full['n_official'])}",
            *_aligned(rows),
            f"NME^AC % of the parts (full, n {full['n']}): {parts}",
        ]
    )


# --------------------------------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------------------------------


def evaluate_outline_files(
    predictions_path: str | Path, truth_path: str | Path, dataset: Dataset, split: str | None = None
) -> dict:
    """Scores a file of predicted anchors and contours against a truth file; `split` as `evaluate_files` takes it.

    Raises:
        ValueError: a file that read_outlines refuses, or a face of the truth without a prediction.
    """
    truth, predictions = read_outlines(truth_path), read_outlines(predictions_path)
    lacking = [name for name in truth if name not in predictions]
    if lacking:
        raise ValueError(
            f"{predictions_path} lacks {len(lacking)} faces of {truth_path}. Received none for {_some(lacking)}"
        )
    subsets = [names for _, names in truth.values()]
    pairs = [predictions[name][0] for name in truth], [outline for outline, _ in truth.values()]
    official = dataset.subsets.get(split or _split_of(subsets), {})
    return evaluate_outlines(*pairs, dataset, subsets, official)[0]


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
            f"Received no prediction for {_some(lacking)}, but {len(predictions)} predictions for "
            f"{_some(list(predictions))}; every face of the truth must have one, under the same name"
        )
    official = dataset.subsets.get(split or _split_of([entry.subsets for entry in truth.values()]), {})
    metrics = evaluate(
        np.stack([predictions[name].landmarks for name in truth]),
        np.stack([face.landmarks for face in truth.values()]),
        dataset,
        [entry.subsets or () for entry in truth.values()],
        official,
        normaliser,
        names=list(truth),
        boxes=boxes_of(truth.values()),
    )
    return metrics, official, [name for name in predictions if name not in truth]


def _split_of(subsets: list[tuple[str, ...] | None]) -> str:
    """The split of a truth file: faces that belong to no subset are validation faces; saying nothing means test."""
    if any("private" in (names or ()) for names in subsets):
        return "private"
    return "validation" if all(names == () for names in subsets) else "test"


def _some(names: list[str], most: int = 3) -> str:
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
        dataset = dataset_of(options.dataset)
        if holds_outlines(options.truth):
            if options.normaliser not in (None, OUTLINE_NORMALISER):
                raise ValueError(
                    f"NME^AC has one normaliser, {OUTLINE_NORMALISER}. Received --normaliser {options.normaliser}"
                )
            metrics = evaluate_outline_files(options.predictions, options.truth, dataset, options.split)
            if options.out:
                write_json(options.out, metrics)
            print(outline_table(metrics))
            return 0
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
        print(f"{len(extra)} predictions are of images that the truth does not name, not counted: {_some(extra)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
