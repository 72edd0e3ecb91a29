"""ONNX files: written from Keras, run by ONNX Runtime on the CPU.

The input is float32 images (batch, size, size, 3) in [0, 1] for every precision, in batches of any size.

    float16    weights in half precision, cast to float32 when the file is opened: half the size, the same speed. Half
               arithmetic is slower than float32 on a CPU that lacks it
    int8       7-bit weights per channel, activations as uint8 over the range of the calibration images: the pair that
               x86 and ARM multiply fastest. Outputs of linear layers stay in float32, because 8-bit outputs would have
               steps of half a pixel at an input of 112 pixels. So do those of transposed convolutions, which compute
               heatmaps, and soft-argmaxes (inference/quantization.py). ACE-Net's heatmaps are computed by a
               convolution, and have 8 bits

The description is stored in the file's metadata under the key "acr".
"""

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from config import EVALUATION_BATCH, PACKAGE
from inference.quantization import Operation, soft_argmax_operations
from utils.optional_packages import import_package


def write(model, path: Path, precision: str, calibration: np.ndarray | None, description: str) -> None:
    """Write a Keras model as an ONNX file.

    Args:
        model: the Keras model.
        path: the file.
        precision: "float32", "float16" or "int8".
        calibration: images (n, size, size, 3) in [0, 1] that determine the ranges of int8; not used otherwise.
        description: JSON, stored in the file's metadata.

    Raises:
        ImportError: tf2onnx, onnx or onnxruntime is not installed.
    """
    purpose = "writing ONNX files"
    onnx = import_package("onnx", purpose)
    import_package("tf2onnx", purpose)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        model.export(file, format="onnx", verbose=False)
        network = onnx.load(file)
        _renumber(network.graph)
        if precision == "int8":
            onnx.save(network, file)
            network = onnx.load(_quantise(file, calibration))
    if precision == "float16":
        _store_as_float16(network)
    _clean_up(network)
    onnx.helper.set_model_props(network, {PACKAGE: description})
    onnx.checker.check_model(network)
    onnx.save(network, path)


class _Calibration:
    """Calibration data reader of ONNX Runtime: batches of images."""

    def __init__(self, name: str, images: np.ndarray):
        starts = range(0, len(images), EVALUATION_BATCH)
        self._batches = iter([{name: images[start : start + EVALUATION_BATCH]} for start in starts])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def _quantise(file: Path, calibration: np.ndarray) -> Path:
    """Write the file with integer weights and activations beside it, BatchNorm folded into convolutions; return it."""
    quantization = import_package("onnxruntime.quantization", "writing int8 ONNX files")
    shape_inference = import_package("onnxruntime.quantization.shape_inference", "writing int8 ONNX files")
    onnx = import_package("onnx", "writing int8 ONNX files")
    folded, quantised = file.with_name("folded.onnx"), file.with_name("quantised.onnx")
    shape_inference.quant_pre_process(file, folded, skip_symbolic_shape=True)
    graph = onnx.load(folded).graph
    operations = [Operation(node.op_type, node.input, node.output) for node in graph.node]
    quantization.quantize_static(
        folded,
        quantised,
        _Calibration(graph.input[0].name, calibration),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,  # 7-bit weights: products of 8 bits overflow on x86 processors without VNNI
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        nodes_to_exclude=[graph.node[index].name for index in soft_argmax_operations(operations)],
        extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul", "ConvTranspose"]},
    )
    return quantised


def _store_as_float16(network) -> None:
    """Store every float32 array of an ONNX model as float16, and cast it back in the graph."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in network.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            name, half = tensor.name, f"{tensor.name}_half"
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), half))
            casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *network.graph.node]
    del network.graph.node[:]
    network.graph.node.extend(nodes)


def _clean_up(network) -> None:
    """Name the batch dimension, and declare only the operator sets that the graph uses."""
    for value in (*network.graph.input, *network.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    used = {node.domain for node in network.graph.node}
    kept = [opset for opset in network.opset_import if opset.domain in used]
    del network.opset_import[:]
    network.opset_import.extend(kept)


def _renumber(graph) -> None:
    """Number the names of a graph from 0 in its order.

    The converter's numbers differ from run to run. So does its choice between equal constants, and the function that it
    names in doc_string.
    """
    numbers: dict[str, int] = {}
    constants = {array.name for array in graph.initializer if re.search(r"__\d", array.name)}
    names: dict[str, str] = {}  # of constants that the converter named

    def renumber(name: str) -> str:
        if name in constants:
            return names.setdefault(name, f"constant_{len(names)}")
        return re.sub(r"(?<=__)\d+", lambda found: str(numbers.setdefault(found.group(), len(numbers))), name)

    graph.doc_string = ""
    for node in graph.node:
        node.name = renumber(node.name)
        node.input[:] = map(renumber, node.input)
        node.output[:] = map(renumber, node.output)
    for named in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
        named.name = renumber(named.name)
    arrays = sorted(graph.initializer, key=lambda array: array.name)
    del graph.initializer[:]
    graph.initializer.extend(arrays)


def read(path: Path, threads: int | None) -> tuple[object, tuple, Callable[[np.ndarray], object], str | None]:
    """Open an ONNX file on the CPU. Operators of other libraries, and data outside its folder, are refused.

    Args:
        path: the file.
        threads: threads of one prediction; None for one per core.

    Returns:
        the session, the shape of its input, the function from images to outputs, and the description or None.

    Raises:
        ImportError: onnxruntime is not installed.
        Exception: any error of ONNX Runtime for a damaged file.
    """
    onnxruntime = import_package("onnxruntime", f"reading {path}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count()
    # Waiting threads sleep: on a machine with other work, spinning ones double the time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised, so they need not be printed
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    if len(session.get_inputs()) != 1:
        raise ValueError(f"wrong number of inputs. Received {len(session.get_inputs())}; expected 1")
    image = session.get_inputs()[0]

    def run(images: np.ndarray) -> object:
        outputs = session.run(None, {image.name: images})
        return outputs if len(outputs) > 1 else outputs[0]

    return session, tuple(image.shape), run, session.get_modelmeta().custom_metadata_map.get(PACKAGE)
