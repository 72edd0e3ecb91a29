"""The networks, and the one door to weights files.

`CNNModel().get_model` builds a network of `config.NETWORKS` from scratch: image / 255 in, 2N numbers out. The layers
are those of `keras.applications`, without the scaling that Keras puts in front of EfficientNet, or of `pixelwise.vgg`,
and under them global average pooling, dropout and a linear layer. `backbone` builds the layers without these.

`load_model` reads a `.keras` file (keras_file.py) or an old whole-model `.h5` (legacy_h5.py), and executes nothing
found in either. `find_weights` finds the file that a path means, `settings_of` how it was trained.
"""

import json
import os
import textwrap
import warnings
from pathlib import Path

import keras

from config import CROPS, EXPORT_SUFFIXES, LEGACY_CROP, SETTINGS_FILE, WEIGHTS_DIR, Network, network_of
from keras_file import read_keras
from legacy_h5 import read_legacy_h5
from pixelwise.vgg import vgg19
from spatial_head import MAPS_LAYER, mean_places

LEGACY_SUFFIXES = (".h5", ".hdf5")
READERS = {".keras": read_keras, **dict.fromkeys(LEGACY_SUFFIXES, read_legacy_h5)}
LEGACY_SETTINGS = {"method": "l2", "crop": LEGACY_CROP}
LEGACY_FOLDER = "ACRLoss"  # the original keeps its weights below this folder; ours lie with or without it
_LINEAR, _SCALE = "landmarks", "head_scale"  # names of layers
LONGEST_REASON = 500  # characters of an error that a broken file causes; Keras prints whole configurations


class CNNModel:
    """The networks by name, as the original project calls them."""

    def get_model(self, arch, output_len, input_size=None, batch_norm=0.99) -> keras.Model:
        """Build a network with random weights.

        Args:
            arch: a `config.ModelArch` or its string; or a `config.Network`, a row of its own.
            output_len: numbers the network predicts, 2N for N landmarks.
            input_size: pixels along a side of the input; None takes the network's own, 224.
            batch_norm: momentum of BatchNorm's moving statistics. Keras' own for MobileNetV2, 0.999, lags behind a run
                of a few thousand steps.

        Returns:
            A model from images (batch, input_size, input_size, 3), RGB in [0, 1], to (batch, output_len), unbounded
            float32 under every precision policy.

        Raises:
            ValueError: no such network.
        """
        network = arch if isinstance(arch, Network) else network_of(arch)
        size = input_size or network.input_size
        image = keras.Input((size, size, 3), name="image")  # (batch, size, size, 3)
        trunk = backbone(network, image, batch_norm)
        features = keras.layers.GlobalAveragePooling2D(name="pool")(trunk.output)  # (batch, channels)
        features = keras.layers.Dropout(network.dropout, name="dropout")(features)
        if network.head_scale != 1:
            features = keras.layers.Rescaling(network.head_scale, name=_SCALE)(features)
        landmarks = keras.layers.Dense(  # (batch, output_len)
            output_len, kernel_initializer="he_uniform", dtype="float32", name=_LINEAR
        )(features)
        if network.spatial:
            places = mean_places(trunk, network.taps, output_len // 2, batch_norm)
            landmarks = keras.layers.Add(dtype="float32", name="sum")([landmarks, places])
        return keras.Model(image, landmarks, name=str(network.arch))


def linear_head(model: keras.Model) -> keras.layers.Dense:
    """The linear layer that pooled features end in: the last one of its kind."""
    return next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Dense))


def head_scale(model: keras.Model) -> float:
    """What a network multiplies its pooled features by before the last layer."""
    return next((layer.scale for layer in model.layers if layer.name == _SCALE), 1.0)


def backbone(network, image, batch_norm) -> keras.Model:
    """A row of config.NETWORKS without its head, on `image`, an input (batch, size, size, channels) in [0, 1].

    A Keras application comes without its input scaling and with our BatchNorm momentum. Both are fixed inside Keras, so
    its graph is cloned: a layer's configuration can be changed on the way, and a layer that is not called is not in the
    clone. Its explicit padding before strided layers stays; the "same" padding of other implementations adds the same
    pixels.
    """
    if not network.taps:
        raise ValueError(f"{network.arch} gives heatmaps, not landmarks. Received it for a method that regresses them")
    if network.application is None:
        return vgg19(image, network.width, batch_norm)
    application = getattr(keras.applications, network.application)
    original = application(include_top=False, weights=None, input_shape=tuple(image.shape[1:]))

    def clone(layer):
        settings = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            settings["momentum"] = batch_norm
        return type(layer).from_config(settings)

    def call(layer, tensor, **options):
        if isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)):
            return tensor
        return layer(tensor, **options)

    return keras.models.clone_model(original, input_tensors=image, clone_function=clone, call_function=call)


