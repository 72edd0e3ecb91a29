"""Evaluation of anchors and contours by NME^AC, predicted by a network or drawn through landmarks."""

import os
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import metrics
from ace_net import metrics as ace_metrics
from ace_net.config import CONTOUR_AUC, CONTOUR_TRUTH_FILE, FINE_THRESHOLD
from ace_net.face_outlines import get_outlines
from ace_net.metrics import outline_table, split_outlines
from ace_net.outlines import OUTLINE_LAYOUT, join_landmarks, to_entry
from config import (
    DEFAULT_CROP,
    METRICS_FILE,
    PREDICTIONS_FILE,
    Crop,
    get_crop,
)
from evaluation.evaluator import (
    DECIMALS,
    PICTURE_SIZE,
    _draw_worst,
    _print_missing,
)
from evaluation.plots import (
    DOTS,
)
from face_datasets.catalogue import Dataset
from face_datasets.face_dataset import FaceDataset, load_faces
from face_datasets.landmark_files import read_entries
from face_datasets.layouts import LAYOUT_68, SPARSE_LANDMARKS
from utils.files import atomic_write, write_json


def draw_outline_ced(path: str | os.PathLike, nmes: np.ndarray, evaluation: dict) -> None:
    """Draws the CED of NME^AC (n,) in percent up to the end of its AUC (ACE-Net, Fig. 8), what evaluate_outlines says
    of the same faces in its legend."""
    full = evaluation["subsets"]["full"]
    errors, shares = metrics.ced(nmes)
    figure = Figure(figsize=(7.0, 5.5), dpi=DOTS, layout="constrained")
    axes = figure.add_subplot()
    label = f"NME^AC {full['nme']:.2f} %, AUC@{CONTOUR_AUC:g} {full[f'auc@{CONTOUR_AUC:g}']:.4f}"
    end = max(CONTOUR_AUC, errors[-1])
    axes.step(np.append(errors, end), np.append(shares, 1.0), where="post", linewidth=2.0, label=label)
    axes.axvline(FINE_THRESHOLD, color="0.5", linestyle="--", linewidth=1)
    title = f"{evaluation['dataset']}: {metrics.count_text(full['n'], full['n_official'])}"
    axes.set(xlim=(0, CONTOUR_AUC), ylim=(0, 1), xlabel="NME^AC in %", ylabel="share of faces", title=title)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right")
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def evaluate_outlines(
    predicted: np.ndarray,
    faces: FaceDataset,
    data_dir: str | os.PathLike,
    out: str | os.PathLike | None,
    crop: Crop,
    size: int,
    facts: dict,
) -> dict:
    """Scores outlines (faces, OUTLINE, 2) in image pixels by NME^AC, prints the table, and returns metrics.json, which
    also holds the facts.

    The truth is exact for rendered faces; of others it is their landmarks.
    """
    truth = get_outlines(faces, data_dir)
    official = faces.dataset.subsets.get(faces.split, {})
    found, true = split_outlines(predicted), split_outlines(truth)
    evaluation, nmes = ace_metrics.evaluate_outlines(found, true, faces.dataset, faces.subsets, official)
    evaluation |= facts
    print(outline_table(evaluation))
    _print_missing(faces)
    if out is None:
        return evaluation
    out = Path(out)
    write_json(out / METRICS_FILE, evaluation)
    for file, outlines in ((PREDICTIONS_FILE, predicted), (CONTOUR_TRUTH_FILE, truth)):
        pairs = zip(faces.names, faces.subsets, outlines, strict=True)
        entries = [{"image": name, "subsets": names, **to_entry(face, DECIMALS)} for name, names, face in pairs]
        write_json(out / file, entries, indent=None)
    draw_outline_ced(out / "ced.png", nmes, evaluation)
    _draw_worst(out, faces, nmes, truth, predicted, OUTLINE_LAYOUT, "NME^AC", crop, size)
    return evaluation


def evaluate_landmark_file(
    path: str | os.PathLike,
    dataset: Dataset,
    data_dir: str | os.PathLike,
    out: str | os.PathLike | None,
    split: str,
    contours: str,
    sparse: bool = False,
    crop: str = DEFAULT_CROP,
) -> dict:
    """Scores the contours that landmarks of a file draw: GT68-line and its like, or anybody's predictions.

    Args:
        path: a file as metrics.py reads it, of 68 landmarks. Its faces are those of the data set by name, or by the
            picture's name without its folder (HELEN's faces have other folders in 300W).
        contours, sparse: as Test.test_model takes them.

    Raises:
        ValueError: a bad file, or a face without landmarks.
    """
    faces = load_faces(data_dir, dataset.name, split, PICTURE_SIZE)
    read = read_entries(path, LAYOUT_68.points)
    by_name = {Path(name).name: entry for name, entry in read.items()} | read
    lacking = [name for name in faces.names if name not in by_name and Path(name).name not in by_name]
    if lacking:
        raise ValueError(f"{path} lacks {len(lacking)} of {len(faces)} faces. Received no landmarks of {lacking[0]!r}")
    landmarks = np.stack([by_name.get(name, by_name.get(Path(name).name)).landmarks for name in faces.names])
    outlines = join_landmarks(landmarks, LAYOUT_68, contours, sparse).round(DECIMALS)
    joined = len(SPARSE_LANDMARKS) if sparse else LAYOUT_68.points
    print(f"{path}, {joined} landmarks joined: {contours}, {split} split")
    facts = {"landmarks": Path(path).name, "split": split, "contours": contours, "sparse": sparse}
    return evaluate_outlines(outlines, faces, data_dir, out, get_crop(crop), PICTURE_SIZE, facts)
