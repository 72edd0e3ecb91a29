"""Heads on any backbone: maps of the size of the input, or coordinates through fully connected layers.

Every head takes a row of cnn_model.NETWORKS. With VGG19 the networks have exactly the paper's parameters.
"""

import keras
from keras import layers

from cnn_model import Network, backbone
from face_datasets.catalogue import Dataset
from networks.heatmap_ops import crop_to
from networks.vgg import dense_block, scale_channels

SKIP_KERNEL = 4  # of the two transposed convolutions before skip connections, stride 2
LAST_KERNEL, LAST_STRIDE = 16, 8  # of the transposed convolution to the input's size
DIRECT_UNITS = (1024, 256)  # fully connected layers of direct regression


def build_maps(
    network: Network, dataset: Dataset, input_size: int, bn_momentum: float, background: bool, classes: bool = False
) -> keras.Model:
    """Build a fully convolutional network that predicts a map for each landmark (Figs. 3 and 4 of the paper).

    The features are reduced to one channel for each map and upsampled by transposed convolutions, with two skip
    connections from the backbone. Where the input size is no multiple of 32, excess rows and columns are cropped.

    Args:
        network: a row of cnn_model.NETWORKS.
        dataset: whose landmarks are predicted.
        input_size: side of the input in pixels.
        bn_momentum: momentum of BatchNorm's moving statistics.
        background: add a last map, for the pixels of no landmark.
        classes: the maps are classes, and the model returns the log-probabilities of each pixel; default: no
            activation.

    Returns:
        A model from images to maps (batch, input_size, input_size, maps), float32 under every precision policy.
    """
    maps = dataset.layout.points + background
    image = keras.Input((input_size, input_size, 3), name="image")
    base = backbone(network, image, bn_momentum)
    features = layers.Conv2D(maps, 1, name="score")(base.output)
    for name in reversed(network.skip_layers):
        skip = base.get_layer(name).output
        features = layers.Conv2DTranspose(skip.shape[-1], SKIP_KERNEL, strides=2, padding="same")(features)
        features = layers.Add()([crop_to(features, skip.shape[1]), skip])
    features = layers.Conv2DTranspose(maps, LAST_KERNEL, strides=LAST_STRIDE, padding="same", name="enlarge")(features)
    activation = "log_softmax" if classes else "linear"
    features = layers.Activation(activation, dtype="float32", name="maps")(crop_to(features, input_size))
    return keras.Model(image, features, name=f"{network.short_name}_maps")


def build_direct(network: Network, dataset: Dataset, input_size: int, bn_momentum: float) -> keras.Model:
    """Build direct regression (Fig. 1): flattened features, two fully connected blocks, 2N linear outputs.

    The last kernel is 0 in a new network: with random weights it would predict scattered landmarks.

    Returns:
        A model from images (batch, input_size, input_size, 3) to flat targets (batch, 2 * points).
    """
    image = keras.Input((input_size, input_size, 3), name="image")
    features = layers.Flatten()(backbone(network, image, bn_momentum).output)
    for units in DIRECT_UNITS:
        features = dense_block(features, scale_channels(units, network.width), bn_momentum)
    outputs = layers.Dense(dataset.outputs, kernel_initializer="zeros", dtype="float32", name="landmarks")(features)
    return keras.Model(image, outputs, name=f"{network.short_name}_direct")
