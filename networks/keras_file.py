"""Untrusted `.keras` files, read without executing anything found in them; and float16 copies of them.

Keras' safe mode refuses Lambdas, but builds any layer that a file names, from any module and of any size. Here every
class and size in the archive's configuration is checked before Keras reads it.

    metadata.json, config.json      the layers, their settings and their inputs
    model.weights.h5                the arrays, read in a sandboxed process first (utils/sandbox.py)
"""

import importlib
import io
import json
import zipfile

import h5py
import keras
import numpy as np

from config import PACKAGE
from utils.sandbox import check_hdf5

ARCHIVE = {"metadata.json", "config.json", "model.weights.h5"}
MODULES = ("keras", "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints")
INNER_MODULES = ("keras.src.models.", "keras.src.ops.")  # graphs, and operations such as the sum of two tensors
VALUES = ("__keras_tensor__", "__tensor__", "__numpy__", "__slice__", "__ellipsis__")  # values, not classes
REFUSED = (  # layers of Keras that run code, or read files, named in the model file
    "Lambda",
    "TorchModuleWrapper",
    "TFSMLayer",
    "JaxLayer",
    "FlaxLayer",
    "StringLookup",
    "IntegerLookup",
    "TextVectorization",
)
LAYERS = {  # registered name of each of our layers -> its module, which must be imported before Keras builds the layer
    f"{PACKAGE}>MeanPlace": "networks.spatial_head",
    **dict.fromkeys((f"{PACKAGE}>MeanFace", f"{PACKAGE}>Realign", f"{PACKAGE}>Restore"), "pixelwise.cascade"),
}
SIZES = ("filters", "units", "kernel_size", "depth_multiplier", "batch_shape")
MAX_ARCHIVE = 1_000_000_000  # bytes of the unpacked archive; EfficientNet-B3 has 45 million
MAX_SIZE = 16_384  # of any of SIZES; the widest layer of EfficientNet-B3 has 2304


def read_keras(path) -> keras.Model:
    """Check the archive, then let Keras read it in safe mode, without the training configuration.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: not a valid .keras archive, a class that is unknown or not safe, or an excessive size. The message
            does not name the file; `weights.load_model` adds the name.
        Exception: any error of zipfile, json or Keras on a broken file.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not a .keras archive, or it is truncated")
    with zipfile.ZipFile(path) as archive:
        if not {"config.json", "model.weights.h5"} <= set(archive.namelist()) <= ARCHIVE:
            raise ValueError(f"the archive must hold {sorted(ARCHIVE)}. Received {archive.namelist()}")
        unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MAX_ARCHIVE:
            raise ValueError(f"the archive is too large. Received {unpacked} bytes; expected at most {MAX_ARCHIVE}")
        model_config = json.loads(archive.read("config.json"))
    model_config.pop("compile_config", None)  # never read: compile=False
    _check_config(model_config)
    check_hdf5(path, "model.weights.h5")
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _check_config(value):
    """Raise an error for an unknown class or an excessive size anywhere in the configuration."""
    if isinstance(value, list):
        for item in value:
            _check_config(item)
    elif isinstance(value, dict):
        if "class_name" in value:
            _check_class(value["class_name"], value.get("module"), value.get("registered_name"))
        for key, item in value.items():
            if key in SIZES:
                _check_size(key, item)
            _check_config(item)


def _check_class(name, module, registered):
    """Raise an error unless a class is one of Keras' safe layers or registered under our package."""
    if name in VALUES:
        return
    if name not in (*REFUSED, "function") and isinstance(name, str) and not name.startswith("__"):
        if str(registered).startswith(f"{PACKAGE}>"):
            if registered in LAYERS:
                importlib.import_module(LAYERS[registered])
            if keras.saving.get_registered_object(registered) is not None:
                return
        elif isinstance(module, str) and (module in MODULES or module.startswith(INNER_MODULES)):
            return
    raise ValueError(
        f"it contains a class that is unknown or not safe. Received {module}.{name} ({registered}); expected "
        f"layers of Keras, none of {', '.join(REFUSED)}, and classes registered under {PACKAGE!r}"
    )


def _check_size(key, value):
    """Raise an error if a size is excessive."""
    for size in value if isinstance(value, list) else [value]:
        if isinstance(size, int) and size > MAX_SIZE:
            raise ValueError(f"{key} is too large. Received {value}; expected at most {MAX_SIZE}")


def write_half(source, path) -> None:
    """Copy a `.keras` file with its kernels in float16; arrays of one axis (biases, BatchNorm) stay float32.

    `read_keras` reads it like any other file: Keras casts arrays to the layers' own float32.
    """
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(path, "w") as copy:
        for name in archive.namelist():
            data = archive.read(name)
            copy.writestr(name, _half(data) if name == "model.weights.h5" else data)


def _half(weights: bytes) -> bytes:
    """Return an HDF5 file of weights with every float32 array of two axes or more in float16."""
    target = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as file, h5py.File(target, "w") as copy:

        def write(name, item):
            if isinstance(item, h5py.Group):
                made = copy.require_group(name)
            else:
                made = copy.create_dataset(
                    name, data=item[()].astype(np.float16) if item.dtype == np.float32 and item.ndim > 1 else item[()]
                )
            made.attrs.update(item.attrs)

        copy.attrs.update(file.attrs)
        file.visititems(write)
    return target.getvalue()
