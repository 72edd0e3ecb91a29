"""What trained networks make of covered faces, and how face-like their wrong answers are.

    python -m benchmarks.occlusion --dataset 300W --runs results/pixelwise/runs --out results/pixelwise/shapes

Every run of train.py below the folder predicts the same faces twice, open and with a patch of another face over each
(the one of evaluation/calibrate.py), and is read by every decoder of its method. The table gives the NMSE of the pixel-
wise classification paper: the mean distance of a landmark over that of the outer eye corners, as a fraction; for all
landmarks and for those of the eyes. Beside it stands how far a prediction is from being a face: the shapes are aligned,
and what the modes of the training shapes cannot make of one is its distance to their subspace. Regression is said to
keep a face's shape where it fails, heatmaps are not.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.comparison_plots import draw_ceds
from benchmarks.tables import csv_text, markdown
from config import BEST_FILE, DATA_DIR, FAILURE_THRESHOLDS, SETTINGS_FILE, get_crop
from evaluation.calibrate import cover
from evaluation.evaluator import predict_faces
from face_datasets.catalogue import EVALUATED_SPLITS, TITLES, get_dataset
from face_datasets.face_dataset import FaceDataset, load_faces
from face_datasets.normalisers import normaliser_distance
from methods import get_method
from metrics import point_errors
from networks.weights import load_model, settings_of
from pca_utility import ShapeModel, align, align_to
from utils.files import write_text

NORMALISER, EYES = "inter-ocular", "eyes"  # outer eye corners, and the part of a layout
SUBSPACE = 95  # percent of the variance of training shapes
WRONG = min(FAILURE_THRESHOLDS)  # NME in percent above which an answer is wrong


class FaceSpace:
    """The subspace of training shapes: `distance` says how far a shape is from it.

    Args:
        landmarks: (faces, points, 2) of training faces. layout: theirs.
    """

    def __init__(self, landmarks: np.ndarray, layout):
        aligned = align(landmarks)
        self.mean = aligned.mean(axis=0)
        self.model = ShapeModel(SUBSPACE).fit(aligned.reshape(len(aligned), -1))
        self.unit = float(normaliser_distance(self.mean[None], layout, NORMALISER)[0])

    def distance(self, landmarks: np.ndarray) -> np.ndarray:
        """(faces,): root mean square over the landmarks of what the modes leave of each aligned shape, in percent of
        the mean face's inter-ocular distance; NaN where all landmarks share a place, which is no shape. Modes reach
        three standard deviations, as those of the Smooth-Face do."""
        distance = np.full(len(landmarks), np.nan)
        shaped = np.ptp(landmarks, axis=1).any(axis=-1)  # (faces,)
        if shaped.any():
            shapes = align_to(landmarks[shaped], self.mean).reshape(shaped.sum(), -1)  # (shaped faces, 2 * points)
            rest = (shapes - self.model.smooth(shapes)).reshape(len(shapes), -1, 2)
            distance[shaped] = 100 * np.sqrt(np.mean(np.sum(rest**2, axis=-1), axis=-1)) / self.unit
        return distance


class Answer(NamedTuple):
    """What one run, read by one decoder, said: landmarks (faces, points, 2) in image pixels of open and covered
    faces."""

    run: str
    decoder: str
    open: np.ndarray
    covered: np.ndarray

    def kinds(self) -> dict[str, np.ndarray]:
        """The landmarks by the kind of faces."""
        return {"open": self.open, "covered": self.covered}

    @property
    def title(self) -> str:
        """The run, and the decoder where there is one."""
        return f"{self.run}, {self.decoder}" if self.decoder else self.run


def answers(folder: Path, run: str, open_faces: FaceDataset, covered_faces: FaceDataset) -> list[Answer]:
    """The answers of the run in a folder, under a name: one for each decoder of its method.

    Raises:
        ValueError: the run is of another data set, or its files are broken.
    """
    weights = folder / BEST_FILE
    settings = settings_of(weights)
    title = open_faces.dataset.title
    if settings.get("dataset") != title:
        raise ValueError(f"{weights} is not for {title}. Received a run on {settings.get('dataset')}")
    model, codec, crop = load_model(weights), get_method(settings["method"]).codec, get_crop(settings["crop"])
    found = []
    for decoder in codec.decoders or [None]:
        predicted = (
            predict_faces(model, codec.with_decoder(decoder), faces, crop) for faces in (open_faces, covered_faces)
        )
        found.append(Answer(run, decoder or "", *predicted))
    return found


def rows_of(said: Sequence[Answer], faces: FaceDataset, hidden: np.ndarray, space: FaceSpace) -> list[dict]:
    """The table: one row for the truth, and one for each answer and kind of faces.

    Entries are wrong on other faces each; on those that are wrong for all, how face-like they are can be compared.

    Args:
        hidden: (faces, points), bool: landmarks under the patch.
    """
    eyes = list(faces.dataset.layout.parts[EYES])
    distance = normaliser_distance(faces.landmarks, faces.dataset.layout, NORMALISER, faces.names)
    rows = [{"entry": "truth", "faces": len(faces), "to face space %": _mean(space.distance(faces.landmarks))}]
    predicted = {(answer.title, kind): points for answer in said for kind, points in answer.kinds().items()}
    errors = {key: point_errors(points, faces.landmarks, distance) / 100 for key, points in predicted.items()}
    wrong = {key: error.mean(axis=1) > WRONG / 100 for key, error in errors.items()}  # (faces,) each
    for (title, kind), error in errors.items():  # (faces, points)
        of_all = np.all([lost for (_, other), lost in wrong.items() if other == kind], axis=0)
        lost, away = wrong[title, kind], space.distance(predicted[title, kind])
        row = {"entry": title, "kind": kind, "faces": len(faces), "NMSE": _mean(error)}
        row |= {"NMSE eyes": _mean(error[:, eyes])}
        row |= {"NMSE under the patch": _mean(error[hidden]), "NMSE beside it": _mean(error[~hidden])}
        row |= {"wrong faces": int(lost.sum()), "without shape": int(np.isnan(away).sum())}
        row |= {"to face space %": _mean(away), "to face space %, wrong faces": _mean(away[lost])}
        rows.append(row | {"wrong for all": int(of_all.sum()), "to face space %, wrong for all": _mean(away[of_all])})
    return rows


def _mean(values: np.ndarray) -> float | None:
    """The mean of the values that are known, None where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def study(dataset_name: str, runs: Path, out: Path, data_dir: str, split: str) -> list[Path]:
    """Predicts, compares, and writes table.md, table.csv and the ECDF pictures; returns their paths.

    Raises:
        FileNotFoundError: no run below the folder, or a data set that is not prepared.
        ValueError: a broken run, one on other data, or runs of several input sizes.
    """
    dataset = get_dataset(dataset_name)
    folders = sorted(file.parent for file in runs.rglob(SETTINGS_FILE) if (file.parent / BEST_FILE).is_file())
    if not folders:
        raise FileNotFoundError(f"no trained run below {runs}. Received no {SETTINGS_FILE} beside a {BEST_FILE}")
    faces = load_faces(data_dir, dataset.name, split, _input_size(folders))
    images, hidden = cover(faces)
    covered_faces = dataclasses.replace(faces, images=images)
    space = FaceSpace(load_faces(data_dir, dataset.name, "train").landmarks, dataset.layout)
    names = {folder: folder.relative_to(runs).as_posix() if folder != runs else folder.name for folder in folders}
    said = [answer for folder in folders for answer in answers(folder, names[folder], faces, covered_faces)]
    rows = rows_of(said, faces, hidden, space)
    head = (
        f"{dataset.title}, {split} split, {len(faces)} faces; NMSE by the outer eye corners, a fraction; "
        f"wrong: above {WRONG / 100:g}; the patch covers {hidden.mean():.0%} of the landmarks"
    )
    write_text(out / "table.md", f"{head}\n\n{markdown(rows)}")
    write_text(out / "table.csv", csv_text(rows))
    files = [out / "table.md", out / "table.csv"]
    distance = normaliser_distance(faces.landmarks, dataset.layout, NORMALISER, faces.names)
    parts = {"all": slice(None), EYES: list(dataset.layout.parts[EYES])}
    for part, points in parts.items():
        for kind in ("open", "covered"):
            nmes = {
                answer.title: point_errors(answer.kinds()[kind], faces.landmarks, distance)[:, points].mean(axis=1)
                for answer in said
            }
            files.append(out / f"ecdf_{part}_{kind}.png")
            draw_ceds(files[-1], nmes, f"{dataset.title}, {len(faces)} {kind} faces, {part} landmarks, {NORMALISER}")
    return files


