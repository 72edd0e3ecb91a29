"""Errors of trained networks on occluded faces, and how face-like their wrong predictions are.

    python -m benchmarks.occlusion --dataset 300W --runs results/pixelwise/runs --out results/pixelwise/occlusion

Every run of train.py below the folder predicts the same faces twice, visible and with a patch of another face over each
(see evaluation/calibrate.py), with every decoder of its method. The table has the NMSE of the paper on pixel-wise
classification, for all landmarks and for those of the eyes: the mean distance of a landmark as a fraction of the
distance of the outer eye corners. It also has the distance of a prediction from the space of faces: shapes are aligned,
and the distance is the residual that the modes of the training shapes leave. Regression is expected to keep the shape
of a face where it fails; heatmaps are not.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.options import add_data_options
from benchmarks.tables import csv_text, markdown
from config import BEST_FILE, FAILURE_THRESHOLDS, SETTINGS_FILE, get_crop
from face_datasets.catalogue import EVALUATED_SPLITS, get_dataset
from face_datasets.face_dataset import FaceDataset, load_faces
from face_datasets.normalisers import normaliser_distance
from metrics import point_errors
from networks.weights import get_settings, load_model
from pca_utility import ShapeModel, align, align_to
from utils import cli
from utils.files import write_text

NORMALISER, EYES = "inter-ocular", "eyes"  # outer eye corners, and the part of a layout
VARIANCE = 95  # percent of the training shapes, of the subspace
WRONG = min(FAILURE_THRESHOLDS)  # NME in percent above which a prediction is wrong


class FaceSpace:
    """Subspace of training shapes; `distance` returns the distance of shapes from it.

    Args:
        landmarks: landmarks of training faces, (faces, points, 2).
        layout: their layout.
    """

    def __init__(self, landmarks: np.ndarray, layout):
        aligned = align(landmarks)
        self.mean = aligned.mean(axis=0)
        self.model = ShapeModel(VARIANCE).fit(aligned.reshape(len(aligned), -1))
        self.unit = float(normaliser_distance(self.mean[None], layout, NORMALISER)[0])

    def distance(self, landmarks: np.ndarray) -> np.ndarray:
        """Return the distances of shapes from the subspace, (faces,).

        A distance is the root mean square over the landmarks of the residual of the aligned shape, in percent of the
        mean face's inter-ocular distance; NaN where all landmarks coincide. Modes are clipped at three standard
        deviations, as those of the Smooth-Face are.
        """
        distance = np.full(len(landmarks), np.nan)
        shaped = np.ptp(landmarks, axis=1).any(axis=-1)  # (faces,)
        if shaped.any():
            shapes = align_to(landmarks[shaped], self.mean).reshape(shaped.sum(), -1)  # (shaped faces, 2 * points)
            residual = (shapes - self.model.smooth(shapes)).reshape(len(shapes), -1, 2)
            distance[shaped] = 100 * np.sqrt(np.mean(np.sum(residual**2, axis=-1), axis=-1)) / self.unit
        return distance


class Prediction(NamedTuple):
    """Predictions of one run with one decoder.

    Attributes:
        run: name of the run.
        decoder: name of the decoder, "" where the method has one only.
        visible: landmarks of the faces as they are in image pixels, (faces, points, 2).
        occluded: landmarks of the faces with a patch, (faces, points, 2).
    """

    run: str
    decoder: str
    visible: np.ndarray
    occluded: np.ndarray

    def kinds(self) -> dict[str, np.ndarray]:
        """Return the landmarks by the kind of faces."""
        return {"visible": self.visible, "occluded": self.occluded}

    @property
    def title(self) -> str:
        """The run, with the decoder where there is one."""
        return f"{self.run}, {self.decoder}" if self.decoder else self.run


def predict(folder: Path, run: str, visible: FaceDataset, occluded: FaceDataset) -> list[Prediction]:
    """Return the predictions of a run, one for each decoder of its method.

    Args:
        folder: folder of the run.
        run: name of the run.
        visible: faces as they are.
        occluded: the same faces with a patch.

    Raises:
        ValueError: the run is of another data set, or its files are broken.
    """
    from evaluation.evaluator import predict_faces
    from methods import get_method

    weights = folder / BEST_FILE
    settings = get_settings(weights)
    title = visible.dataset.title
    if settings.get("dataset") != title:
        raise ValueError(f"{weights} is not for {title}. Received a run on {settings.get('dataset')}")
    model, codec, crop = load_model(weights), get_method(settings["method"]).codec, get_crop(settings["crop"])
    predictions = []
    for decoder in codec.decoders or [None]:
        chosen = codec.with_decoder(decoder)
        predicted = (predict_faces(model, chosen, faces, crop) for faces in (visible, occluded))
        predictions.append(Prediction(run, decoder or "", *predicted))
    return predictions


def make_rows(
    predictions: Sequence[Prediction], faces: FaceDataset, hidden: np.ndarray, space: FaceSpace
) -> list[dict]:
    """Return the table: a row for the truth, and one for each prediction and kind of faces.

    Entries are wrong on different faces; their distances from the space of faces are compared on the faces that are
    wrong for all.

    Args:
        predictions: the predictions.
        faces: the visible faces.
        hidden: landmarks under the patch, (faces, points), bool.
        space: space of faces.
    """
    eyes = list(faces.dataset.layout.parts[EYES])
    distance = normaliser_distance(faces.landmarks, faces.dataset.layout, NORMALISER, faces.names)
    rows = [{"entry": "truth", "faces": len(faces), "to face space %": _mean(space.distance(faces.landmarks))}]
    predicted = {
        (prediction.title, kind): points for prediction in predictions for kind, points in prediction.kinds().items()
    }
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
    """Return the mean of the finite values, None without any."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def compare(dataset_name: str, runs: Path, out: Path, data_dir: str, split: str) -> list[Path]:
    """Predict, compare, write table.md, table.csv and the CED pictures, and return their paths.

    Args:
        dataset_name: the data set.
        runs: folder of the runs.
        out: folder for the files.
        data_dir: data root.
        split: split of the faces.

    Raises:
        FileNotFoundError: no run below the folder, or a data set that is not prepared.
        ValueError: a broken run, one on other data, or runs of several input sizes.
    """
    from benchmarks.comparison_plots import draw_ceds
    from evaluation.calibrate import paste_occluders

    dataset = get_dataset(dataset_name)
    folders = sorted(file.parent for file in runs.rglob(SETTINGS_FILE) if (file.parent / BEST_FILE).is_file())
    if not folders:
        raise FileNotFoundError(f"no trained run below {runs}. Received no {SETTINGS_FILE} beside a {BEST_FILE}")
    faces = load_faces(data_dir, dataset.name, split, _input_size(folders))
    images, hidden = paste_occluders(faces)
    occluded_faces = dataclasses.replace(faces, images=images)
    space = FaceSpace(load_faces(data_dir, dataset.name, "train").landmarks, dataset.layout)
    names = {folder: folder.relative_to(runs).as_posix() if folder != runs else folder.name for folder in folders}
    predictions = [
        prediction for folder in folders for prediction in predict(folder, names[folder], faces, occluded_faces)
    ]
    rows = make_rows(predictions, faces, hidden, space)
    head = (
        f"{dataset.title}, {split} split, {len(faces)} faces; NMSE by the outer eye corners, a fraction; "
        f"wrong: above {WRONG / 100:g}; the patch occludes {hidden.mean():.0%} of the landmarks"
    )
    write_text(out / "table.md", f"{head}\n\n{markdown(rows)}")
    write_text(out / "table.csv", csv_text(rows))
    files = [out / "table.md", out / "table.csv"]
    distance = normaliser_distance(faces.landmarks, dataset.layout, NORMALISER, faces.names)
    parts = {"all": slice(None), EYES: list(dataset.layout.parts[EYES])}
    for part, points in parts.items():
        for kind in ("visible", "occluded"):
            nmes = {
                prediction.title: point_errors(prediction.kinds()[kind], faces.landmarks, distance)[:, points].mean(
                    axis=1
                )
                for prediction in predictions
            }
            files.append(out / f"ced_{part}_{kind}.png")
            draw_ceds(files[-1], nmes, f"{dataset.title}, {len(faces)} {kind} faces, {part} landmarks, {NORMALISER}")
    return files


