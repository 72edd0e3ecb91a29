"""Models in `.h5` files of Keras 2, read without executing anything found in them.

Keras 3 cannot open the released files (`DepthwiseConv2D` with `groups`, `FixedDropout`), and its own reader would run a
Lambda found in one. Here the file is only data: its JSON names layers, which must be among the dozen that MobileNetV2
and EfficientNet consist of; Keras' own layers are built from the checked settings and get the stored arrays.

    model_config      attribute: JSON with the layers, their settings and their inputs
    model_weights/    one group for each layer; its attribute weight_names lists the arrays in order

Everything that only training uses (loss, optimizer, initialisers, regularisers, constraints) is checked and ignored.
"""

import json
import math
import re

import h5py
import keras
import numpy as np
from keras import layers

from utils.sandbox import check_hdf5

MAX_PARAMETERS = 100_000_000  # of a file; EfficientNet-B3 has 11 million
MAX_TENSOR = 100_000_000  # numbers of one image in any layer; EfficientNet-B3 has 2 million at 224 pixels

# class name in the file -> Keras' own layer, and the settings that are read from the file
LAYERS = {
    "Activation": (layers.Activation, ("activation",)),
    "Add": (layers.Add, ()),
    "BatchNormalization": (layers.BatchNormalization, ("momentum", "epsilon", "center", "scale")),
    "Conv2D": (
        layers.Conv2D,
        ("filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "activation", "use_bias"),
    ),
    "Dense": (layers.Dense, ("units", "activation", "use_bias")),
    "DepthwiseConv2D": (  # Keras 2 also wrote `groups`, which its layer ignored
        layers.DepthwiseConv2D,
        ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier", "activation", "use_bias"),
    ),
    "Dropout": (layers.Dropout, ("rate", "noise_shape")),
    "FixedDropout": (layers.Dropout, ("rate", "noise_shape")),  # of the package efficientnet; equal to today's Dropout
    "GlobalAveragePooling2D": (layers.GlobalAveragePooling2D, ("keepdims",)),
    "Multiply": (layers.Multiply, ()),
    "Normalization": (layers.Normalization, ()),
    "ReLU": (layers.ReLU, ("max_value", "negative_slope", "threshold")),
    "Rescaling": (layers.Rescaling, ("scale", "offset")),
    "Reshape": (layers.Reshape, ("target_shape",)),
    "ZeroPadding2D": (layers.ZeroPadding2D, ("padding",)),
}
MERGES = ("Add", "Multiply")
NAME = re.compile(r"\w[\w.-]*", re.ASCII)  # of a layer
MODELS = ("Functional", "Model", "Sequential")

# Allowed names in settings, in lower case without underscores; GlorotUniform and glorot_uniform are equal.
ACTIVATIONS = ("linear", "relu", "relu6", "sigmoid", "silu", "swish")
TRAINING_ONLY = {
    "initializer": (
        "constant",
        "glorotnormal",
        "glorotuniform",
        "henormal",
        "heuniform",
        "ones",
        "randomnormal",
        "randomuniform",
        "truncatednormal",
        "variancescaling",
        "zeros",
    ),
    "regularizer": ("l1", "l2", "l1l2"),
    "constraint": ("maxnorm", "minmaxnorm", "nonneg", "unitnorm"),
}


def read_legacy_h5(path) -> keras.Model:
    """Rebuild the network of a `.h5` file of Keras 2.

    Returns:
        The model, float32, not compiled.

    Raises:
        ValueError: not HDF5, truncated, not a complete model, an unknown layer or setting, a link to another file, or
            arrays that are missing or do not fit. The message does not name the file; `weights.load_model` adds the
            name.
    """
    check_hdf5(path)
    with h5py.File(path, "r") as file:
        nodes, output = _graph(_model_config(file))
        weights = _member(file, "model_weights", h5py.Group)
        datasets = {node["name"]: _datasets(weights, node["name"]) for node in nodes}
        held = sum(dataset.size for arrays in datasets.values() for dataset in arrays)
        if held > MAX_PARAMETERS:
            raise ValueError(f"its arrays are too large. Received {held} numbers; expected at most {MAX_PARAMETERS}")
        return _rebuild(nodes, output, datasets)


# --------------------------------------------------------------------------------------------------------------------
# The graph in the JSON
# --------------------------------------------------------------------------------------------------------------------


def _model_config(file) -> dict:
    """Return the model's configuration."""
    if "model_config" not in file.attrs:
        raise ValueError(
            "it has no model_config: it holds weights only, or is not of Keras; expected a complete saved model"
        )
    model_config = json.loads(file.attrs["model_config"])
    if not isinstance(model_config, dict) or model_config.get("class_name") not in MODELS:
        raise ValueError(f"its model_config describes no model of class {', '.join(MODELS)}")
    return model_config


def _graph(model_config) -> tuple[list[dict], str]:
    """Return every layer as {"name", "class_name", "config", "sources"}, and the name of the output layer, checked."""
    config = model_config["config"]
    sequential = model_config["class_name"] == "Sequential"
    nodes = []
    for entry in config["layers"]:
        class_name, settings = entry["class_name"], entry["config"]
        if not isinstance(class_name, str) or class_name not in ("InputLayer", *LAYERS):
            raise ValueError(f"unknown layer class. Received {class_name!r}; known: InputLayer, {', '.join(LAYERS)}")
        name = settings["name"]
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in {node["name"] for node in nodes}:
            raise ValueError(f"layer names must be plain words, each used once. Received {name!r}")
        if sequential:
            sources = [nodes[-1]["name"]] if nodes else []
        else:
            sources = _sources(name, entry["inbound_nodes"])
        _check_settings(name, settings)
        nodes.append({"name": name, "class_name": class_name, "config": settings, "sources": sources})
    if sequential:
        return nodes, nodes[-1]["name"]
    if len(config["input_layers"]) != 1 or len(config["output_layers"]) != 1:
        raise ValueError(
            f"expected one input and one output. Received {config['input_layers']}, {config['output_layers']}"
        )
    return nodes, config["output_layers"][0][0]


def _sources(name, inbound_nodes) -> list[str]:
    """Return the names of a layer's inputs: Keras 2 wrote [[[layer, node, tensor, keywords], ...]]."""
    if inbound_nodes == []:
        return []
    if len(inbound_nodes) != 1 or not isinstance(inbound_nodes[0], list):
        raise ValueError(f"layer {name!r} is not called once, in the form of Keras 2")
    for source in inbound_nodes[0]:
        if not isinstance(source, list) or not isinstance(source[0], str) or source[1:] != [0, 0, {}]:
            raise ValueError(f"layer {name!r} has an input that is not a plain tensor. Received {source!r}")
    return [source[0] for source in inbound_nodes[0]]


def _check_settings(name, settings):
    """Raise an error for an unknown name in a layer's settings."""
    for key, value in settings.items():
        known = ACTIVATIONS if key == "activation" else TRAINING_ONLY.get(key.rpartition("_")[2])
        if known is None or value is None:
            continue
        label = value.get("class_name") if isinstance(value, dict) and key != "activation" else value
        if not isinstance(label, str) or label.replace("_", "").lower() not in known:
            raise ValueError(f"layer {name!r} has an unknown {key}. Received {value!r}; known: {', '.join(known)}")
    if settings.get("data_format") not in (None, "channels_last"):
        raise ValueError(f"layer {name!r} has data_format {settings['data_format']!r}; expected channels_last")
    if settings.get("axis", -1) not in (-1, 3, [-1], [3]):
        raise ValueError(f"layer {name!r} normalises axis {settings['axis']!r}; expected the last")


def _is_plain(value) -> bool:
    """Return whether a value consists of numbers, None, the two paddings, and lists of them."""
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float)) or value in ("same", "valid")


