"""The networks: the table NETWORKS, building them, and transferring weights.

`CNNModel().get_model` builds a network of NETWORKS from scratch: image / 255 in, 2N numbers out. Its backbone is one of
`keras.applications`, without the input scaling that Keras adds to EfficientNet, or `networks.vgg`; global average
pooling, dropout and a linear layer follow. `backbone` builds the backbone only.
"""

import os
from dataclasses import dataclass

import keras

from config import ModelArch, get_row
from networks.spatial_head import MAPS_LAYER, soft_argmax_branch
from networks.vgg import vgg19
from networks.weights import load_model


@dataclass(frozen=True)
class Network:
    """One network: backbone and head. The head is global average pooling, dropout and a linear layer of 2N outputs.

    Args:
        arch: its name.
        application: the Keras application that is its backbone; None for our own (networks/vgg.py, ace_net/model.py).
        dropout: rate before the linear layer.
        short_name: part of the names of weights files.
        skip_layers: its layers at 1/8 and 1/16 of the input, which heatmap heads take as skip connections; none where
            the network has a head of its own only.
        input_size: side of the input in pixels.
        head_scale: factor on the pooled features before the linear layer, and so on initial predictions and on the
            effect of an optimizer step.
        width: factor on every channel count of pixelwise/, of its backbone and of its heads.
        spatial: whether a soft-argmax branch is added to the pooled prediction (networks/spatial_head.py).
    """

    arch: ModelArch
    application: str | None
    dropout: float
    short_name: str
    skip_layers: tuple[str, ...]
    input_size: int = 224
    head_scale: float = 1.0
    width: float = 1.0
    spatial: bool = False


NETWORKS = {
    network.arch: network
    for network in (
        # application, dropout, short name, skip layers
        Network(ModelArch.MNV2, "MobileNetV2", 0.1, "mnv2", ("block_5_add", "block_12_add")),
        Network(ModelArch.EFNB0, "EfficientNetB0", 0.5, "EF_0", ("block3b_add", "block5c_add")),
        Network(ModelArch.EFNB3, "EfficientNetB3", 0.5, "EF_3", ("block3c_add", "block5e_add")),
        Network(ModelArch.RN50, "ResNet50", 0.1, "rn50", ("conv3_block4_out", "conv4_block6_out")),
        Network(ModelArch.DN121, "DenseNet121", 0.1, "dn121", ("pool3_relu", "pool4_relu")),
        Network(ModelArch.VGG19, None, 0.1, "vgg19", ("pool3", "pool4")),
        Network(ModelArch.VGG19S, None, 0.1, "vgg19s", ("pool3", "pool4"), width=0.25),
        Network(ModelArch.ACE, None, 0.0, "ace", (), input_size=256),
    )
}


def get_network(arch: "ModelArch | str") -> Network:
    """Return the row of a network, by member or its string.

    Raises:
        ValueError: no such network.
    """
    return get_row(NETWORKS, arch, "network")


_LINEAR, _SCALE = "landmarks", "head_scale"  # names of layers


