"""NME^AC: the normalised mean error of anchors and contours, on arrays and on files (ACE-Net, Sec. 5.2).

    python -m ace_net.metrics predictions.json truth.json --dataset FRL

Both files are a JSON list of {"image": NAME, "anchors": {NAME: [x, y] or null}, "contours": {NAME: [[x, y], ...]}}, in
0-based pixels of the image; an entry of the truth may add "subsets".
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ace_net.config import CONTOUR_AUC, CONTOUR_PARTS, FINE_THRESHOLD, UNCOUNTED_ANCHORS
from ace_net.outline_files import Outline, read_outlines
from ace_net.outlines import finite, get_anchors, get_contours
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
NAMES = (*ANCHORS, *CONTOURS)


class PointErrors(NamedTuple):
    """The errors of the annotated points of several faces, one row a point, in the order of the faces.

    Args:
        face: (n,), index of the face.
        contour: (n,), index in NAMES of the anchor or contour that the point belongs to.
        error: (n,), in percent of the inter-ocular distance.
        found: (n,), bool, whether that anchor or contour was predicted.
    """

    face: np.ndarray
    contour: np.ndarray
    error: np.ndarray
    found: np.ndarray

    @property
    def counted(self) -> np.ndarray:
        """Which points count (n,), bool: all but the irises."""
        return ~self.belongs_to(UNCOUNTED_ANCHORS)

    def belongs_to(self, prefixes: tuple[str, ...]) -> np.ndarray:
        """Return which points belong to an anchor or contour whose name has one of the prefixes (n,), bool."""
        return np.array([name.startswith(prefixes) for name in NAMES])[self.contour]

    def face_means(self, mask: np.ndarray) -> np.ndarray:
        """Return the mean error of every face over the points of a mask (n,); NaN where a face has none."""
        ends = np.cumsum(self.face_counts(mask))[:-1]
        return np.array([part.mean() if len(part) else np.nan for part in np.split(self.error[mask], ends)])

    def face_counts(self, mask: np.ndarray) -> np.ndarray:
        """Return the number of points of every face in a mask (n,)."""
        return np.bincount(self.face[mask], minlength=self.face[-1] + 1)


def split_outlines(points: np.ndarray) -> list[Outline]:
    """Return arrays (n, OUTLINE, 2) of ace_net/outlines.py as outlines."""
    anchors, contours = get_anchors(points), get_contours(points)
    return [Outline(one, tuple(finite(line) for line in lines)) for one, lines in zip(anchors, contours, strict=True)]


def distance_to_line(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return the distance (n,) of points (n, 2) from a line (m, 2), its segments included; m is 1 or more."""
    start, along = line[:-1], np.diff(line, axis=0)
    if not len(along):
        return np.linalg.norm(points - line[0], axis=-1)
    offset = points[:, None] - start  # (n, m - 1, 2)
    fraction = (offset * along).sum(axis=-1) / np.maximum((along**2).sum(axis=-1), 1e-12)
    return np.linalg.norm(offset - np.clip(fraction, 0, 1)[..., None] * along, axis=-1).min(axis=1)


def point_errors(predicted: Sequence[Outline], truth: Sequence[Outline]) -> PointErrors:
    """Return Eq. 13: the distance of every annotated point to its predicted anchor or contour.

    Every annotated point counts once: one that is an anchor does not count for its contours too. A point whose anchor
    or contour was not predicted has an error of 100 %.

    Raises:
        ValueError: a truth without the outer corner of an eye, or with both in one point.
    """
    faces = [_face_errors(*pair) for pair in zip(predicted, truth, strict=True)]
    columns = (np.concatenate(column) for column in zip(*faces, strict=True))
    return PointErrors(np.repeat(np.arange(len(faces)), [len(error) for _, error, _ in faces]), *columns)


def _face_errors(predicted: Outline, truth: Outline) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns `contour`, `error` and `found` of one face, see PointErrors."""
    corners = [truth.anchors[ANCHORS.index(f"{side} eye outer corner")] for side in ("left", "right")]
    distance = float(np.linalg.norm(corners[0] - corners[1]))
    if not distance > 0:
        raise ValueError(f"NME^AC needs both outer corners of the eyes. Received {[c.tolist() for c in corners]}")
    errors, found = [], []  # of NAMES; errors in pixels
    for true, point in zip(truth.anchors, predicted.anchors, strict=True):
        found.append(bool(np.isfinite(point).all()))
        error = np.linalg.norm(true - point) if found[-1] else distance
        errors.append(np.full(int(np.isfinite(true).all()), error))
    anchors = finite(truth.anchors)
    for points, line in zip(truth.contours, predicted.contours, strict=True):
        found.append(len(line) > 0)
        points = points[(np.abs(points[:, None] - anchors) > SAME_POINT * distance).any(axis=-1).all(axis=-1)]
        errors.append(distance_to_line(points, line) if found[-1] else np.full(len(points), distance))
    counts = [len(error) for error in errors]
    return np.repeat(np.arange(len(NAMES)), counts), 100 * np.concatenate(errors) / distance, np.repeat(found, counts)


def outline_nme(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return NME^AC (Eq. 14) of every face, (n,) in percent, of arrays (n, OUTLINE, 2) in image pixels; no irises."""
    errors = point_errors(split_outlines(predicted), split_outlines(truth))
    return errors.face_means(errors.counted)


