"""The cascade: Deep Alignment Network (Kowalski et al., CVPR Workshops 2017), three stages that correct each other.

Every stage adds a displacement to the landmarks before it. The first starts at the mean face. The others see the image
moved so that the landmarks before them lie as the mean face does, a map of how near each pixel is to a landmark, and an
image that the stage before has made of its features. With VGG19's width the channels are the paper's.

All stages are scored and trained together, in one run of the one training path; Kowalski et al. train one after the
other. What a stage corrects is a constant to it, so no stage is trained by the next except through the feature image.
Coordinates are flat targets throughout: shares of the crop's side, from its centre, with the sign turned.
"""

import keras
import numpy as np
from keras import layers, ops

from cnn_model import Network, backbone
from config import PACKAGE
from face_datasets.catalogue import Dataset
from image_utility import from_grid
from networks.heatmap_ops import bilinear_sample, cut
from networks.vgg import conv_block, dense_block, scaled

STAGES, INPUT_SIDE, DROPOUT = 3, 112, 0.5  # of the paper; the side in pixels
CHANNELS, CONVOLUTIONS, FEATURES = (64, 128, 256, 512), 2, 256  # of a stage; max-pooling after each pair


def build_cascade(network: Network, dataset: Dataset, input_size: int, bn_momentum: float) -> keras.Model:
    """A network from images to the landmarks after each stage, flat targets (batch, stages, 2 * points), float32.

    A larger input is shrunk to INPUT_SIDE. Of a network with a backbone of its own, that backbone is every stage's.
    """
    side = min(input_size, INPUT_SIDE)
    image = keras.Input((input_size, input_size, 3), name="image")
    grey = ops.mean(image, axis=-1, keepdims=True)  # (batch, input_size, input_size, 1)
    if side < input_size:
        grey = layers.Resizing(side, side)(grey)
    mean = MeanFace(dataset.outputs, name="mean_face")(image)  # (batch, 2 * points)
    displacement, features = _stage(network, dataset.outputs, side, 1, bn_momentum, 1)(grey)
    found = [layers.Add(dtype="float32")([mean, displacement])]
    for number in range(2, STAGES + 1):
        moved, near, there, pose = Realign(input_size, dtype="float32")([grey, found[-1], mean])
        seen = layers.Concatenate()([moved, near, _feature_image(features, side)])  # (batch, side, side, 3)
        displacement, features = _stage(network, dataset.outputs, side, 3, bn_momentum, number)(seen)
        found.append(Restore(dtype="float32")([layers.Add(dtype="float32")([there, displacement]), pose]))
    stages = layers.Activation("linear", dtype="float32", name="landmarks")(ops.stack(found, axis=1))
    return keras.Model(image, stages, name=f"{network.short_name}_cascade")


def _stage(network: Network, outputs: int, side: int, channels: int, bn_momentum: float, number: int) -> keras.Model:
    """One stage: (batch, side, side, channels) to the displacement (batch, outputs) and the features (batch, units)."""
    image = keras.Input((side, side, channels), name="seen")
    if network.application is None:
        features = image
        for width in CHANNELS:
            for _ in range(CONVOLUTIONS):
                features = conv_block(features, scaled(width, network.width), 3, bn_momentum)
            features = layers.MaxPooling2D(2, padding="same")(features)
    else:
        colours = ops.concatenate([image] * 3, axis=-1) if channels == 1 else image  # as its weights are made for
        seen = keras.Input((side, side, 3))
        features = keras.Model(seen, backbone(network, seen, bn_momentum).output, name="backbone")(colours)
    features = layers.Dropout(DROPOUT)(layers.Flatten()(features))
    features = dense_block(features, scaled(FEATURES, network.width), bn_momentum)
    displacement = layers.Dense(outputs, kernel_initializer="zeros", dtype="float32", name="displacement")(features)
    return keras.Model(image, [displacement, features], name=f"stage_{number}")


