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
from networks.heatmap_ops import crop_to, soft_argmax

MAP_CHANNELS = 96  # of the features before the heatmaps
MAP_SPREAD = 0.05  # standard deviation of the initial weights of the heatmaps' layer
MAPS_LAYER = "maps"  # name of that layer
MAP_STRIDE = 4  # pixels of the input per pixel of a heatmap


@keras.saving.register_keras_serializable(PACKAGE, name="MeanPlace")  # its name in published weights
class SoftArgmax(layers.Layer):
    """Soft-argmax of heatmaps of a square crop, float32 under every precision policy.

    Takes maps (batch, side, side, points); returns targets (batch, 2 * points), see image_utility.to_targets.

    Args:
        size: side of the crop in pixels.
        stride: pixels of the crop per pixel of a map; default 4.
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
    """Build the soft-argmax branch on a backbone.

    Args:
        backbone: a network of cnn_model.backbone.
        skip_layers: names of its layers at 1/8 and 1/16 of the input.
        points: number of landmarks.
        bn_momentum: momentum of BatchNorm's moving statistics.

    Returns:
        targets (batch, 2 * points), near the crop's centre in a new network
    """
    features = _reduce(backbone.output, bn_momentum)
    for name in reversed(skip_layers):
        skip = backbone.get_layer(name).output
        features = crop_to(_double(features), skip.shape[1])
        features = _mix(layers.Add()([features, _reduce(skip, bn_momentum)]), bn_momentum)
    features = crop_to(_double(features), -(-backbone.input_shape[1] // MAP_STRIDE))
    features = _mix(features, bn_momentum)
    initializer = keras.initializers.RandomNormal(stddev=MAP_SPREAD)
    maps = layers.Conv2D(points, 1, kernel_initializer=initializer, dtype="float32", name=MAPS_LAYER)(features)
    return SoftArgmax(backbone.input_shape[1], name="places")(maps)  # the layer's name in published weights


def _double(features):
    return layers.UpSampling2D(2, interpolation="bilinear")(features)


def _reduce(features, bn_momentum: float):
    """Return features of MAP_CHANNELS channels: a 1 x 1 convolution, BatchNorm and ReLU6."""
    features = layers.Conv2D(MAP_CHANNELS, 1, use_bias=False)(features)
    return layers.ReLU(6.0)(layers.BatchNormalization(momentum=bn_momentum)(features))


def _mix(features, bn_momentum: float):
    """Apply a depthwise separable convolution: a 3 x 3 depthwise one, then `_reduce`."""
    features = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(features)
    features = layers.ReLU(6.0)(layers.BatchNormalization(momentum=bn_momentum)(features))
    return _reduce(features, bn_momentum)
