"""Predictions of a network on prepared faces, and what an evaluation writes: files and pictures."""

import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

import metrics
from ace_net.face_outlines import get_outlines
from ace_net.metrics import outline_nme
from config import EVALUATION_BATCH, METRICS_FILE, PREDICTIONS_FILE, Crop
from evaluation.plots import draw_ced, draw_worst
from face_datasets.face_dataset import FaceDataset, crop_batches
from face_datasets.layouts import Layout
from image_utility import invert, mirror_landmarks, transform
from methods import Method
from utils.files import write_json

PICTURE_SIZE = 256  # pixels; of the crops in pictures, where no network says
WORST_FACES = 20  # how many faces the picture of failures shows
DECIMALS = 4  # of a pixel, in predictions.json


def predict_faces(
    model: keras.Model,
    method: Method,
    faces: FaceDataset,
    crop: Crop,
    batch_size: int = EVALUATION_BATCH,
    flip: bool = False,
    progress: bool = False,
    layout: Layout | None = None,
) -> np.ndarray:
    """Landmarks of every face, in its order: crop, predict, map back.

    Args:
        model: takes images (batch, size, size, 3) in [0, 1]; its predictions are what `method` decodes.
        flip: average with the prediction for the mirrored crop.
        progress: show a bar, on a terminal.
        layout: of the predictions, where it is not the method's for the faces' data set.

    Returns:
        (n, points, 2) float64 in pixels of the image as the set ships it.

    Raises:
        ValueError: the model predicts another number of landmarks than the data set has.
    """
    size, layout = model.input_shape[1], layout or method.layout(faces.dataset)
    batch_size = min(batch_size, len(faces))

    def decode(images: np.ndarray) -> np.ndarray:
        """Landmarks (batch, points, 2) in crop pixels."""
        landmarks = np.asarray(method.decode(model.predict_on_batch(images), size), np.float64)
        if landmarks.shape[1:] != (layout.points, 2):
            raise ValueError(
                f"the model does not fit {faces.dataset.title}. Received predictions of shape {landmarks.shape[1:]}; "
                f"({layout.points}, 2) is right"
            )
        return landmarks

    predicted = []
    batches = crop_batches(faces, crop, size, batch_size)
    for images, matrices in tqdm(
        batches, total=-(-len(faces) // batch_size), unit="batch", disable=None if progress else True
    ):
        count = len(images)
        images = np.pad(images, [(0, batch_size - count), (0, 0), (0, 0), (0, 0)])  # one shape, so one trace
        landmarks = decode(images)
        if flip:
            mirrored = decode(np.ascontiguousarray(images[:, :, ::-1]))
            mirrored[..., 0] = size - 1 - mirrored[..., 0]  # the column that reversing the pixels gives
            landmarks = (landmarks + mirror_landmarks(mirrored, layout.partners)) / 2
        predicted.append(transform(landmarks[:count], invert(matrices)))
    return np.concatenate(predicted)


def scorer(method: Method, faces: FaceDataset, data_dir: str | os.PathLike) -> Callable[[np.ndarray], np.ndarray]:
    """What gives the errors (faces,) in percent of predictions (faces, points, 2): their NME, of outlines NME^AC."""
    if method.contours:
        truth = get_outlines(faces, data_dir)
        return lambda predicted: outline_nme(predicted, truth)
    distance = faces.normaliser_distance()  # (faces,)
    return lambda predicted: metrics.nme(predicted, faces.landmarks, distance)


def _print_missing(faces: FaceDataset) -> None:
    """Says which parts of the evaluated split were not there when the data set was prepared."""
    missing = [f"{part['part']} ({part['count']} faces)" for part in faces.missing]
    if missing:
        print(f"not evaluated, since not found by data_helper.py: {', '.join(missing)}")


def _write(out: Path, faces: FaceDataset, predicted: np.ndarray, evaluation: dict, crop: Crop, size: int) -> None:
    """Writes the numbers, the predictions (n, points, 2) in image pixels, and both pictures."""
    write_json(out / METRICS_FILE, evaluation)
    entries = [{"image": name, "landmarks": face.tolist()} for name, face in zip(faces.names, predicted, strict=True)]
    write_json(out / PREDICTIONS_FILE, entries, indent=None)
    nmes = metrics.nme(predicted, faces.landmarks, faces.normaliser_distance())
    draw_ced(out / "ced.png", nmes, metrics.subset_masks(faces.dataset, faces.subsets), evaluation)
    measure = f"{evaluation['normaliser']} NME"
    _draw_worst(out, faces, nmes, faces.landmarks, predicted, faces.dataset.layout, measure, crop, size)


def _draw_worst(
    out: Path,
    faces: FaceDataset,
    errors: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    layout: Layout,
    measure: str,
    crop: Crop,
    size: int,
) -> None:
    """Draws the faces of the largest errors (n,) in percent of a measure, with truth and predictions (n, points, 2) in
    image pixels, each in its crop of `size` pixels."""
    worst = np.argsort(-errors, kind="stable")[:WORST_FACES]
    images, matrices = faces.crops(crop, size, worst)
    draw_worst(
        out / "worst.png",
        images,
        transform(truth[worst], matrices),
        transform(predicted[worst], matrices),
        [f"{errors[i]:.1f} %\n{_end_of(faces.names[i])}" for i in worst],
        layout,
        f"{faces.dataset.title}, {faces.split}: the {len(worst)} worst of {len(faces)} faces, {measure}",
    )


def _end_of(name: str, most: int = 44) -> str:
    """A long image name, cut at the front so that it fits under a face."""
    return name if len(name) <= most else f"...{name[3 - most :]}"
