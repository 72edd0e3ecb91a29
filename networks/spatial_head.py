"""Spatial soft-argmax head (integral regression, Sun et al., ECCV 2018).

Global average pooling discards positions. This branch upsamples the backbone's last features step by step, adds those
of its skip connections at 1/16 and 1/8 of the input (`Network.skip_layers`), and ends in one heatmap for each landmark
at 1/4 of the input resolution. The soft-argmax of a heatmap is the expectation of the position under its softmax, so
that coordinates come out and every loss on coordinates trains it.

The result is added to the pooled head, which starts at the mean face and can predict landmarks outside the crop, as no
expectation over the crop can.
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


def soft_argmax_branch(backbone: keras.Model, skip_layers: tuple[str, ...], points: int, bn_momentum: float):
    """The places (batch, 2 * points), as targets, that maps on a backbone give; near the crop's centre at the start.

    Args:
        backbone: a network of cnn_model.backbone.
        skip_layers: names of its layers at 1/8 and 1/16 of the input.
        bn_momentum: momentum of BatchNorm's moving statistics.
    """
    features = _reduced(backbone.output, bn_momentum)
    for name in reversed(skip_layers):
        shortcut = backbone.get_layer(name).output
        features = cut(layers.UpSampling2D(2, interpolation="bilinear")(features), shortcut.shape[1])
        features = _mixed(layers.Add()([features, _reduced(shortcut, bn_momentum)]), bn_momentum)
    features = cut(
        layers.UpSampling2D(2, interpolation="bilinear")(features), -(-backbone.input_shape[1] // MAP_STRIDE)
    )
    features = _mixed(features, bn_momentum)
    start = keras.initializers.RandomNormal(stddev=MAP_SPREAD)
    maps = layers.Conv2D(points, 1, kernel_initializer=start, dtype="float32", name=MAPS_LAYER)(features)
    return SoftArgmax(backbone.input_shape[1], name="places")(maps)


def _reduced(features, bn_momentum: float):
    """Features of MAP_CHANNELS channels."""
    features = layers.Conv2D(MAP_CHANNELS, 1, use_bias=False)(features)
    return layers.ReLU(6.0)(layers.BatchNormalization(momentum=bn_momentum)(features))


def _mixed(features, bn_momentum: float):
    """Features that have seen their neighbours: a depthwise convolution, then one across the channels."""
    features = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(features)
    features = layers.ReLU(6.0)(layers.BatchNormalization(momentum=bn_momentum)(features))
    return _reduced(features, bn_momentum)