class CNNModel:
    """The original's interface to the networks."""

    def get_model(self, arch, output_len, input_size=None, bn_momentum=0.99) -> keras.Model:
        """Build a network with random weights.

        Args:
            arch: a `config.ModelArch` or its string; or a `Network`, a row of its own.
            output_len: number of outputs, 2N for N landmarks.
            input_size: side of the input in pixels; None is the network's own, 224.
            bn_momentum: of BatchNorm's moving statistics. Keras' own for MobileNetV2, 0.999, is too slow for a run of a
                few thousand steps.

        Returns:
            A model from images (batch, input_size, input_size, 3), RGB in [0, 1], to (batch, output_len), unbounded
            float32 under every precision policy.

        Raises:
            ValueError: no such network.
        """
        network = arch if isinstance(arch, Network) else get_network(arch)
        size = input_size or network.input_size
        image = keras.Input((size, size, 3), name="image")  # (batch, size, size, 3)
        base = backbone(network, image, bn_momentum)
        features = keras.layers.GlobalAveragePooling2D(name="pool")(base.output)  # (batch, channels)
        features = keras.layers.Dropout(network.dropout, name="dropout")(features)
        if network.head_scale != 1:
            features = keras.layers.Rescaling(network.head_scale, name=_SCALE)(features)
        landmarks = keras.layers.Dense(  # (batch, output_len)
            output_len, kernel_initializer="he_uniform", dtype="float32", name=_LINEAR
        )(features)
        if network.spatial:
            spatial = soft_argmax_branch(base, network.skip_layers, output_len // 2, bn_momentum)
            landmarks = keras.layers.Add(dtype="float32", name="sum")([landmarks, spatial])
        return keras.Model(image, landmarks, name=str(network.arch))


def linear_head(model: keras.Model) -> keras.layers.Dense:
    """Return the linear layer of the head, the last one of its kind."""
    return next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Dense))


def head_scale(model: keras.Model) -> float:
    """Return the factor on the pooled features before the last layer."""
    return next((layer.scale for layer in model.layers if layer.name == _SCALE), 1.0)


def backbone(network: Network, image, bn_momentum: float) -> keras.Model:
    """Build a row of NETWORKS without its head.

    A Keras application has fixed input scaling and BatchNorm momentum, so its graph is cloned: cloning can change the
    configuration of a layer, and leaves out layers that are not called. Explicit padding before strided layers stays;
    the "same" padding of other implementations adds the same pixels.

    Args:
        network: a row of NETWORKS.
        image: an input (batch, size, size, channels) in [0, 1].
        bn_momentum: of BatchNorm's moving statistics.

    Raises:
        ValueError: the network has a head of its own only.
    """
    if not network.skip_layers:
        raise ValueError(f"{network.arch} predicts heatmaps. Received it for a method that regresses landmarks")
    if network.application is None:
        return vgg19(image, network.width, bn_momentum)
    application = getattr(keras.applications, network.application)
    original = application(include_top=False, weights=None, input_shape=tuple(image.shape[1:]))

    def clone(layer):
        settings = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            settings["momentum"] = bn_momentum
        return type(layer).from_config(settings)

    def call(layer, tensor, **options):
        if isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)):
            return tensor
        return layer(tensor, **options)

    return keras.models.clone_model(original, input_tensors=image, clone_function=clone, call_function=call)


def take_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Transfer the weights of a file to a network of the same layers, with any input size.

    If the file's network predicts other landmarks, the layers that predict them (the linear head, and the heatmaps of
    networks/spatial_head.py) keep their weights. Both networks have the spatial head, or neither.

    Args:
        model: the network.
        path: of the weights file.

    Raises:
        ValueError: the file holds another network, or cannot be read; see `load_model`.
    """
    source = load_model(path)
    theirs, ours = ([layer for layer in one.layers if layer.weights] for one in (source, model))
    last = [layer for layer in ours if layer.name in (_LINEAR, MAPS_LAYER)] or ours[-1:]
    other = [mine for their, mine in zip(theirs, ours, strict=False) if _shapes(their) != _shapes(mine)]
    if len(theirs) != len(ours) or not set(other) <= set(last):
        raise ValueError(
            f"{path} does not fit this network. Received {len(theirs)} layers with weights and an output of "
            f"{source.output_shape}; expected {len(ours)} and {model.output_shape}, with the same --head"
        )
    if other:
        print(f"{path} has other outputs, {source.output_shape}: its last layers are not transferred")
    for their, mine in zip(theirs, ours, strict=True):
        if not other or mine not in last:
            weights = their.get_weights()
            if mine.name == _LINEAR:
                weights[0] *= head_scale(source) / head_scale(model)
            mine.set_weights(weights)


def _shapes(layer: keras.layers.Layer) -> list[tuple[int, ...]]:
    """Return the shapes of a layer's weights."""
    return [tuple(variable.shape) for variable in layer.weights]
