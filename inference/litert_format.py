"""Networks as LiteRT (.tflite) files: written from Keras by TensorFlow's converter, run by LiteRT on the CPU.

The file takes float32 images (batch, size, size, 3) in [0, 1] whatever its precision. It opens for one image; its
input can be resized to more.

    float16    weights in half precision; processors with half arithmetic may use it, others compute in float32
    int8       weights per channel, activations over the range that the calibration images reach. Linear layers stay in
               float32: 8 bits of the outputs would be steps of half a pixel at an input of 112. So do transposed
               convolutions and what makes logarithms of probabilities of them, from which maps come, and means under
               a softmax (inference/quantization.py); ACE-Net's maps come from a convolution, and have 8 bits

The description lies in the file as acr.json, in the zip archive that TensorFlow Lite's metadata appends to a model:
`unzip -p FILE.tflite acr.json` shows it.
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
FLOAT_OPERATORS = ["FULLY_CONNECTED", "TRANSPOSE_CONV", "LOG_SOFTMAX"]  # that int8 leaves in float32
MAX_DESCRIPTION = 1_000_000  # bytes; ours has a few thousand


def write(model, path: Path, precision: str, calibration: np.ndarray | None, description: str) -> None:
    """Writes a Keras model as a LiteRT file.

    Args:
        precision: "float32", "float16" or "int8".
        calibration: images (n, size, size, 3) in [0, 1] that int8 takes its ranges from.
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
            network = _quantised(converter, calibration)
        else:
            network = converter.convert()
    path.write_bytes(network)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(DESCRIPTION_FILE, description)


def _quantised(converter, calibration: np.ndarray) -> bytes:
    """The file with integer weights and activations, except of FLOAT_OPERATORS and of means under a softmax.

    The converter itself has no such choice; TensorFlow's tool that looks for layers which suffer has. It knows
    operations by the names of what they give in the file, which the interpreter tells in no public way.
    """
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    operations = [Operation(op["op_name"], op["inputs"], op["outputs"]) for op in interpreter._get_ops_details()]
    means = [names[operations[number].outputs[0]] for number in soft_argmax_operations(operations)]

    def images():
        for image in calibration:
            yield [image[None]]  # (1, size, size, 3)

    converter.representative_dataset = images
    in_float = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=FLOAT_OPERATORS, denylisted_nodes=means)
    tool = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_dataset=images, debug_options=in_float)
    return tool.get_nondebug_quantized_model()


def read(path: Path, threads: int | None) -> tuple[object, tuple, Callable[[np.ndarray], object], str | None]:
    """Opens a LiteRT file on the CPU. LiteRT checks its form, and refuses operators of other libraries.

    Args:
        threads: of one prediction; None for one on every core.

    Returns:
        the interpreter, the shape of its input, the function from images to outputs, and the description, if there is
        one. Threads may share the function; it lets them in one by one.

    Raises:
        ImportError: ai-edge-litert is not installed.
        Exception: whatever LiteRT makes of a broken file.
    """
    litert = import_package("ai_edge_litert.interpreter", f"reading {path}")
    interpreter = litert.Interpreter(str(path), num_threads=threads or os.cpu_count())
    inputs = interpreter.get_input_details()
    if len(inputs) != 1:
        raise ValueError(f"one input is right. Received {len(inputs)}")
    if inputs[0]["dtype"] is not np.float32:
        raise ValueError(f"float32 images are right. Received an input of {inputs[0]['dtype'].__name__}")
    index, shape = inputs[0]["index"], inputs[0]["shape"]
    places = _output_places(interpreter)
    interpreter.allocate_tensors()
    lock = threading.Lock()

    def run(images: np.ndarray) -> object:
        with lock:
            if tuple(interpreter.get_input_details()[0]["shape"]) != images.shape:
                interpreter.resize_tensor_input(index, images.shape)
                interpreter.allocate_tensors()
            interpreter.set_tensor(index, images)
            interpreter.invoke()
            outputs = [interpreter.get_tensor(place) for place in places]
        return outputs if len(outputs) > 1 else outputs[0]

    return interpreter, tuple(shape.tolist()), run, _description_in(path)


def _output_places(interpreter) -> list[int]:
    """Where the outputs lie, in the order of the Keras model: output_0, output_1, ... of the file's only signature."""
    signatures = interpreter.get_signature_list()
    if len(signatures) != 1:
        return [output["index"] for output in interpreter.get_output_details()]
    outputs = interpreter.get_signature_runner().get_output_details()
    return [outputs[name]["index"] for name in sorted(outputs, key=lambda name: (len(name), name))]


def _description_in(path: Path) -> str | None:
    """The text of acr.json in the archive behind the model, None where there is none.

    Raises:
        ValueError: it is absurdly large.
    """
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        if DESCRIPTION_FILE not in archive.namelist():
            return None
        size = archive.getinfo(DESCRIPTION_FILE).file_size
        if size > MAX_DESCRIPTION:
            raise ValueError(f"{DESCRIPTION_FILE} is absurdly large. Received {size} bytes")
        return archive.read(DESCRIPTION_FILE).decode()