def take_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Puts the weights of a file into a network of the same build, whatever its input size.

    Where the file's network regresses other landmarks, the layers that say them (the linear head, and the maps of
    spatial_head.py) are left as they are. Both have the spatial head, or neither.

    Raises:
        ValueError: the file is of another network, or cannot be read; see `load_model`.
    """
    source = load_model(path)
    theirs, ours = ([layer for layer in one.layers if layer.weights] for one in (source, model))
    last = [layer for layer in ours if layer.name in (_LINEAR, MAPS_LAYER)] or ours[-1:]
    other = [mine for their, mine in zip(theirs, ours, strict=False) if _shapes(their) != _shapes(mine)]
    if len(theirs) != len(ours) or not set(other) <= set(last):
        raise ValueError(
            f"{path} does not fit this network. Received {len(theirs)} layers with weights and an output of "
            f"{source.output_shape}; {len(ours)} and {model.output_shape} are right, with the same --head"
        )
    if other:
        print(f"{path} has other outputs, {source.output_shape}: all is taken from it but the layers that give them")
    for their, mine in zip(theirs, ours, strict=True):
        if not other or mine not in last:
            weights = their.get_weights()
            if mine.name == _LINEAR:
                weights[0] *= head_scale(source) / head_scale(model)
            mine.set_weights(weights)


def _shapes(layer: keras.layers.Layer) -> list[tuple[int, ...]]:
    return [tuple(variable.shape) for variable in layer.weights]


# --------------------------------------------------------------------------------------------------------------------
# Weights files
# --------------------------------------------------------------------------------------------------------------------


def load_model(path) -> keras.Model:
    """Open a weights file: `.keras`, or a whole-model `.h5` that Keras 2 wrote. Nothing found in the file is executed.

    Classes registered under "acr" must have been imported before (`import methods` does).

    Returns:
        The model, not compiled.

    Raises:
        FileNotFoundError: no such file; the message lists the weights files near it.
        ValueError: the file is no weights file, is damaged, or holds something that is not known here.
    """
    path = find_weights(path)
    if path.suffix not in READERS:
        raise ValueError(f"{path}: unknown kind of weights file. Received {path.suffix!r}; .keras or .h5 is right")
    try:
        return READERS[path.suffix](path)
    except Exception as error:  # a broken file can make h5py, zipfile, json or Keras raise anything
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        reason = textwrap.shorten(reason, LONGEST_REASON)  # one line
        raise ValueError(f"{path}: cannot be read as a model: {reason}") from error


def find_weights(path) -> Path:
    """The weights file that `path` means.

    The path itself, or else the same path with or without the folder `ACRLoss`, or else, with a warning that says so,
    the `.keras` file of the same stem.

    Raises:
        FileNotFoundError: none of them exists; the message lists the weights files there are.
    """
    path = Path(path)
    spellings = _spellings(path)
    for spelling in spellings:
        if spelling.is_file():
            return spelling
    if path.suffix in LEGACY_SUFFIXES:
        for spelling in spellings:
            converted = spelling.with_suffix(".keras")
            if converted.is_file():
                warnings.warn(f"{path} does not exist; {converted} is read instead", stacklevel=2)
                return converted
    raise FileNotFoundError(f"{path}: no such weights file; {_weights_near(path)}")


def _spellings(path) -> list[Path]:
    """The path, and the path with or without the folder `ACRLoss`."""
    parts = path.parts
    if LEGACY_FOLDER in parts:
        return [path, Path(*(part for part in parts if part != LEGACY_FOLDER))]
    return [path, *(Path(*parts[:i], LEGACY_FOLDER, *parts[i:]) for i in range(bool(path.anchor), len(parts)))]


def _weights_near(path) -> str:
    """The weights files in the nearest folder that exists, three levels deep, and in the project's own, as a phrase."""
    near = next((folder for folder in (path, *path.parents) if folder.is_dir()), Path())
    files = list(Path(WEIGHTS_DIR).rglob("*"))
    if near != Path(near.anchor):
        files += [file for pattern in ("*", "*/*", "*/*/*") for file in near.glob(pattern)]
    suffixes = (".keras", *LEGACY_SUFFIXES, *EXPORT_SUFFIXES.values())
    found = sorted({str(file) for file in files if file.suffix in suffixes})
    return f"there are: {', '.join(found)}" if found else f"there are none in {near} and {WEIGHTS_DIR}"


def settings_of(path) -> dict:
    """How a weights file was trained: the "settings" that train.py wrote, with "method", "crop" and more.

    X.json beside the file X.keras or X.h5 holds them, or else, for a .keras file, settings.json in its folder. An .h5
    file without one is the original's: `LEGACY_SETTINGS`, where only "method" and "crop" are known. Of a .keras file
    without either nothing is known, and the dict is empty.

    Raises:
        FileNotFoundError: no such weights file.
        ValueError: the JSON is broken, or names no crop that is known.
    """
    weights = find_weights(path)
    file = record_of(weights)
    if file is None:
        return dict(LEGACY_SETTINGS) if weights.suffix in LEGACY_SUFFIXES else {}
    return parse_settings(file.read_bytes(), file)


def record_of(weights: Path) -> Path | None:
    """The JSON file that says how a weights file was trained, see `settings_of`; None where there is none."""
    beside = [weights.with_suffix(".json")]
    if weights.suffix not in LEGACY_SUFFIXES:
        beside.append(weights.parent / SETTINGS_FILE)
    return next((candidate for candidate in beside if candidate.is_file()), None)


def parse_settings(record: str | bytes, source: str | os.PathLike) -> dict:
    """The "settings" of a run's record, JSON text that came from `source`.

    Raises:
        ValueError: the JSON is broken, or names no crop that is known.
    """
    try:
        settings = json.loads(record)["settings"]
        method, crop = settings["method"], settings["crop"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        right = '{"settings": {"method": ..., "crop": ..., ...}}'
        raise ValueError(f"{source}: cannot be read as settings. Received {error!r}; {right} is right") from error
    if not isinstance(method, str) or not isinstance(crop, str) or crop not in CROPS:
        raise ValueError(f"{source}: unknown method or crop. Received {method!r}, {crop!r}; crops: {list(CROPS)}")
    return settings
