"""Running a landmark network, whatever kind of file it lies in: `.keras`, an old `.h5`, `.onnx` or `.tflite`.

    network = load_network("runs/acr/best.keras")
    landmarks = network.predict(images)  # (batch, size, size, 3) in [0, 1] -> (batch, points, 2) in crop pixels

Nothing found in a file is executed beyond its network.
"""

import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from config import EXPORT_SUFFIXES
from face_datasets.catalogue import DATASETS, get_dataset
from face_datasets.layouts import Layout
from inference import litert_format, onnx_format
from methods import Codec, get_method
from networks.weights import MAX_REASON_LENGTH, find_weights, get_settings, load_model, parse_settings

FORMATS = {"onnx": onnx_format, "litert": litert_format}  # the rooms that write and read exported files


@dataclass(frozen=True)
class LandmarkNetwork:
    """A network that is ready to predict, and what must be known to feed and to read it.

    path: the file. input_size: side of its input in pixels. points: landmarks it predicts.
    crop: the row of config.CROPS it was trained with. method: the row of methods.METHODS that decodes its outputs.
    dataset: title of the data set whose landmarks it predicts. settings: all that is known of its training.
    model: what computes, a Keras model, an ONNX Runtime session or a LiteRT interpreter.
    run: from images (batch, size, size, 3) to the outputs that the method decodes.
    """

    path: Path
    input_size: int
    points: int
    crop: str
    method: str
    dataset: str
    settings: dict
    model: object
    run: Callable[[np.ndarray], object]

    @property
    def codec(self) -> Codec:
        """The codec of its method."""
        return get_method(self.method).codec

    @property
    def layout(self) -> Layout:
        """The layout of what it predicts: the data set's landmarks, or the outline of anchors and contours."""
        return self.codec.layout(get_dataset(self.dataset))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Landmarks (batch, points, 2), float64, in crop pixels, of images (batch, size, size, 3), RGB in [0, 1].

        Raises:
            ValueError: the images have another shape.
        """
        size = self.input_size
        if images.ndim != 4 or images.shape[1:] != (size, size, 3) or not len(images):
            right = f"(batch, {size}, {size}, 3) with a batch of 1 or more is right"
            raise ValueError(f"wrong images for {self.path}. Received shape {images.shape}; {right}")
        return _decode(self.method, self.run(np.ascontiguousarray(images, np.float32)), self.input_size)


def keras_model(network: LandmarkNetwork) -> keras.Model:
    """The Keras model of a network that was read from a .keras or .h5 file.

    Raises:
        ValueError: the network is an exported file.
    """
    if not isinstance(network.model, keras.Model):
        raise ValueError(f"{network.path} is an exported file already; the .keras or .h5 it came from is right")
    return network.model


def _decode(method: str, outputs: object, size: int) -> np.ndarray:
    return np.asarray(get_method(method).codec.decode(outputs, size), np.float64)


def load_network(path: str | os.PathLike, threads: int | None = None) -> LandmarkNetwork:
    """Opens a network and predicts a black image with it, which shows that the file is whole and fits what it says.

    Args:
        path: `.keras`, `.h5`, `.onnx` or `.tflite`. How it was trained lies beside the first two (see
            `weights.get_settings`), and inside the others or else beside them, in FILE.json. A file that does not say
            whose landmarks it predicts (an old `.h5`) is taken for the first data set of config.py with as many.
        threads: of one prediction of an exported file; None for one on every core. Keras has settings of its own.

    Raises:
        FileNotFoundError: no such file.
        ImportError: an exported file needs a package that is not installed; the message names it.
        ValueError: the file is damaged, nothing says how to feed and read it, or it predicts another number of
            landmarks than it says.
    """
    path = find_weights(path)
    names = {suffix: name for name, suffix in EXPORT_SUFFIXES.items()}
    if path.suffix not in names:
        settings, model = get_settings(path), load_model(path)
        blank = model(np.zeros((1, *model.input_shape[1:]), np.float32), training=False)  # not traced yet, so quick
        outputs = keras.tree.map_structure(keras.ops.convert_to_numpy, blank)
        return _network(path, settings, model, model.input_shape, model.predict_on_batch, outputs)
    try:
        model, shape, run, description = FORMATS[names[path.suffix]].read(path, threads)
        if len(shape) != 4 or not isinstance(shape[1], int) or shape[1] != shape[2] or shape[3] != 3:
            raise ValueError(f"it does not take square RGB images. Received an input of shape {shape}")
        outputs = run(np.zeros((1, *shape[1:]), np.float32))
    except (ImportError, PermissionError):
        raise
    except Exception as error:  # a broken file can make a runtime raise anything
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", MAX_REASON_LENGTH)  # one line
        raise ValueError(f"{path}: cannot be run as a network: {reason}") from error
    beside = description_path(path)
    if description is None and beside.is_file():
        description = beside.read_bytes()
    settings = {} if description is None else parse_settings(description, path)
    return _network(path, settings, model, shape, run, outputs)


def description_path(path: str | os.PathLike) -> Path:
    """Where the description of an exported file lies beside it: FILE.json."""
    return Path(f"{os.fspath(path)}.json")


def _network(path: Path, settings: dict, model, shape: tuple, run: Callable, outputs: object) -> LandmarkNetwork:
    """The network; `outputs`, of one image, tell how many landmarks there are."""
    if not {"method", "crop"} <= settings.keys():
        raise ValueError(
            f"nothing says with which crop and method {path} was trained. Received no settings with it; "
            f'{{"settings": {{"method": ..., "crop": ...}}}} in a JSON file beside it is right'
        )
    size = shape[1]
    try:
        landmarks = _decode(settings["method"], outputs, size)
        if landmarks.ndim != 3:
            raise ValueError(f"it predicts no landmarks. Received {landmarks.shape}; (batch, points, 2) is right")
        points = landmarks.shape[1]
        title = settings.get("dataset") or _dataset_with(points)
        expected = get_method(settings["method"]).codec.layout(get_dataset(title)).points
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    if points != expected:
        raise ValueError(f"{path} is not for {title}. Received {points} landmarks; {expected} are right")
    return LandmarkNetwork(path, size, points, settings["crop"], settings["method"], title, settings, model, run)


def _dataset_with(points: int) -> str:
    """The title of the first data set with so many landmarks."""
    for dataset in DATASETS.values():
        if dataset.layout.points == points:
            return dataset.title
    known = sorted({dataset.layout.points for dataset in DATASETS.values()})
    raise ValueError(f"it predicts the landmarks of no known data set. Received {points}; known: {known}")
