"""The VGG19-like backbone of Hsu et al. (Fig. 7) and its blocks, with all channel counts times a width."""

import keras
from keras import layers, ops

BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))  # convolutions, channels; max-pooling after each block
TOP, TOP_KERNELS = 2048, (7, 1)  # channels and kernel sizes of the two convolutions after the last block
EPSILON = 1e-5  # of BatchNorm


def vgg19(image, width: float, bn_momentum: float) -> keras.Model:
    """Build the backbone.

    Args:
        image: input (batch, size, size, channels), of which the mean channel, the grey level, is used.
        width: factor on all channel counts.
        bn_momentum: momentum of BatchNorm's moving statistics.

    Returns:
        A model to features (batch, size / 32, size / 32, 2048 width), sizes rounded up. Its layers "pool3" and "pool4"
        are for skip connections: (batch, size / 8, size / 8, 256 width) and (batch, size / 16, size / 16, 512 width).
    """
    features = ops.mean(image, axis=-1, keepdims=True)  # (batch, size, size, 1)
    for number, (count, channels) in enumerate(BLOCKS, start=1):
        for _ in range(count):
            features = conv_block(features, scale_channels(channels, width), 3, bn_momentum)
        features = layers.MaxPooling2D(2, padding="same", name=f"pool{number}")(features)
    for kernel in TOP_KERNELS:
        features = conv_block(features, scale_channels(TOP, width), kernel, bn_momentum)
    return keras.Model(image, features, name="vgg19")


def scale_channels(channels: int, width: float) -> int:
    """Return the number of channels or units at a width, at least one."""
    return max(1, round(channels * width))


def conv_block(features, channels: int, kernel: int, bn_momentum: float):
    """Apply convolution, BatchNorm and ReLU."""
    features = layers.Conv2D(channels, kernel, padding="same", kernel_initializer="he_normal")(features)
    return _normalise(features, bn_momentum)


def dense_block(features, units: int, bn_momentum: float):
    """Apply a fully connected layer, BatchNorm and ReLU."""
    return _normalise(layers.Dense(units, kernel_initializer="he_normal")(features), bn_momentum)


def _normalise(features, bn_momentum: float):
    features = layers.BatchNormalization(momentum=bn_momentum, epsilon=EPSILON)(features)
    return layers.ReLU()(features)
