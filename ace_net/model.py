"""The network of ACE-Net: three sets of heatmaps, two at 1/8 of the input, one at 1/2 (Sec. 5.3, Appendix B).

Figure 11, which has the layers, cannot be read; this network is ours. A pyramid of features at 1/2, 1/4 and 1/8 of the
grey input goes through two hourglasses at 1/8. Each gives a set of maps, which the next part sees; then two steps
upwards, each joined by the pyramid's features of its size, give the fine set. A convolution with a channel for each map
at least comes before its maps: read linearly from fewer channels, they could not all differ.

The pyramid is replaceable: `small_pyramid`, or the features of any Keras application at those sizes.
"""

import keras
from keras import layers, ops

from ace_net.config import COARSE_STRIDE, FINE_STRIDE
from cnn_model import Network, backbone
from config import ModelArch

HEAT_CHANNELS = (16, 32, 64)  # of the small pyramid, at 1/2, 1/4 and 1/8 of the input
HOURGLASS_DEPTH = 3
FINE_CHANNELS = 32  # of the features that the fine maps are read from, where there are fewer maps


def heatmap_network(network: Network, maps: int, input_size: int, bn_momentum: float) -> keras.Model:
    """A network from images (batch, input_size, input_size, 3), RGB in [0, 1], to three sets of maps, float32: two
    (batch, input_size / 8, input_size / 8, maps) and one (batch, input_size / 2, input_size / 2, maps).

    Args:
        network: ModelArch.ACE for the small pyramid, or a Keras application, whose features are then the pyramid.
        bn_momentum: momentum of BatchNorm's moving statistics.

    Raises:
        ValueError: a size that the hourglasses cannot halve, or a backbone without features of some size.
    """
    step = COARSE_STRIDE * 2**HOURGLASS_DEPTH
    if input_size % step:
        raise ValueError(f"the input's side must be a multiple of {step}. Received {input_size}")
    image = keras.Input((input_size, input_size, 3), name="image")
    grey = ops.image.rgb_to_grayscale(image)  # (batch, size, size, 1)
    if network.arch == ModelArch.ACE:
        half, quarter, eighth = small_pyramid(grey, bn_momentum)
    else:
        half, quarter, eighth = application_pyramid(network, grey, bn_momentum)
    width = HEAT_CHANNELS[-1]
    features = _convolution(eighth, width, 1, bn_momentum)
    outputs = []
    for number in (1, 2):
        features = _hourglass(features, HOURGLASS_DEPTH, bn_momentum)
        found = _maps(features, maps, f"coarse_{number}")
        outputs.append(found)
        features = layers.Add()([features, layers.Conv2D(width, 1)(found)])
    fine, middle, _ = HEAT_CHANNELS
    for skip, channels, joined in ((quarter, middle, middle), (half, fine, max(FINE_CHANNELS, maps))):
        features = layers.UpSampling2D(2)(_convolution(features, channels, 1, bn_momentum))
        features = layers.Add()([features, _convolution(skip, channels, 1, bn_momentum)])
        features = _convolution(features, joined, 3, bn_momentum)
    outputs.append(_maps(features, maps, "fine"))
    return keras.Model(image, outputs, name=str(network.arch))


def small_pyramid(grey, bn_momentum: float) -> list:
    """Features at 1/2, 1/4 and 1/8 of grey images: one strided convolution each, and a residual block at 1/8."""
    features, pyramid = grey, []
    for channels in HEAT_CHANNELS:
        features = _convolution(features, channels, 3, bn_momentum, strides=2)
        pyramid.append(features)
    pyramid[-1] = _residual(features, bn_momentum)
    return pyramid


def application_pyramid(network: Network, grey, bn_momentum: float) -> list:
    """The last features of a Keras application at 1/2, 1/4 and 1/8 of grey images."""
    size = grey.shape[1]
    image = layers.Concatenate()([grey, grey, grey])
    features = backbone(network, image, bn_momentum)
    pyramid = []
    for stride in (FINE_STRIDE, 2 * FINE_STRIDE, COARSE_STRIDE):
        sized = [
            layer.output
            for layer in features.layers
            if getattr(layer.output, "shape", ())[1:3] == (size // stride,) * 2
        ]
        if not sized:
            raise ValueError(f"{network.arch} has no features at 1/{stride} of its input; another network is right")
        pyramid.append(sized[-1])
    return pyramid


def _hourglass(features, depth: int, bn_momentum: float):
    """Features of every size down to 1 / 2^depth, and back: what lies beside stays, what lies below is added."""
    below = _residual(layers.MaxPooling2D(2)(features), bn_momentum)
    if depth > 1:
        below = _hourglass(below, depth - 1, bn_momentum)
    return layers.Add()([features, layers.UpSampling2D(2)(_residual(below, bn_momentum))])


def _residual(features, bn_momentum: float):
    channels = features.shape[-1]
    inner = _convolution(features, channels, 3, bn_momentum)
    inner = layers.Conv2D(channels, 3, padding="same", use_bias=False)(inner)
    inner = layers.BatchNormalization(momentum=bn_momentum)(inner)
    return layers.ReLU()(layers.Add()([features, inner]))


def _convolution(features, channels: int, size: int, bn_momentum: float, strides: int = 1):
    features = layers.Conv2D(channels, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal")(
        features
    )
    return layers.ReLU()(layers.BatchNormalization(momentum=bn_momentum)(features))


def _maps(features, maps: int, name: str):
    """A set of maps, float32 under every precision policy, near 0 in a new network."""
    start = keras.initializers.RandomNormal(stddev=1e-3)
    return layers.Conv2D(maps, 1, kernel_initializer=start, dtype="float32", name=name)(features)
