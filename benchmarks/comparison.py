"""Finished runs side by side: a table, figures, and which of their differences are significant.

The numbers are those of each run's own evaluation: its metrics.json and predictions.json. Errors of single faces are
computed again from the predictions and must agree with metrics.json.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

import metrics
from benchmarks.bootstrap import Differences, paired_differences
from benchmarks.comparison_plots import draw_ceds, draw_convergence, draw_differences, draw_landmark_errors
from benchmarks.config import BOOTSTRAP_DRAWS, BOOTSTRAP_INTERVAL, MIN_BOOTSTRAP_FACES
from benchmarks.tables import csv_text, markdown
from config import BEST_FILE, LOG_FILE, METRICS_FILE, PREDICTIONS_FILE, SETTINGS_FILE
from face_datasets.catalogue import Dataset
from face_datasets.landmark_files import read_entries, stack_boxes
from face_datasets.normalisers import normaliser_distance
from training.recipes import Recipe
from training.run_record import read_record
from utils.files import write_text

MEASURES = ("nme", *metrics.FIGURES)
AGREEMENT = 1e-6  # of the mean NME of predictions.json with that of metrics.json, in percent


@dataclass(frozen=True)
class Result:
    """Result of one finished run.

    Args:
        folder: folder of the run.
        settings: settings in settings.json.
        commit: commit in settings.json.
        faces: fingerprints of the "train" and "validation" faces, and of the "labels" of the eigenbases, None where the
            loss has none.
        figures: (normaliser, subset) -> the numbers of metrics.json.
        landmarks: NME of each landmark in percent, (points,).
        best: validation NME of the tested weights in percent, by the data set's own normaliser.
        nmes: NME of the test faces in percent, (faces,), in the order of the truth file.
        steps: training steps after each epoch, (epochs,).
        validation: validation NME after each epoch in percent, (epochs,).
    """

    folder: Path
    settings: dict
    commit: str
    faces: dict[str, dict]
    figures: dict[tuple[str, str], dict]
    landmarks: np.ndarray
    best: float
    nmes: np.ndarray
    steps: np.ndarray
    validation: np.ndarray


class Truth:
    """Ground truth of the test faces.

    Args:
        dataset: the data set.
        path: its truth file.

    Attributes:
        names: names of the faces.
        landmarks: (faces, points, 2).
        distance: distances that errors are divided by, (faces,).
        masks: subset -> (faces,), bool.
    """

    def __init__(self, dataset: Dataset, path: Path):
        self.dataset, self.path = dataset, path
        layout, normaliser = dataset.layout, dataset.normaliser
        entries = read_entries(path, layout.points)
        self.names = list(entries)
        self.landmarks = np.stack([entry.landmarks for entry in entries.values()])
        boxes = stack_boxes(entries.values())
        self.distance = normaliser_distance(self.landmarks, layout, normaliser, self.names, boxes)
        self.masks = metrics.subset_masks(dataset, [entry.subsets or () for entry in entries.values()])

    def mean_face(self) -> np.ndarray:
        """Return the mean of the faces, each centred and in units of its normaliser, (points, 2)."""
        centred = self.landmarks - self.landmarks.mean(axis=1, keepdims=True)
        return (centred / self.distance[:, None, None]).mean(axis=0)


def read_result(folder: Path, recipe: Recipe, truth: Truth) -> Result:
    """Return the result of a finished run.

    Args:
        folder: folder of the run.
        recipe: its recipe.
        truth: ground truth of its test faces.

    Raises:
        ValueError: files that are broken, of other test faces or weights, or that contradict each other.
        OSError: a file cannot be read.
    """
    record = read_record(folder / SETTINGS_FILE)
    data = f"--dataset {truth.dataset.title} --data-dir {truth.path.parents[1]}"
    again = f"Evaluate it again: python test.py {data} --weights {folder / BEST_FILE} --out {folder}"
    predictions = read_entries(folder / PREDICTIONS_FILE, truth.dataset.layout.points)
    if set(predictions) != set(truth.names):
        raise ValueError(
            f"{folder / PREDICTIONS_FILE} is not of the faces of {truth.path}. Received {len(predictions)} faces, "
            f"{len(set(predictions) & set(truth.names))} of its {len(truth.names)}. {again}"
        )
    predicted = np.stack([predictions[name].landmarks for name in truth.names])
    nmes = metrics.nme(predicted, truth.landmarks, truth.distance)
    try:
        evaluation = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
        printed, normaliser = evaluation["subsets"]["full"]["nme"], evaluation["normaliser"]
        figures = {
            (name, subset): {"n": int(row["n"]), "n_official": row["n_official"]} | {m: float(row[m]) for m in MEASURES}
            for name, block in evaluation["normalisers"].items()
            for subset, row in block["subsets"].items()
        }
        landmarks = np.array(evaluation["landmarks"], np.float64)
        of = tuple(evaluation.get(name) for name in ("weights", "crop", "split", "flip"))
        faces = {
            split: {key: record["faces"][split][key] for key in ("n", "sha256")} for split in ("train", "validation")
        } | {"labels": record["faces"].get("labels")}
        settings, commit, best = record["settings"], str(record["commit"]), float(record["validation"]["nme"])
        expected = (BEST_FILE, settings["crop"], "test", False)
        with open(folder / LOG_FILE, encoding="utf-8", newline="") as file:
            epochs, validation = zip(
                *((int(row["epoch"]), float(row["val_nme"])) for row in csv.DictReader(file)), strict=True
            )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} does not hold a complete run. Received {error!r}; train it again") from error
    if of != expected:
        raise ValueError(
            f"{folder / METRICS_FILE} is of another evaluation. Received weights, crop, split and flip {of}, not "
            f"{expected}. {again}"
        )
    if normaliser != truth.dataset.normaliser or abs(printed - nmes.mean()) > AGREEMENT:
        raise ValueError(
            f"{folder / METRICS_FILE} and {PREDICTIONS_FILE} beside it do not agree. Received {printed} % "
            f"({normaliser}) and {nmes.mean()} % ({truth.dataset.normaliser}) on {truth.path}. {again}"
        )
    steps = np.array(epochs) * recipe.steps_per_epoch(faces["train"]["n"])
    return Result(folder, settings, commit, faces, figures, landmarks, best, nmes, steps, np.array(validation))


class Comparison:
    """Runs of several entries (a method on a network), one for each seed.

    Args:
        truth: ground truth of the test faces.
        results: title of an entry -> its runs.

    Raises:
        ValueError: runs that were trained or validated on different faces or eigenbases, or evaluated otherwise.
    """

    def __init__(self, truth: Truth, results: dict[str, list[Result]]):
        self.truth, self.results = truth, results
        runs = [run for entry in results.values() for run in entry]
        labelled = next((run for run in runs if run.faces["labels"]), None)
        for run in runs:
            for split in ("train", "validation"):
                ours, first = run.faces[split], runs[0].faces[split]
                if ours != first:
                    raise ValueError(
                        f"{run.folder} and {runs[0].folder} had different {split} faces. Received {ours} and {first}; "
                        "a comparison needs the same"
                    )
            if run.faces["labels"] and run.faces["labels"] != labelled.faces["labels"]:
                raise ValueError(
                    f"{run.folder} and {labelled.folder} had eigenbases of different labels. Received "
                    f"{run.faces['labels']} and {labelled.faces['labels']}; a comparison needs the same "
                    "--augmented-copies"
                )
            if run.figures.keys() != runs[0].figures.keys():
                raise ValueError(
                    f"{run.folder} and {runs[0].folder} were not evaluated alike. Received {list(run.figures)} and "
                    f"{list(runs[0].figures)}; a comparison needs the same normalisers and subsets"
                )
        self.errors = {title: np.stack([run.nmes for run in entry]) for title, entry in results.items()}

    def write(self, out: Path, description: str) -> list[Path]:
        """Write tables and figures and return their paths.

        Args:
            out: folder for them.
            description: description of the runs, for the head of the table.
        """
        dataset, layout = self.truth.dataset, self.truth.dataset.layout
        rows, differences = self.rows(), self.differences()
        landmarks = {title: np.mean([run.landmarks for run in entry], axis=0) for title, entry in self.results.items()}
        convergence = {title: _common_epochs(entry) for title, entry in self.results.items()}
        head = f"{dataset.title}, {len(self.truth.names)} test faces, {dataset.normaliser} NME"
        write_text(out / "table.csv", csv_text(rows))
        write_text(out / "table.md", self._markdown(rows, differences, description))
        write_text(out / "differences.csv", csv_text(differences))
        write_text(out / "convergence.csv", csv_text(_convergence_rows(convergence)))
        draw_ceds(out / "ced.png", {title: errors.ravel() for title, errors in self.errors.items()}, head)
        draw_landmark_errors(out / "landmarks.png", self.truth.mean_face(), landmarks, layout, head)
        draw_convergence(out / "convergence.png", convergence, dataset.normaliser)
        draw_differences(
            out / "differences.png", list(self.results), self.found["full"], f"{head}, all faces", self._sampled()
        )
        names = ("table.md", "table.csv", "differences.csv", "convergence.csv")
        pictures = ("ced.png", "landmarks.png", "convergence.png", "differences.png")
        return [out / name for name in (*names, *pictures)]

    @cached_property
    def found(self) -> dict[str, Differences]:
        """Differences between the entries: subset -> differences."""
        errors = np.stack(list(self.errors.values()))  # (entries, seeds, faces)
        return {subset: paired_differences(errors[..., mask]) for subset, mask in self.truth.masks.items()}

    def rows(self) -> list[dict]:
        """Return the table: a row for each entry, normaliser and subset, with mean and standard deviation over seeds.

        The deviation is that of a sample (n - 1), empty for one seed. NME is in percent, FR and AUC are fractions. The
        validation NME of all validation faces is in the row of all test faces with the same normaliser.
        """
        rows, all_faces = [], (self.truth.dataset.normaliser, "full")
        for title, entry in self.results.items():
            for key, numbers in entry[0].figures.items():
                row = {"entry": title, "normaliser": key[0], "subset": key[1]}
                row |= {"n": numbers["n"], "n_official": numbers["n_official"], "seeds": len(entry)}
                columns = {measure: [run.figures[key][measure] for run in entry] for measure in MEASURES}
                columns["validation_nme"] = [run.best for run in entry] if key == all_faces else []
                for name, values in columns.items():
                    row |= {name: np.mean(values) if values else None, f"{name}_std": _deviation(values)}
                rows.append(row)
        return rows

    def differences(self) -> list[dict]:
        """Return the differences of the mean NME with their intervals: a row for each subset and pair of entries."""
        titles, rows = list(self.results), []
        for subset, found in self.found.items():
            faces = int(self.truth.masks[subset].sum())
            for one in range(len(titles)):
                for other in range(one + 1, len(titles)):
                    mean, low, high, verdict = (array[one, other] for array in found)
                    row = {"subset": subset, "n": faces, "entry": titles[one], "other": titles[other]}
                    rows.append(row | {"nme": mean, "low": low, "high": high, "significant": str(verdict)})
        return rows

    def _markdown(self, rows: list[dict], differences: list[dict], description: str) -> str:
        """Return table and differences as Markdown."""
        best = f"best validation NME ({self.truth.dataset.normaliser})"
        table = []
        for row in rows:
            line = {name: row[name] for name in ("entry", "normaliser", "subset")}
            line |= {"faces": row["n"], "official": row["n_official"] or "-", "seeds": row["seeds"]}
            line |= {name.upper(): _plus_minus(row, name, 2 if name == "nme" else 4) for name in MEASURES}
            table.append(line | {best: _plus_minus(row, "validation_nme", 2)})
        of_two = [
            {"difference": f"{row['entry']} − {row['other']}"}
            | {column: f"{row[name]:+.3f}" for column, name in (("NME", "nme"), ("from", "low"), ("to", "high"))}
            | {"significant": row["significant"]}
            for row in differences
            if row["subset"] == "full"
        ]
        explained = (
            f"Differences of the mean NME in percentage points ({self.truth.dataset.normaliser}), with "
            f"{BOOTSTRAP_INTERVAL:.0%} intervals over {self._sampled()}. Faces: paired bootstrap, {BOOTSTRAP_DRAWS:,} "
            "draws; seeds, where there are several: Student's t with one pooled standard deviation. Significant (yes): "
            "the interval excludes zero; not shown: it contains zero; not known: one seed, or fewer than "
            f"{MIN_BOOTSTRAP_FACES} faces. One in twenty of all zero differences looks significant. All faces; "
            "differences.csv has the subsets."
        )
        runs = [f"- {title}: {', '.join(str(run.folder) for run in entry)}" for title, entry in self.results.items()]
        about = "Mean ± standard deviation over seeds; NME in percent, FR and AUC as fractions."
        parts = [description, about, markdown(table), explained, markdown(of_two), "Runs:", "\n".join(runs)]
        return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"

    def _sampled(self) -> str:
        """Return what the intervals are over."""
        seeds = len(next(iter(self.errors.values())))
        return "seeds and test faces" if seeds > 1 else "test faces, not over seeds"


def _common_epochs(entry: list[Result]) -> tuple[np.ndarray, np.ndarray]:
    """Return steps (epochs,) and validation NME (runs, epochs) of the epochs of all runs; some may have ended early."""
    epochs = min(len(run.validation) for run in entry)
    return entry[0].steps[:epochs], np.stack([run.validation[:epochs] for run in entry])


def _deviation(values: Sequence[float]) -> float | None:
    """Return the standard deviation of a sample, None for a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _plus_minus(row: dict, name: str, decimals: int) -> str:
    """Return a mean as text, with its deviation where there is one."""
    if row[name] is None:
        return ""
    deviation = row[f"{name}_std"]
    return f"{row[name]:.{decimals}f}" + ("" if deviation is None else f" ± {deviation:.{decimals}f}")


def _convergence_rows(curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> list[dict]:
    """Return a row for each entry and epoch."""
    return [
        {"entry": title, "step": int(step), "nme": values.mean(), "nme_std": _deviation(values), "seeds": len(values)}
        for title, (steps, errors) in curves.items()
        for step, values in zip(steps, errors.T, strict=True)
    ]
