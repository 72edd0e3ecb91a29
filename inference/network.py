"""Landmark networks of any file format: `.keras`, an old `.h5`, `.onnx` or `.tflite`.

    network = load_network("runs/acr/best.keras")
    landmarks = network.predict(images)  # (batch, size, size, 3) in [0, 1] -> (batch, points, 2) in crop pixels

Code in a file is never executed. Keras is imported only for `.keras` and `.h5` files.
"""

import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from config import EXPORT_SUFFIXES
from face_datasets.catalogue import DATASETS, get_dataset
from face_datasets.layouts import Layout
from inference import litert_format, onnx_format
from methods import Codec, get_method
from networks.weights import MAX_REASON_LENGTH, find_weights, get_settings, load_model, parse_settings

if TYPE_CHECKING:
    import keras

FORMATS = {"onnx": onnx_format, "litert": litert_format}  # modules that write and read exported files


@dataclass(frozen=True)
class LandmarkNetwork:
    """A network that is ready to predict, with everything needed to crop for it and to decode its outputs.

    Attributes:
        path: the file.
        input_size: side of its input in pixels.
        points: number of points that it predicts.
        crop: key of config.CROPS, the crop that it was trained with.
        method: key of methods.METHODS, the method that it was trained with.
        dataset: title of the data set whose landmarks it predicts.
        settings: all settings of its training that are known.
        model: a Keras model, an ONNX Runtime session or a LiteRT interpreter.
        run: function from images (batch, size, size, 3) to the outputs that the method decodes.
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
        """The layout of its points: the data set's landmarks, or the outline of anchors and contours."""
        return self.codec.layout(get_dataset(self.dataset))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the points (batch, points, 2), float64, in crop pixels.

        Args:
            images: RGB (batch, size, size, 3) in [0, 1].

        Raises:
            ValueError: the images have another shape.
        """
        size = self.input_size
        if images.ndim != 4 or images.shape[1:] != (size, size, 3) or not len(images):
            raise ValueError(
                f"wrong images for {self.path}. Received shape {images.shape}; expected (batch, {size}, {size}, 3) "
                "with a batch of 1 or more"
            )
        return _decode(self.codec, self.run(np.ascontiguousarray(images, np.float32)), size)


def keras_model(network: LandmarkNetwork) -> "keras.Model":
    """Return the Keras model of a network from a .keras or .h5 file.

    Raises:
        ValueError: the network is an exported file.
    """
    if network.path.suffix in EXPORT_SUFFIXES.values():
        raise ValueError(f"{network.path} is an exported file already; expected the .keras or .h5 file it came from")
    return network.model


def load_network(path: str | os.PathLike, threads: int | None = None) -> LandmarkNetwork:
    """Open a network and predict a black image with it, to check that the file is complete and fits its settings.

    Args:
        path: `.keras`, `.h5`, `.onnx` or `.tflite`. The settings of a Keras file lie beside it (see
            `networks.weights.get_settings`), those of an exported file inside it or else in FILE.json. A file whose
            settings have no data set (an old `.h5`) belongs to the first data set with this number of landmarks.
        threads: threads of one prediction of an exported file; default: one per core. Not used by Keras.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: an exported file needs a package that is not installed; the message names it.
        ValueError: the file is damaged, its settings are missing, or it predicts another number of landmarks.
    """
    path = find_weights(path)
    formats = {suffix: FORMATS[name] for name, suffix in EXPORT_SUFFIXES.items()}
    if path.suffix in formats:
        return _load_exported(path, formats[path.suffix], threads)
    return _load_keras(path)


def _load_keras(path: Path) -> LandmarkNetwork:
    """Open a .keras or .h5 file."""
    import keras

    settings, model = get_settings(path), load_model(path)
    outputs = model(np.zeros((1, *model.input_shape[1:]), np.float32), training=False)  # fast: it is not traced
    outputs = keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)
    return _build_network(path, settings, model, model.input_shape, model.predict_on_batch, outputs)


def _load_exported(path: Path, format, threads: int | None) -> LandmarkNetwork:
    """Open an exported file with the module of its format."""
    try:
        model, shape, run, description = format.read(path, threads)
        if len(shape) != 4 or not isinstance(shape[1], int) or shape[1] != shape[2] or shape[3] != 3:
            raise ValueError(f"it does not take square RGB images. Received an input of shape {shape}")
        outputs = run(np.zeros((1, *shape[1:]), np.float32))
    except (ImportError, PermissionError):
        raise
    except Exception as error:  # for a damaged file, a runtime may raise anything
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", MAX_REASON_LENGTH)  # one line
        raise ValueError(f"{path}: cannot be run as a network: {reason}") from error
    description_file = description_path(path)
    if description is None and description_file.is_file():
        description = description_file.read_bytes()
    settings = {} if description is None else parse_settings(description, path)
    return _build_network(path, settings, model, shape, run, outputs)


def description_path(path: str | os.PathLike) -> Path:
    """Return the path of the description beside an exported file: FILE.json."""
    return Path(f"{os.fspath(path)}.json")


def _build_network(
    path: Path, settings: dict, model: object, shape: tuple, run: Callable, outputs: object
) -> LandmarkNetwork:
    """Check that the settings fit the outputs for one image, and return the network."""
    if not {"method", "crop"} <= settings.keys():
        raise ValueError(
            f"the settings of {path} are missing. Received no crop and method; expected "
            '{"settings": {"method": ..., "crop": ...}} in a JSON file beside it'
        )
    size = shape[1]
    try:
        codec = get_method(settings["method"]).codec
        predicted = _decode(codec, outputs, size)
        if predicted.ndim != 3:
            raise ValueError(f"it predicts no landmarks. Received {predicted.shape}; expected (batch, points, 2)")
        points = predicted.shape[1]
        title = settings.get("dataset") or _find_dataset(points)
        expected = codec.layout(get_dataset(title)).points
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    if points != expected:
        raise ValueError(f"{path} is not for {title}. Received {points} landmarks; expected {expected}")
    return LandmarkNetwork(path, size, points, settings["crop"], settings["method"], title, settings, model, run)


def _decode(codec: Codec, outputs: object, size: int) -> np.ndarray:
    return np.asarray(codec.decode(outputs, size), np.float64)


def _find_dataset(points: int) -> str:
    """Return the title of the first data set with this number of landmarks."""
    for dataset in DATASETS.values():
        if dataset.layout.points == points:
            return dataset.title
    known = sorted({dataset.layout.points for dataset in DATASETS.values()})
    raise ValueError(f"it predicts the landmarks of no known data set. Received {points}; known: {known}")