def _input_size(folders: Sequence[Path]) -> int:
    """The side of the runs' input, for which faces are shrunk as in training and evaluation.

    Raises:
        ValueError: there are several, so that the covered faces would not be the same.
    """
    sizes = {folder: settings_of(folder / BEST_FILE).get("input_size") for folder in folders}
    if len(set(sizes.values())) != 1 or None in sizes.values():
        said = ", ".join(f"{folder.name} {size}" for folder, size in sizes.items())
        raise ValueError(f"runs of one input size can be compared. Received {said}")
    return sizes[folders[0]]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Covered faces, and how face-like wrong answers are.")
    parser.add_argument("--dataset", default="300W", help=f"one of {TITLES}, prepared")
    parser.add_argument("--data-dir", default=DATA_DIR, help="the data root")
    parser.add_argument("--runs", required=True, type=Path, help="folder with runs of train.py below it")
    parser.add_argument("--split", default="test", choices=EVALUATED_SPLITS, help="which faces")
    parser.add_argument("--out", required=True, type=Path, help="folder for table and pictures")
    options = parser.parse_args(arguments)
    try:
        files = study(options.dataset, options.runs, options.out, options.data_dir, options.split)
    except (ValueError, OSError) as error:
        print(f"benchmarks.occlusion: {error}", file=sys.stderr)
        return 1
    print(files[0].read_text(encoding="utf-8"))
    print("\n".join(map(str, files)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