# --------------------------------------------------------------------------------------------------------------------
# The arrays
# --------------------------------------------------------------------------------------------------------------------


def _member(group, path, kind):
    """Return the member of a group at `path`, by hard links only: soft and external links may lead to other files."""
    for part in path.split("/"):
        link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
        if link is None:
            raise ValueError(f"{path!r} is missing in it")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(
                f"{path!r} is a link ({type(link).__name__}) that may lead to another file; it is not followed"
            )
        group = group[part]
    if not isinstance(group, kind):
        raise ValueError(f"{path!r} is not a {kind.__name__}")
    return group


def _datasets(weights, name) -> list:
    """Return the datasets of a layer in order, not read yet."""
    group = _member(weights, name, h5py.Group)
    names = group.attrs.get("weight_names", ())
    datasets = [_member(group, _text(weight_name), h5py.Dataset) for weight_name in names]
    for dataset in datasets:
        if dataset.external or dataset.is_virtual:
            raise ValueError(f"the array {dataset.name!r} lies in another file; it is not followed")
        if dataset.dtype.kind not in "fiu":
            raise ValueError(f"the array {dataset.name!r} must hold numbers. Received dtype {dataset.dtype}")
    return datasets


def _text(name) -> str:
    """Return a name of HDF5 as text."""
    return name.decode() if isinstance(name, bytes) else str(name)


