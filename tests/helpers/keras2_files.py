"""A writer of .h5 files in the layout of Keras 2 (TF 2.6), and edits of their JSON."""

import json

import h5py
import numpy as np
from keras import layers


def keras2_settings(layer):
    """Return a layer's settings as Keras 2 wrote them."""
    settings = layer.get_config()
    for key, value in settings.items():
        if isinstance(value, dict):
            settings[key] = {"class_name": value["class_name"], "config": value["config"]}
        elif value == "silu":
            settings[key] = "swish"
    settings["dtype"] = "float32"
    if isinstance(layer, layers.InputLayer):
        settings["batch_input_shape"] = settings.pop("batch_shape")
    if isinstance(layer, layers.DepthwiseConv2D):
        settings["groups"] = 1
    if isinstance(layer, layers.BatchNormalization):
        settings["axis"] = [3]
    return settings


def keras2_layer(layer):
    fixed = isinstance(layer, layers.Dropout) and layer.noise_shape is not None
    calls = [] if isinstance(layer, layers.InputLayer) else [_sources(layer)]
    class_name = "FixedDropout" if fixed else type(layer).__name__
    return {"class_name": class_name, "config": keras2_settings(layer), "name": layer.name, "inbound_nodes": calls}


def _sources(layer):
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    return [[tensor._keras_history.operation.name, 0, 0, {}] for tensor in tensors]


def write_keras2(model, path, compiled=False, edit=lambda model_config: None):
    """Write a complete model; `edit` may change the JSON before."""
    model_config = {
        "class_name": "Functional",
        "config": {
            "name": "model",
            "layers": [keras2_layer(layer) for layer in model.layers],
            "input_layers": [[model.layers[0].name, 0, 0]],
            "output_layers": [[model.layers[-1].name, 0, 0]],
        },
    }
    edit(model_config)
    with h5py.File(path, "w") as file:
        file.attrs.update(keras_version="2.6.0", backend="tensorflow", model_config=json.dumps(model_config))
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [layer.name for layer in model.layers]
        for layer in model.layers:
            group = weights.create_group(layer.name)
            names = [f"{layer.name}/{variable.name}:0" for variable in layer.weights]
            group.attrs["weight_names"] = np.array(names, dtype=object) if names else np.zeros(0)
            for name, array in zip(names, layer.get_weights(), strict=True):
                group[name] = array
        if compiled:
            file.attrs["training_config"] = json.dumps({"loss": "mse", "optimizer_config": {"class_name": "Adam"}})
            file.create_group("optimizer_weights").attrs["weight_names"] = ["Adam/iter:0"]
    return path


def layer_in(model_config, name):
    return next(layer for layer in model_config["config"]["layers"] if layer["name"] == name)


def setting(name, key, value):
    """Return an edit that changes one setting of one layer."""
    return lambda model_config: layer_in(model_config, name)["config"].update({key: value})


def entry(name, key, value):
    """Return an edit that changes an entry of one layer other than its settings."""
    return lambda model_config: layer_in(model_config, name).update({key: value})


HUGE = 10**9
