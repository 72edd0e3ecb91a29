"""The one table of methods: how each builds its model, turns landmarks into targets, scores, and decodes.

A method that is not here does not exist; to add one, write its file and its row. Training and evaluation read the row
and know no method by name.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from acr_loss import ACRLoss, PercentageSchedule
from cnn_model import CNNModel
from config import Dataset, Network, row_of
from image_utility import from_targets, to_targets
from pca_utility import ShapeModel, fit_eigenbases, labels_folder


def build_regression(network: Network, dataset: Dataset, input_size: int, batch_norm: float) -> keras.Model:
    """A network with 2N linear outputs."""
    return CNNModel().get_model(network.arch, dataset.outputs, input_size=input_size, batch_norm=batch_norm)


def encode_regression(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Landmarks (batch, points, 2) in crop pixels to float32 targets (batch, 2 * points)."""
    return to_targets(landmarks, size).astype(np.float32)


def make_acr_loss(data_dir: str | os.PathLike, dataset: Dataset, crop: str) -> ACRLoss:
    """ACR Loss over the eigenbases of the data set for this crop; those that are missing or out of date are fitted.

    Raises:
        FileNotFoundError, ValueError: no labels to fit them on, or a file that is broken or of another data set.
    """
    models = []
    for file in fit_eigenbases(labels_folder(data_dir, dataset, crop), dataset).values():
        model = ShapeModel.load(file)
        if len(model.mean_) != dataset.outputs:
            raise ValueError(
                f"{file} does not fit {dataset.title}. Received {len(model.mean_)} coordinates, not {dataset.outputs}"
            )
        models.append(model)
    return ACRLoss(models)


@dataclass(frozen=True)
class Method:
    """One way to train and read a landmark network.

    build(network, dataset, input_size, batch_norm) -> model.
    loss(data_dir, dataset, crop) -> Keras loss. callbacks(loss, epochs), metrics(loss) -> what the loss needs besides.
    encode(landmarks (batch, points, 2) in crop pixels, size) -> targets.
    decode(predictions, size) -> landmarks (batch, points, 2) in crop pixels.
    """

    name: str
    loss: Callable[[str | os.PathLike, Dataset, str], keras.losses.Loss]
    callbacks: Callable[[keras.losses.Loss, int], list] = lambda loss, epochs: []
    metrics: Callable[[keras.losses.Loss], list] = lambda loss: []
    build: Callable[[Network, Dataset, int, float], keras.Model] = build_regression
    encode: Callable[[np.ndarray, int], np.ndarray] = encode_regression
    decode: Callable[[np.ndarray, int], np.ndarray] = from_targets


METHODS = {
    method.name: method
    for method in (
        Method(
            "acr",
            loss=make_acr_loss,
            callbacks=lambda loss, epochs: [PercentageSchedule(loss, epochs)],
            metrics=lambda loss: loss.metrics,
        ),
        Method("l2", loss=lambda data_dir, dataset, crop: keras.losses.MeanSquaredError()),
    )
}


def method_of(name: str) -> Method:
    """The row of a method.

    Raises:
        ValueError: no such method.
    """
    return row_of(METHODS, name, "method")
