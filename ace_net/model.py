"""The network of ACE-Net: three sets of heatmaps, two at 1/8 of the input, one at 1/2 (Sec. 5.3, Appendix B).

Figure 11, which shows the layers, is illegible, so that the layers are ours. A pyramid of features at 1/2, 1/4 and 1/8
of the grey input feeds two hourglasses at 1/8. Each predicts a coarse set of maps, which is fed back into the features.
Two upsampling steps with skip connections from the pyramid lead to the fine set. The convolution before the fine maps
has at least as many channels as there are maps, since maps that are linear in fewer channels could not be independent.

The pyramid is replaceable: `small_pyramid`, or the features of a Keras application at these sizes.
"""

import keras
from keras import layers, ops

from ace_net.config import COARSE_STRIDE, FINE_STRIDE
from cnn_model import Network, backbone
from config import ModelArch

HEAT_CHANNELS = (16, 32, 64)  # of the small pyramid, at 1/2, 1/4 and 1/8 of the input
HOURGLASS_DEPTH = 3
FINE_CHANNELS = 32  # before the fine maps, at least


def heatmap_network(network: Network, maps: int, input_size: int, bn_momentum: float) -> keras.Model:
    """Build a network that predicts three sets of heatmaps.

    Args:
        network: the row of ModelArch.ACE for the small pyramid, or of a Keras application whose features are the
            pyramid.
        maps: number of maps in each set.
        input_size: side of the input in pixels, a multiple of 64.
        bn_momentum: momentum of BatchNorm's moving statistics.

    Returns:
        A model from images (batch, input_size, input_size, 3), RGB in [0, 1], to float32 maps: two of
        (batch, input_size / 8, input_size / 8, maps) and one of (batch, input_size / 2, input_size / 2, maps).

    Raises:
        ValueError: a size that the hourglasses cannot halve, or a backbone without features of some size.
    """
    step = COARSE_STRIDE * 2**HOURGLASS_DEPTH
    if input_size % step:
        raise ValueError(f"the input size must be a multiple of {step}. Received {input_size}")
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
        coarse = _maps(features, maps, f"coarse_{number}")
        outputs.append(coarse)
        features = layers.Add()([features, layers.Conv2D(width, 1)(coarse)])
    fine, middle, _ = HEAT_CHANNELS
    for skip, channels, merged in ((quarter, middle, middle), (half, fine, max(FINE_CHANNELS, maps))):
        features = layers.UpSampling2D(2)(_convolution(features, channels, 1, bn_momentum))
        features = layers.Add()([features, _convolution(skip, channels, 1, bn_momentum)])
        features = _convolution(features, merged, 3, bn_momentum)
    outputs.append(_maps(features, maps, "fine"))
    return keras.Model(image, outputs, name=str(network.arch))


def small_pyramid(grey, bn_momentum: float) -> list:
    """Return features at 1/2, 1/4 and 1/8 of grey images: a strided convolution each, a residual block at 1/8."""
    features, pyramid = grey, []
    for channels in HEAT_CHANNELS:
        features = _convolution(features, channels, 3, bn_momentum, strides=2)
        pyramid.append(features)
    pyramid[-1] = _residual(features, bn_momentum)
    return pyramid


def application_pyramid(network: Network, grey, bn_momentum: float) -> list:
    """Return the last features of a Keras application at 1/2, 1/4 and 1/8 of grey images.

    Raises:
        ValueError: it has no features of some size.
    """
    size = grey.shape[1]
    image = layers.Concatenate()([grey, grey, grey])
    base = backbone(network, image, bn_momentum)
    pyramid = []
    for stride in (FINE_STRIDE, 2 * FINE_STRIDE, COARSE_STRIDE):
        sides = (size // stride, size // stride)
        features = [layer.output for layer in base.layers if getattr(layer.output, "shape", ())[1:3] == sides]
        if not features:
            raise ValueError(f"the backbone must have features at 1/{stride} of its input. Received {network.arch}")
        pyramid.append(features[-1])
    return pyramid


def _hourglass(features, depth: int, bn_momentum: float):
    """Apply residual blocks at half, a quarter, ... 1 / 2^depth of the size, with skip connections at each."""
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
    """Apply convolution, BatchNorm and ReLU."""
    features = layers.Conv2D(channels, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal")(
        features
    )
    return layers.ReLU()(layers.BatchNormalization(momentum=bn_momentum)(features))


def _maps(features, maps: int, name: str):
    """Return a set of maps, float32 under every precision policy, close to 0 in a new network."""
    initializer = keras.initializers.RandomNormal(stddev=1e-3)
    return layers.Conv2D(maps, 1, kernel_initializer=initializer, dtype="float32", name=name)(features)
