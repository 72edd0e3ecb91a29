"""NME^AC: the error of anchors and contours, on arrays and on files (ACE-Net, Sec. 5.2).

    python -m ace_net.metrics predictions.json truth.json --dataset FRL

Both files are a JSON list of {"image": NAME, "anchors": {NAME: [x, y] or null}, "contours": {NAME: [[x, y], ...]}}, in
0-based pixels of the image; an entry of the truth may add "subsets".
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ace_net.config import CONTOUR_AUC, CONTOUR_PARTS, FINE_THRESHOLD, UNCOUNTED_ANCHORS
from ace_net.outline_files import Outline, read_outlines
from config import ANCHORS, CONTOURS
from face_datasets.catalogue import EVALUATED_SPLITS, TITLES, Dataset, get_dataset
from metrics import (
    align_columns,
    auc,
    count_text,
    first_names,
    split_of_subsets,
    subset_masks,
)
from utils import cli
from utils.files import write_json

OUTLINE_NORMALISER = "inter-ocular"  # of NME^AC, by the outer corners of the eyes
SAME_POINT = 1e-3  # of the inter-ocular distance, along x and y: a contour's point that is so near an anchor is it


def split_outlines(points: np.ndarray) -> list[Outline]:
    """Arrays (n, OUTLINE, 2) of ace_net/outlines.py as outlines."""
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
            f"share@{FINE_THRESHOLD:g}": float(np.mean(chosen <= FINE_THRESHOLD)),
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
    rows = [["subset", "", "n", "official", "NME^AC %", "median %", f"AUC@{CONTOUR_AUC:g}", f"<= {FINE_THRESHOLD:g} %"]]
    rows[0] += ["missing", "of those found %"]
    for subset, row in metrics["subsets"].items():
        shares = [f"{row[name]:.4f}" for name in (f"auc@{CONTOUR_AUC:g}", f"share@{FINE_THRESHOLD:g}", "missing")]
        count = "-" if row["n_official"] is None else str(row["n_official"])
        found = "-" if row["nme_found"] is None else f"{row['nme_found']:.2f}"
        rows.append([subset, "", str(row["n"]), count, f"{row['nme']:.2f}", f"{row['median']:.2f}", *shares, found])
    full = metrics["subsets"]["full"]
    parts = ", ".join(f"{part} {error:.2f}" for part, error in metrics["parts"].items())
    return "\n".join(
        [
            f"{metrics['dataset']}: {count_text(full['n'], full['n_official'])}",
            *align_columns(rows),
            f"NME^AC % of the parts (full, n {full['n']}): {parts}",
        ]
    )


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
            f"{predictions_path} lacks {len(lacking)} faces of {truth_path}. Received none for {first_names(lacking)}"
        )
    subsets = [names for _, names in truth.values()]
    pairs = [predictions[name][0] for name in truth], [outline for outline, _ in truth.values()]
    official = dataset.subsets.get(split or split_of_subsets(subsets), {})
    return evaluate_outlines(*pairs, dataset, subsets, official)[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Score any program's anchors and contours by NME^AC.")
    parser.add_argument("predictions", help="JSON list of images with anchors and contours")
    parser.add_argument("truth", help='the same form; an entry may add "subsets": [NAME, ...]')
    parser.add_argument("--dataset", required=True, help=f"data set of the faces, one of {TITLES}")
    parser.add_argument("--split", choices=EVALUATED_SPLITS, help="split whose official counts are printed")
    parser.add_argument("--out", help="file for the numbers, as JSON")
    options = parser.parse_args(arguments)

    def score() -> None:
        dataset = get_dataset(options.dataset)
        metrics = evaluate_outline_files(options.predictions, options.truth, dataset, options.split)
        if options.out:
            write_json(options.out, metrics)
        print(outline_table(metrics))

    return cli.run(score, "ace_net.metrics")


if __name__ == "__main__":
    sys.exit(main())