def _input_size(folders: Sequence[Path]) -> int:
    """Return the side of the runs' input, for which faces are shrunk as in training and evaluation.

    Raises:
        ValueError: there are several, so that the occluded faces would differ.
    """
    sizes = {folder: get_settings(folder / BEST_FILE).get("input_size") for folder in folders}
    if len(set(sizes.values())) != 1 or None in sizes.values():
        found = ", ".join(f"{folder.name} {size}" for folder, size in sizes.items())
        raise ValueError(f"only runs of one input size can be compared. Received {found}")
    return sizes[folders[0]]


def work(options: argparse.Namespace) -> None:
    """Compare, and print the table and the names of the files."""
    files = compare(options.dataset, options.runs, options.out, options.data_dir, options.split)
    print(files[0].read_text(encoding="utf-8"))
    print("\n".join(map(str, files)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Compare trained networks on occluded faces.")
    add_data_options(parser, default="300W")
    parser.add_argument("--runs", required=True, type=Path, help="folder with runs of train.py below it")
    parser.add_argument(
        "--split", default="test", choices=EVALUATED_SPLITS, help="split of the faces; default: %(default)s"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder for table and pictures")
    options = parser.parse_args(arguments)
    return cli.run(lambda: work(options), "occlusion")


if __name__ == "__main__":
    sys.exit(main())