def evaluate_outlines(
    predicted: Sequence[Outline],
    truth: Sequence[Outline],
    dataset: Dataset,
    subsets: Sequence[Sequence[str]],
    official: dict[str, int] | None = None,
) -> tuple[dict, np.ndarray]:
    """Return the evaluation of predicted anchors and contours, as the content of metrics.json, and the faces' NME^AC.

    Args:
        predicted, truth: the faces in the same order.
        dataset: of the faces.
        subsets, official: as `metrics.evaluate` takes them.

    Returns:
        "dataset", "metric", "normaliser"
        "subsets": subset -> "n", "n_official", "nme", "median", "auc@6", "share@1.25" (fraction of faces at or below),
            "missing", the fraction of annotated points whose anchor or contour was not predicted, and "nme_found",
            NME^AC without these points and without faces that have no others, or None
        "parts", "contours": NME^AC over all faces of each part, and of each anchor and contour, the mean of the faces'
            own means; only what is annotated
        "irises": mean error of both, which count in no other figure, or None

        and NME^AC of the faces (n,)

    Raises:
        ValueError: see `point_errors`.
    """
    errors = point_errors(predicted, truth)
    counted = errors.counted
    nmes, nmes_found = errors.face_means(counted), errors.face_means(counted & errors.found)
    missing = 1 - errors.face_counts(counted & errors.found) / errors.face_counts(counted)
    rows = {}
    for subset, mask in subset_masks(dataset, subsets).items():
        rows[subset] = {
            "n": int(mask.sum()),
            "n_official": (official or {}).get(subset),
            "nme": float(nmes[mask].mean()),
            "median": float(np.median(nmes[mask])),
            f"auc@{CONTOUR_AUC:g}": auc(nmes[mask], CONTOUR_AUC),
            f"share@{FINE_THRESHOLD:g}": float(np.mean(nmes[mask] <= FINE_THRESHOLD)),
            "missing": float(missing[mask].mean()),
            "nme_found": _mean(nmes_found[mask]),
        }
    metrics = {"dataset": dataset.title, "metric": "NME^AC", "normaliser": OUTLINE_NORMALISER, "subsets": rows}
    for kind, groups in (("parts", CONTOUR_PARTS), ("contours", {name: (name,) for name in NAMES})):
        means = {name: _mean(errors.face_means(counted & errors.belongs_to(group))) for name, group in groups.items()}
        metrics[kind] = {name: mean for name, mean in means.items() if mean is not None}
    metrics["irises"] = _mean(errors.error[~counted])
    return metrics, nmes


def _mean(values: np.ndarray) -> float | None:
    """Return the mean of the values that are not NaN, or None where all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def outline_table(metrics: dict) -> str:
    """Return the evaluation of `evaluate_outlines` as text."""
    rows = [["subset", "", "n", "official", "NME^AC %", "median %", f"AUC@{CONTOUR_AUC:g}", f"<= {FINE_THRESHOLD:g} %"]]
    rows[0] += ["missing", "of those found %"]
    for subset, row in metrics["subsets"].items():
        fractions = [f"{row[name]:.4f}" for name in (f"auc@{CONTOUR_AUC:g}", f"share@{FINE_THRESHOLD:g}", "missing")]
        count = "-" if row["n_official"] is None else str(row["n_official"])
        found = "-" if row["nme_found"] is None else f"{row['nme_found']:.2f}"
        rows.append([subset, "", str(row["n"]), count, f"{row['nme']:.2f}", f"{row['median']:.2f}", *fractions, found])
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
    """Evaluate a file of predicted anchors and contours against a truth file; see `evaluate_outlines`.

    Args:
        predictions_path, truth_path: JSON files, see the module's docstring.
        dataset: of the faces.
        split: whose official counts are reported; None for that which the subsets of the truth belong to.

    Raises:
        ValueError: a file that `read_outlines` refuses, or a face of the truth without a prediction.
        OSError: a file cannot be read.
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
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Evaluate any program's anchors and contours by NME^AC.")
    parser.add_argument("predictions", help="JSON list of images with their anchors and contours")
    parser.add_argument("truth", help='the same form; an entry may add "subsets": [NAME, ...]')
    parser.add_argument("--dataset", required=True, help=f"data set of the faces: one of {TITLES}")
    parser.add_argument(
        "--split",
        choices=EVALUATED_SPLITS,
        help="split whose official counts are printed; default: that of the truth's subsets",
    )
    parser.add_argument("--out", help="JSON file for the numbers; default: none")
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