def _feature_image(features, side: int):
    """A linear layer to an image of half the side, enlarged: (batch, side, side, 1)."""
    half = -(-side // 2)
    image = layers.Dense(half * half, activation="relu")(features)
    return cut(layers.UpSampling2D(2)(layers.Reshape((half, half, 1))(image)), side)


@keras.saving.register_keras_serializable(PACKAGE)
class MeanFace(layers.Layer):
    """The mean face, which training data give once, for every image of a batch: (batch, outputs)."""

    def __init__(self, outputs: int, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.outputs = outputs

    def build(self, input_shape):
        self.face = self.add_weight(shape=(self.outputs,), initializer="zeros", trainable=False, name="face")

    def call(self, image):
        return ops.zeros((ops.shape(image)[0], 1), "float32") + self.face

    def compute_output_spec(self, image):
        return keras.KerasTensor((image.shape[0], self.outputs), "float32")

    def get_config(self):
        return {**super().get_config(), "outputs": self.outputs}


@keras.saving.register_keras_serializable(PACKAGE)
class Realign(layers.Layer):
    """Moves, turns and scales image and landmarks so that the landmarks lie on the mean face as well as can be.

    Takes [image (batch, side, side, 1), landmarks, mean face, both (batch, 2 * points)]. Gives the moved image; a map
    1 / (1 + pixels to the nearest landmark), alike; the moved landmarks; and the pose (batch, 4): a, b and the shift of
    q = [[a, -b], [b, a]] p + shift, by which `Restore` goes back.

    input_size: side of the network's input, in whose pixels the targets are counted; the image may be smaller.
    """

    def __init__(self, input_size: int, **kwargs):
        super().__init__(**kwargs)
        self.input_size = input_size

    def call(self, inputs):
        image, landmarks, mean = (ops.stop_gradient(value) for value in inputs)
        side, points = image.shape[1], landmarks.shape[1] // 2
        landmarks = ops.reshape(landmarks, (-1, points, 2))
        pose = _similarity(landmarks, ops.reshape(mean, (-1, points, 2)))
        moved = _move(landmarks, pose)  # (batch, points, 2)
        line = _line_as_targets(side, self.input_size)
        grid = np.stack([np.tile(line, side), np.repeat(line, side)], axis=-1)  # (side * side, 2), row by row
        places = _inverse_similarity(ops.convert_to_tensor(grid)[None], pose)
        seen = _warp(image, side * (float(line[0]) - places))
        across, down = (ops.convert_to_tensor(line)[None, :, None] - moved[:, None, :, k] for k in (0, 1))
        squares = ops.square(across)[:, None, :, :] + ops.square(down)[:, :, None, :]  # (batch, side, side, points)
        near = 1 / (1 + side * ops.sqrt(ops.min(squares, axis=-1, keepdims=True)))
        return seen, near, ops.reshape(moved, (-1, 2 * points)), pose

    def compute_output_spec(self, inputs):
        image, landmarks, _ = inputs
        spec = [image.shape, image.shape, landmarks.shape, (landmarks.shape[0], 4)]
        return tuple(keras.KerasTensor(shape, "float32") for shape in spec)

    def get_config(self):
        return {**super().get_config(), "input_size": self.input_size}


@keras.saving.register_keras_serializable(PACKAGE)
class Restore(layers.Layer):
    """[landmarks (batch, 2 * points), pose (batch, 4)] back to where `Realign` took them from."""

    def call(self, inputs):
        landmarks, pose = inputs
        shape = (-1, landmarks.shape[1] // 2, 2)
        return ops.reshape(_inverse_similarity(ops.reshape(landmarks, shape), pose), (-1, landmarks.shape[1]))

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs[0].shape, "float32")


def _line_as_targets(side: int, input_size: int) -> np.ndarray:
    """The pixels of a line as targets, (side,). Of a shrunk image each lies in the middle of those it was made of."""
    pixels = from_grid(np.arange(side), input_size / side)  # of the input
    return (0.5 - pixels / input_size).astype(np.float32)


def _similarity(points, aims):
    """The pose (batch, 4) that brings points (batch, n, 2) to the aims with the least sum of squares."""
    middle, aim = ops.mean(points, axis=1), ops.mean(aims, axis=1)  # (batch, 2)
    x, y, u, v = ((p - m[:, None])[..., k] for p, m in ((points, middle), (aims, aim)) for k in (0, 1))  # (batch, n)
    spread = ops.maximum(ops.sum(x * x + y * y, axis=1), 1e-6)  # shares of the side, squared
    a = ops.sum(x * u + y * v, axis=1) / spread
    b = ops.sum(x * v - y * u, axis=1) / spread
    turned = ops.stack([a * middle[:, 0] - b * middle[:, 1], b * middle[:, 0] + a * middle[:, 1]], axis=-1)
    return ops.concatenate([ops.stack([a, b], axis=-1), aim - turned], axis=-1)


def _move(points, pose):
    """Points (batch, n, 2) by a pose (batch, 4)."""
    a, b = pose[:, None, 0], pose[:, None, 1]
    x, y = points[..., 0], points[..., 1]
    return ops.stack([a * x - b * y, b * x + a * y], axis=-1) + pose[:, None, 2:]


def _inverse_similarity(points, pose):
    """The inverse of `_move`; points (batch or 1, n, 2)."""
    a, b = pose[:, None, 0], pose[:, None, 1]
    size = ops.maximum(a * a + b * b, 1e-6)
    shifted = points - pose[:, None, 2:]
    x, y = shifted[..., 0], shifted[..., 1]
    return ops.stack([(a * x + b * y) / size, (a * y - b * x) / size], axis=-1)


def _warp(image, places):
    """The image (batch, side, side, 1) at places (batch, side * side, 2), pixels; bilinear, edge pixels repeated."""
    side = image.shape[1]
    seen = bilinear_sample(ops.reshape(image, (-1, 1, side, side)), places[:, None])  # (batch, 1, side * side)
    return ops.reshape(seen, (-1, side, side, 1))