def _expected_shapes(layer, channels) -> list[tuple]:
    """Return the shapes of a layer's arrays in the order of Keras 2, for inputs with this many channels."""
    if isinstance(layer, layers.Conv2D):
        kernel, outputs = (*layer.kernel_size, channels // layer.groups, layer.filters), layer.filters
    elif isinstance(layer, layers.DepthwiseConv2D):
        kernel, outputs = (*layer.kernel_size, channels, layer.depth_multiplier), channels * layer.depth_multiplier
    elif isinstance(layer, layers.Dense):
        kernel, outputs = (channels, layer.units), layer.units
    elif isinstance(layer, layers.BatchNormalization):
        return [(channels,)] * (2 + layer.scale + layer.center)
    elif isinstance(layer, layers.Normalization):
        return [(channels,), (channels,), ()]
    else:
        return []
    return [kernel, (outputs,)] if layer.use_bias else [kernel]


# --------------------------------------------------------------------------------------------------------------------
# The network
# --------------------------------------------------------------------------------------------------------------------


def _rebuild(nodes, output, datasets) -> keras.Model:
    """Build the graph of Keras' own layers and set their arrays.

    Shapes are compared before a layer is built, so that memory is limited by the file's own arrays.
    """
    tensors, inputs = {}, []
    for node in nodes:
        name, config = node["name"], node["config"]
        if node["class_name"] == "InputLayer":
            tensors[name] = _input(name, config)
            inputs.append(tensors[name])
        else:
            layer = _layer(name, node["class_name"], config)
            called_on = _called_on(node, tensors)
            _check_shapes(layer, called_on[0].shape[-1], datasets[name])
            tensors[name] = layer(called_on if len(called_on) > 1 else called_on[0])  # (batch, ...)
            layer.set_weights([np.asarray(dataset[()], dtype="float32") for dataset in datasets[name]])
            if isinstance(layer, layers.Normalization):
                layer.finalize_state()
        if math.prod(tensors[name].shape[1:]) > MAX_TENSOR:
            raise ValueError(f"layer {name!r} is too large. Received shape {tensors[name].shape}")
    if len(inputs) != 1 or output not in tensors:
        raise ValueError(f"expected one input and a known output. Received {len(inputs)} inputs, output {output!r}")
    return keras.Model(inputs[0], tensors[output])


def _called_on(node, tensors) -> list:
    """Return the tensors that a layer is called on, outputs of earlier layers."""
    name, sources = node["name"], node["sources"]
    if not set(sources) <= set(tensors):
        raise ValueError(f"layer {name!r} is called on layers that do not precede it. Received {sources}")
    if not sources or (len(sources) > 1) != (node["class_name"] in MERGES):
        raise ValueError(f"layer {name!r} is called on the wrong number of tensors. Received {sources}")
    return [tensors[source] for source in sources]


def _check_shapes(layer, channels, datasets):
    """Raise an error unless the stored arrays have the shapes of a layer."""
    held = [dataset.shape for dataset in datasets]
    expected = _expected_shapes(layer, channels)
    if held != expected:
        raise ValueError(f"the arrays of layer {layer.name!r} do not fit. Received shapes {held}; expected {expected}")


def _input(name, config):
    """Return the input of a network of images."""
    shape = config["batch_input_shape"]
    if len(shape) != 4 or shape[0] is not None or shape[3] != 3 or not all(isinstance(side, int) for side in shape[1:]):
        raise ValueError(f"the input is not an image. Received shape {shape}; expected [null, height, width, 3]")
    return keras.Input(tuple(shape[1:]), name=name, dtype="float32")


def _layer(name, class_name, config):
    """Return Keras' own layer of a class name and settings."""
    stock, keys = LAYERS[class_name]
    settings = {key: config[key] for key in keys if key in config}
    if not all(_is_plain(value) for key, value in settings.items() if key != "activation"):
        raise ValueError(f"layer {name!r} has settings that are not plain values. Received {settings}")
    return stock(**settings, name=name, dtype="float32")
