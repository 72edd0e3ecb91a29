"""Predictions of a network on prepared faces, and the files and figures that an evaluation writes."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

import metrics
from config import EVALUATION_BATCH, METRICS_FILE, Crop
from face_datasets.face_dataset import FaceDataset, crop_batches
from face_datasets.layouts import Layout
from image_utility import invert, mirror_landmarks, transform
from methods import Codec
from utils.files import write_json

if TYPE_CHECKING:
    import keras

FIGURE_CROP_SIZE = 256  # pixels; of the crops in figures, if no network is given
WORST_FACES = 20  # faces in the figure of the largest errors
MAX_CAPTION_LENGTH = 44  # characters under a face


def predict_faces(
    model: "keras.Model",
    codec: Codec,
    faces: FaceDataset,
    crop: Crop,
    batch_size: int = EVALUATION_BATCH,
    flip: bool = False,
    progress: bool = False,
    layout: Layout | None = None,
) -> np.ndarray:
    """Return the landmarks of every face, in its order: crop, predict, map back.

    Args:
        model: takes images (batch, size, size, 3) in [0, 1].
        codec: decodes its predictions.
        faces: the prepared faces.
        crop: the crop around their landmarks.
        batch_size: faces that are predicted at once; default: EVALUATION_BATCH.
        flip: average with the prediction for the mirrored crop; default: False.
        progress: show a bar, on a terminal; default: False.
        layout: layout of the predictions; default: the codec's for the faces' data set.

    Returns:
        (faces, points, 2) float64 in pixels of the image as the data set provides it.

    Raises:
        ValueError: the model predicts another number of landmarks than the layout has.
    """
    size, layout = model.input_shape[1], layout or codec.layout(faces.dataset)
    batch_size = min(batch_size, len(faces))

    def decode(images: np.ndarray) -> np.ndarray:
        """Return landmarks (batch, points, 2) in crop pixels."""
        landmarks = np.asarray(codec.decode(model.predict_on_batch(images), size), np.float64)
        if landmarks.shape[1:] != (layout.points, 2):
            raise ValueError(
                f"the model does not fit {faces.dataset.title}. Received predictions of shape {landmarks.shape[1:]}; "
                f"expected ({layout.points}, 2)"
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


def print_missing(faces: FaceDataset) -> None:
    """Print which parts of the evaluated split were not found when the data set was prepared."""
    missing = [f"{part['part']} ({part['count']} faces)" for part in faces.missing]
    if missing:
        print(f"not evaluated, since not found by data_helper.py: {', '.join(missing)}")


def print_evaluation(evaluation: dict, codec: Codec, faces: FaceDataset) -> None:
    """Print the table of an evaluation and the parts of the data set that it lacks."""
    print(codec.table(evaluation, faces))
    print_missing(faces)


def write_evaluation(
    out: str | os.PathLike,
    evaluation: dict,
    codec: Codec,
    faces: FaceDataset,
    predicted: np.ndarray,
    truth: np.ndarray,
    crop: Crop,
    size: int,
) -> None:
    """Write metrics.json, the files of predictions, ced.png and worst.png.

    Args:
        out: folder.
        evaluation: content of metrics.json.
        codec: that of the predictions.
        faces: the evaluated faces.
        predicted: (faces, points, 2) in image pixels.
        truth: (faces, points, 2) in image pixels.
        crop: crop of the faces in worst.png.
        size: side of these crops in pixels.
    """
    from evaluation.plots import draw_ced

    out = Path(out)
    write_json(out / METRICS_FILE, evaluation)
    for name, entries in codec.files(predicted, truth, faces).items():
        write_json(out / name, entries, indent=None)
    errors = codec.errors(predicted, truth, faces)
    masks = metrics.subset_masks(faces.dataset, faces.subsets)
    draw_ced(out / "ced.png", errors, masks, evaluation, codec.metric, codec.figures, codec.thresholds)
    draw_worst_faces(
        out / "worst.png",
        faces,
        errors,
        truth,
        predicted,
        codec.layout(faces.dataset),
        f"{evaluation['normaliser']} {codec.metric}",
        crop,
        size,
    )


def draw_worst_faces(
    path: str | os.PathLike,
    faces: FaceDataset,
    errors: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    layout: Layout,
    metric: str,
    crop: Crop,
    size: int,
) -> None:
    """Draw the faces of the largest errors, each in its crop.

    Args:
        path: the figure.
        faces: the evaluated faces.
        errors: (faces,) in percent.
        truth: (faces, points, 2) in image pixels.
        predicted: (faces, points, 2) in image pixels.
        layout: layout of the points.
        metric: name of the error.
        crop: crop of the faces.
        size: side of the crops in pixels.
    """
    from evaluation.plots import draw_face_grid

    worst = np.argsort(-errors, kind="stable")[:WORST_FACES]
    images, matrices = faces.crops(crop, size, worst)
    draw_face_grid(
        path,
        images,
        transform(truth[worst], matrices),
        transform(predicted[worst], matrices),
        [f"{errors[i]:.1f} %\n{_shorten_front(faces.names[i])}" for i in worst],
        layout,
        f"{faces.dataset.title}, {faces.split}: the {len(worst)} worst of {len(faces)} faces, {metric}",
    )


def _shorten_front(name: str) -> str:
    """Cut a long image name at the front, so that it fits under a face."""
    return name if len(name) <= MAX_CAPTION_LENGTH else f"...{name[3 - MAX_CAPTION_LENGTH :]}"
