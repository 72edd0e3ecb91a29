"""Evaluation of the contours that landmarks of a file draw, by NME^AC."""

import os
from pathlib import Path

import numpy as np

from ace_net.outlines import join_landmarks
from config import DEFAULT_CROP, get_crop
from evaluation.evaluator import FIGURE_CROP_SIZE, print_evaluation, write_evaluation
from face_datasets.catalogue import Dataset
from face_datasets.face_dataset import load_faces
from face_datasets.landmark_files import read_entries
from face_datasets.layouts import LAYOUT_68, SPARSE_LANDMARKS
from methods import DECIMALS, ContourCodec


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
    """Score the contours that landmarks of a file draw: GT68-line and its like, or any program's predictions.

    Args:
        path: file as metrics.py reads it, of 68 landmarks. Its faces are those of the data set by name, or by the
            image's name without its folder (HELEN's faces have other folders in 300W).
        dataset: the prepared data set.
        data_dir: data root.
        out: folder for the files of test.py; None writes nothing.
        split: split of the faces.
        contours: how landmarks are joined, "line" or "interp".
        sparse: join only 36 of the landmarks; default: False.
        crop: name of the crop of the faces in worst.png; default: DEFAULT_CROP.

    Returns:
        the content of metrics.json.

    Raises:
        ValueError: a bad file, or a face without landmarks.
    """
    codec, faces = ContourCodec(), load_faces(data_dir, dataset.name, split, FIGURE_CROP_SIZE)
    read = read_entries(path, LAYOUT_68.points)
    by_name = {Path(name).name: entry for name, entry in read.items()} | read
    lacking = [name for name in faces.names if name not in by_name and Path(name).name not in by_name]
    if lacking:
        raise ValueError(f"{path} lacks {len(lacking)} of {len(faces)} faces. Received no landmarks of {lacking[0]!r}")
    landmarks = np.stack([by_name.get(name, by_name.get(Path(name).name)).landmarks for name in faces.names])
    outlines = join_landmarks(landmarks, LAYOUT_68, contours, sparse).round(DECIMALS)
    truth = codec.truth(faces, data_dir)
    evaluation = codec.evaluate(outlines, truth, faces)
    evaluation |= {"landmarks": Path(path).name, "split": split, "contours": contours, "sparse": sparse}
    print(
        f"{path}, {len(SPARSE_LANDMARKS) if sparse else LAYOUT_68.points} landmarks joined: {contours}, {split} split"
    )
    print_evaluation(evaluation, codec, faces)
    if out is not None:
        write_evaluation(out, evaluation, codec, faces, outlines, truth, get_crop(crop), FIGURE_CROP_SIZE)
    return evaluation
