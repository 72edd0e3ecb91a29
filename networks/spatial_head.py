"""A head that says where: one map for each landmark, and the mean place of what is bright in it.

Pooled features say what is in a picture but hardly where. Here the backbone's features are enlarged step by step,
joined by those of its shortcuts at a sixteenth and an eighth of the input (`Network.taps`), and become one map of a
fourth of the input for each landmark. The softmax of a map is a distribution over the crop, its mean is a place
(integral regression, Sun et al., ECCV 2018; soft-argmax). Coordinates come out, so every loss of coordinates trains it.

What the maps give is added to the pooled head, which starts at the mean face and can say what no mean can: that a
landmark lies outside the crop.
"""

import keras
import numpy as np
from keras import layers, ops

from config import PACKAGE
from image_utility import from_grid
from networks.heatmap_ops import cut, soft_argmax

MAP_CHANNELS = 96  # of the features that the maps are made of
MAP_SPREAD = 0.05  # standard deviation of their first weights
MAPS_LAYER = "maps"  # name of the layer that makes them
MAP_STRIDE = 4  # pixels of the input for one of a map


@keras.saving.register_keras_serializable(PACKAGE, name="MeanPlace")  # its name in published weights
class SoftArgmax(layers.Layer):
    """The mean place of each map under its softmax, float32 under every precision policy.

    Maps (batch, side, side, points) of a square crop go in, targets (batch, 2 * points) come out, see
    image_utility.to_targets.

    Args:
        size: side of the crop in pixels. stride: pixels of the crop for one of a map.
    """

    def __init__(self, size: int, stride: int = MAP_STRIDE, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.size, self.stride = size, stride

    def build(self, maps_shape):
        pixels = from_grid(np.arange(maps_shape[1]), self.stride)  # of the crop
        self._line = ((self.size / 2 - pixels) / self.size).astype(np.float32)  # (side,), as targets

    def call(self, maps):
        return ops.reshape(soft_argmax(maps, self._line), (-1, 2 * maps.shape[-1]))

    def compute_output_shape(self, maps_shape):
        return maps_shape[0], 2 * maps_shape[-1]

    def get_config(self):
        return {**super().get_config(), "size": self.size, "stride": self.stride}


def soft_argmax_branch(trunk: keras.Model, taps: tuple[str, ...], points: int, bn_momentum: float):
    """The places (batch, 2 * points), as targets, that maps on a backbone give; near the crop's centre at the start.

    Args:
        trunk: a network of cnn_model.backbone. taps: names of its layers at an eighth and a sixteenth of the input.
        bn_momentum: momentum of BatchNorm's moving statistics.
    """
    features = _reduced(trunk.output, bn_momentum)
    for tap in reversed(taps):
        shortcut = trunk.get_layer(tap).output
        features = cut(layers.UpSampling2D(2, interpolation="bilinear")(features), shortcut.shape[1])
        features = _mixed(layers.Add()([features, _reduced(shortcut, bn_momentum)]), bn_momentum)
    features = cut(layers.UpSampling2D(2, interpolation="bilinear")(features), -(-trunk.input_shape[1] // MAP_STRIDE))
    features = _mixed(features, bn_momentum)
    start = keras.initializers.RandomNormal(stddev=MAP_SPREAD)
    maps = layers.Conv2D(points, 1, kernel_initializer=start, dtype="float32", name=MAPS_LAYER)(features)
    return SoftArgmax(trunk.input_shape[1], name="places")(maps)


def _reduced(features, bn_momentum: float):
    """Features of MAP_CHANNELS channels."""
    features = layers.Conv2D(MAP_CHANNELS, 1, use_bias=False)(features)
    return layers.ReLU(6.0)(layers.BatchNormalization(momentum=bn_momentum)(features))


def _mixed(features, bn_momentum: float):
    """Features that have seen their neighbours: a depthwise convolution, then one across the channels."""
    features = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(features)
    features = layers.ReLU(6.0)(layers.BatchNormalization(momentum=bn_momentum)(features))
    return _reduced(features, bn_momentum)
