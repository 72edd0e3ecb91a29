"""Files of tiny networks, of training and of other programs."""

import json

import numpy as np
import pytest

from face_datasets.catalogue import get_dataset
from inference.network import description_path
from tests.robustness.tiny_network import build_tiny

SIZE = 16


def save_tiny(folder, dataset="300W", **settings):
    """Write a tiny network as best.keras with settings.json beside it; return the path and the model."""
    folder.mkdir(parents=True, exist_ok=True)
    model = build_tiny(None, get_dataset(dataset), SIZE, 0.9)
    model.save(folder / "best.keras")
    record = {"method": "acr", "crop": "square", "dataset": dataset} | settings
    (folder / "settings.json").write_text(json.dumps({"settings": record}))
    return folder / "best.keras", model


def images_of(count, size=SIZE):
    return np.random.default_rng(0).random((count, size, size, 3), np.float32)


def write_onnx(path, outputs=136, domain="", location=None, shape=("batch", SIZE, SIZE, 3), keepdims=0):
    """Write an ONNX network from the mean colour to `outputs` numbers: ReduceMean, then MatMul with ones."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, tensor_type = onnx.helper, onnx.TensorProto.FLOAT
    matrix = onnx.numpy_helper.from_array(np.ones((3, outputs), np.float32), "matrix")
    if location:
        matrix.ClearField("raw_data")
        matrix.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", str(12 * outputs))):
            matrix.external_data.add(key=key, value=value)
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2], keepdims=keepdims),
        helper.make_node("MatMul", ["mean", "matrix"], ["landmarks"], domain=domain),
    ]
    ends = ("image", list(shape)), ("landmarks", None)
    image, landmarks = (helper.make_tensor_value_info(name, tensor_type, dims) for name, dims in ends)
    graph = helper.make_graph(nodes, "graph", [image], [landmarks], [matrix])
    opsets = [helper.make_opsetid("", 15)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    network = helper.make_model(graph, opset_imports=opsets)
    network.ir_version = 8
    path.write_bytes(network.SerializeToString())
    record = {"settings": {"method": "l2", "crop": "square", "dataset": "300W"}}
    description_path(path).write_text(json.dumps(record))
    return path
