"""Running a landmark network, whatever kind of file it lies in.

    network = load_network("runs/acr/best.keras")
    landmarks = network.predict(images)  # (batch, size, size, 3) in [0, 1] -> (batch, points, 2) in crop pixels

Nothing found in a file is executed beyond its network.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_model import find_weights, load_model, settings_of
from config import DATASETS, dataset_of
from methods import method_of


@dataclass(frozen=True)
class LandmarkNetwork:
    """A network that is ready to predict, and what must be known to feed and to read it.

    path: the file. input_size: side of its input in pixels. points: landmarks it predicts.
    crop: the row of config.CROPS it was trained with. method: the row of methods.METHODS that decodes its outputs.
    dataset: title of the data set whose landmarks it predicts.
    run: from images (batch, size, size, 3) to the outputs that the method decodes.
    """

    path: Path
    input_size: int
    points: int
    crop: str
    method: str
    dataset: str
    run: Callable[[np.ndarray], object]

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Landmarks (batch, points, 2), float64, in crop pixels, of images (batch, size, size, 3), RGB in [0, 1].

        Raises:
            ValueError: the images have another shape.
        """
        shape = (self.input_size, self.input_size, 3)
        if images.ndim != 4 or images.shape[1:] != shape:
            raise ValueError(f"wrong images for {self.path}. Received shape {images.shape}; (batch, *{shape}) is right")
        images = np.ascontiguousarray(images, np.float32)
        return _decoded(self.method, self.run(images), self.input_size)


def _decoded(method: str, outputs: object, size: int) -> np.ndarray:
    return np.asarray(method_of(method).decode(outputs, size), np.float64)


def load_network(path: str | os.PathLike) -> LandmarkNetwork:
    """Opens a network: `.keras`, or an old `.h5`.

    A file that does not say whose landmarks it predicts (an old .h5) is taken for the first data set of the table with
    as many landmarks.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, or nothing says how to feed and read it, or it predicts another number of
            landmarks than it says.
    """
    path = find_weights(path)
    settings = settings_of(path)
    model = load_model(path)
    return _network(path, settings, model.input_shape[1], model.predict_on_batch)


def _network(path: Path, settings: dict, size: int, run: Callable[[np.ndarray], object]) -> LandmarkNetwork:
    """The network, checked by predicting a black image, which also warms it up."""
    if not {"method", "crop"} <= settings.keys():
        raise ValueError(
            f"nothing says which crop and method {path} was trained with. Received no settings beside it; "
            f"{path.with_suffix('.json').name} is right"
        )
    outputs = run(np.zeros((1, size, size, 3), np.float32))
    points = _decoded(settings["method"], outputs, size).shape[1]
    title = settings.get("dataset") or _dataset_with(points, path)
    expected = dataset_of(title).layout.points
    if points != expected:
        raise ValueError(f"{path} is not for {title}. Received {points} landmarks; {expected} are right")
    return LandmarkNetwork(path, size, points, settings["crop"], settings["method"], title, run)


def _dataset_with(points: int, path: Path) -> str:
    """The title of the first data set with so many landmarks."""
    for dataset in DATASETS.values():
        if dataset.layout.points == points:
            return dataset.title
    known = sorted({dataset.layout.points for dataset in DATASETS.values()})
    raise ValueError(f"{path} predicts landmarks of no known data set. Received {points}; known: {known}")
