"""The heads: maps of the size of the input, or coordinates through fully connected layers, on any backbone.

Every head takes a row of config.NETWORKS. With VGG19 the networks are those of the paper, to the last parameter.
"""

import keras
from keras import layers

from cnn_model import Network, backbone
from face_datasets.catalogue import Dataset
from networks.heatmap_ops import cut
from networks.vgg import dense_block, scaled

SHORTCUT_KERNEL = 4  # of the deconvolutions to the two shortcuts, stride 2
LAST_KERNEL, LAST_STRIDE = 16, 8  # of the deconvolution to the input's size
DIRECT_UNITS = (1024, 256)  # fully connected layers of direct regression


def build_maps(
    network: Network, dataset: Dataset, input_size: int, bn_momentum: float, background: bool, classes: bool = False
) -> keras.Model:
    """A network from images to maps (batch, input_size, input_size, points), float32 under every precision policy.

    The features are reduced to one channel for each map and enlarged by deconvolutions, onto which the two shortcuts of
    the backbone are added (fully convolutional networks; Fig. 3 and 4 of the paper). Where a side is no multiple of 32,
    what stands over at the right and at the bottom is cut off.

    Args:
        background: one map more, the last one, for the pixels that are no landmark.
        classes: the maps are classes; a pixel's logarithms of their probabilities come out. Otherwise nothing bounds
            what comes out.
    """
    maps = dataset.layout.points + background
    image = keras.Input((input_size, input_size, 3), name="image")
    base = backbone(network, image, bn_momentum)
    features = layers.Conv2D(maps, 1, name="score")(base.output)
    for name in reversed(network.skip_layers):
        shortcut = base.get_layer(name).output
        features = layers.Conv2DTranspose(shortcut.shape[-1], SHORTCUT_KERNEL, strides=2, padding="same")(features)
        features = layers.Add()([cut(features, shortcut.shape[1]), shortcut])
    features = layers.Conv2DTranspose(maps, LAST_KERNEL, strides=LAST_STRIDE, padding="same", name="enlarge")(features)
    last = "log_softmax" if classes else "linear"
    features = layers.Activation(last, dtype="float32", name="maps")(cut(features, input_size))
    return keras.Model(image, features, name=f"{network.short_name}_maps")


def build_direct(network: Network, dataset: Dataset, input_size: int, bn_momentum: float) -> keras.Model:
    """Direct regression (Fig. 1): the features, flattened, through two fully connected blocks to 2N linear outputs,
    which start at their bias: random weights would start with landmarks all over the picture."""
    image = keras.Input((input_size, input_size, 3), name="image")
    features = layers.Flatten()(backbone(network, image, bn_momentum).output)
    for units in DIRECT_UNITS:
        features = dense_block(features, scaled(units, network.width), bn_momentum)
    outputs = layers.Dense(dataset.outputs, kernel_initializer="zeros", dtype="float32", name="landmarks")(features)
    return keras.Model(image, outputs, name=f"{network.short_name}_direct")  # (batch, 2 * points)
