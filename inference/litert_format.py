"""LiteRT (.tflite) files: written from Keras by TensorFlow's converter, run by LiteRT on the CPU.

The input is float32 images (batch, size, size, 3) in [0, 1] for every precision. A file opens with a batch of one; its
input can be resized.

    float16    weights in half precision; processors with half arithmetic may use it, others compute in float32
    int8       weights per channel, activations over the range of the calibration images. Linear layers stay in float32,
               because 8-bit outputs would have steps of half a pixel at an input of 112 pixels. So do transposed
               convolutions and logarithms of their softmax, which compute heatmaps, and soft-argmaxes
               (inference/quantization.py). ACE-Net's heatmaps are computed by a convolution, and have 8 bits

The description is stored in the file as acr.json, in the zip archive that TensorFlow Lite's metadata appends to a
model: `unzip -p FILE.tflite acr.json` prints it.
"""

import os
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from config import PACKAGE
from inference.quantization import Operation, soft_argmax_operations
from utils.optional_packages import import_package

DESCRIPTION_FILE = f"{PACKAGE}.json"
FLOAT_OPERATORS = ["FULLY_CONNECTED", "TRANSPOSE_CONV", "LOG_SOFTMAX"]  # stay in float32 in int8 files
MAX_DESCRIPTION = 1_000_000  # bytes; ours has a few thousand


def write(model, path: Path, precision: str, calibration: np.ndarray | None, description: str) -> None:
    """Write a Keras model as a LiteRT file.

    Args:
        model: the Keras model.
        path: the file.
        precision: "float32", "float16" or "int8".
        calibration: images (n, size, size, 3) in [0, 1] that determine the ranges of int8; not used otherwise.
        description: JSON, stored inside the file.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if precision == "float16":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            network = _quantise(converter, calibration)
        else:
            network = converter.convert()
    path.write_bytes(network)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(DESCRIPTION_FILE, description)


def _quantise(converter, calibration: np.ndarray) -> bytes:
    """Return the file with int8 weights and activations, except for FLOAT_OPERATORS and soft-argmaxes.

    The converter has no option for exceptions; TensorFlow's quantization debugger has. It identifies operations by the
    names of their outputs in the file, for which the interpreter has no public method.
    """
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    operations = [Operation(op["op_name"], op["inputs"], op["outputs"]) for op in interpreter._get_ops_details()]
    soft_argmaxes = [names[operations[index].outputs[0]] for index in soft_argmax_operations(operations)]

    def images():
        for image in calibration:
            yield [image[None]]  # (1, size, size, 3)

    converter.representative_dataset = images
    options = tf.lite.experimental.QuantizationDebugOptions(
        denylisted_ops=FLOAT_OPERATORS, denylisted_nodes=soft_argmaxes
    )
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=images, debug_options=options
    )
    return debugger.get_nondebug_quantized_model()


def read(path: Path, threads: int | None) -> tuple[object, tuple, Callable[[np.ndarray], object], str | None]:
    """Open a LiteRT file on the CPU. LiteRT checks its form and refuses operators of other libraries.

    Args:
        path: the file.
        threads: threads of one prediction; None for one per core.

    Returns:
        the interpreter, the shape of its input, the function from images to outputs, and the description or None. The
        function may be called from several threads; it runs one call at a time.

    Raises:
        ImportError: ai-edge-litert is not installed.
        Exception: any error of LiteRT for a damaged file.
    """
    litert = import_package("ai_edge_litert.interpreter", f"reading {path}")
    interpreter = litert.Interpreter(str(path), num_threads=threads or os.cpu_count())
    inputs = interpreter.get_input_details()
    if len(inputs) != 1:
        raise ValueError(f"wrong number of inputs. Received {len(inputs)}; expected 1")
    if inputs[0]["dtype"] is not np.float32:
        raise ValueError(f"wrong type of input. Received {inputs[0]['dtype'].__name__}; expected float32")
    index, shape = inputs[0]["index"], inputs[0]["shape"]
    output_indices = _output_indices(interpreter)
    interpreter.allocate_tensors()
    lock = threading.Lock()

    def run(images: np.ndarray) -> object:
        with lock:
            if tuple(interpreter.get_input_details()[0]["shape"]) != images.shape:
                interpreter.resize_tensor_input(index, images.shape)
                interpreter.allocate_tensors()
            interpreter.set_tensor(index, images)
            interpreter.invoke()
            outputs = [interpreter.get_tensor(output) for output in output_indices]
        return outputs if len(outputs) > 1 else outputs[0]

    return interpreter, tuple(shape.tolist()), run, _read_description(path)


def _output_indices(interpreter) -> list[int]:
    """Return the tensors of the outputs in the order of the Keras model: output_0, output_1, ... of the signature."""
    signatures = interpreter.get_signature_list()
    if len(signatures) != 1:
        return [output["index"] for output in interpreter.get_output_details()]
    outputs = interpreter.get_signature_runner().get_output_details()
    return [outputs[name]["index"] for name in sorted(outputs, key=lambda name: (len(name), name))]


def _read_description(path: Path) -> str | None:
    """Return the text of acr.json in the archive behind the model, None if there is none.

    Raises:
        ValueError: it is larger than MAX_DESCRIPTION.
    """
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        if DESCRIPTION_FILE not in archive.namelist():
            return None
        size = archive.getinfo(DESCRIPTION_FILE).file_size
        if size > MAX_DESCRIPTION:
            raise ValueError(f"{DESCRIPTION_FILE} is too large. Received {size} bytes; at most {MAX_DESCRIPTION}")
        return archive.read(DESCRIPTION_FILE).decode()
