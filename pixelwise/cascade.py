"""The cascade: Deep Alignment Network (Kowalski et al., CVPR Workshops 2017), three stages that refine each other.

Each stage adds a displacement to the landmarks of the previous one. The first starts at the mean face. The others see
the image aligned so that the previous landmarks lie on the mean face, a heatmap of the distance to the nearest
landmark, and a feature image of the previous stage. With VGG19's width the channels are the paper's.

All stages are supervised and trained together; Kowalski et al. train one after the other. The previous landmarks are a
constant to a stage (no gradient), so a stage is trained by the next one through the feature image only. Coordinates
are flat targets: normalised coordinates (crop size = 1) from the crop's centre, with the sign reversed.
"""

import keras
import numpy as np
from keras import layers, ops

from cnn_model import Network, backbone
from config import PACKAGE
from face_datasets.catalogue import Dataset
from image_utility import from_grid
from networks.heatmap_ops import bilinear_sample, crop_to
from networks.vgg import conv_block, dense_block, scale_channels

STAGES, INPUT_SIDE, DROPOUT = 3, 112, 0.5  # of the paper; the side in pixels
CHANNELS, CONVOLUTIONS, FEATURES = (64, 128, 256, 512), 2, 256  # of a stage; max-pooling after each pair


def build_cascade(network: Network, dataset: Dataset, input_size: int, bn_momentum: float) -> keras.Model:
    """Build the cascade.

    Args:
        network: a row of cnn_model.NETWORKS. The backbone of a Keras application is that of every stage.
        dataset: whose landmarks are predicted.
        input_size: side of the input in pixels; larger ones than INPUT_SIDE are resized to it.
        bn_momentum: momentum of BatchNorm's moving statistics.

    Returns:
        A model from images (batch, input_size, input_size, 3) to the landmarks after each stage, flat targets
        (batch, stages, 2 * points), float32.
    """
    side = min(input_size, INPUT_SIDE)
    image = keras.Input((input_size, input_size, 3), name="image")
    grey = ops.mean(image, axis=-1, keepdims=True)  # (batch, input_size, input_size, 1)
    if side < input_size:
        grey = layers.Resizing(side, side)(grey)
    mean = MeanFace(dataset.outputs, name="mean_face")(image)  # (batch, 2 * points)
    displacement, features = _stage(network, dataset.outputs, side, 1, bn_momentum, 1)(grey)
    landmarks = [layers.Add(dtype="float32")([mean, displacement])]  # of each stage
    for number in range(2, STAGES + 1):
        aligned, near, start, pose = Realign(input_size, dtype="float32")([grey, landmarks[-1], mean])
        channels = layers.Concatenate()([aligned, near, _feature_image(features, side)])  # (batch, side, side, 3)
        displacement, features = _stage(network, dataset.outputs, side, 3, bn_momentum, number)(channels)
        landmarks.append(Restore(dtype="float32")([layers.Add(dtype="float32")([start, displacement]), pose]))
    stages = layers.Activation("linear", dtype="float32", name="landmarks")(ops.stack(landmarks, axis=1))
    return keras.Model(image, stages, name=f"{network.short_name}_cascade")


def _stage(network: Network, outputs: int, side: int, channels: int, bn_momentum: float, number: int) -> keras.Model:
    """Build one stage: (batch, side, side, channels) to displacement (batch, outputs) and features (batch, units)."""
    image = keras.Input((side, side, channels), name="seen")
    if network.application is None:
        features = image
        for width in CHANNELS:
            for _ in range(CONVOLUTIONS):
                features = conv_block(features, scale_channels(width, network.width), 3, bn_momentum)
            features = layers.MaxPooling2D(2, padding="same")(features)
    else:
        colours = ops.concatenate([image] * 3, axis=-1) if channels == 1 else image  # applications take 3 channels
        inner = keras.Input((side, side, 3))
        features = keras.Model(inner, backbone(network, inner, bn_momentum).output, name="backbone")(colours)
    features = layers.Dropout(DROPOUT)(layers.Flatten()(features))
    features = dense_block(features, scale_channels(FEATURES, network.width), bn_momentum)
    displacement = layers.Dense(outputs, kernel_initializer="zeros", dtype="float32", name="displacement")(features)
    return keras.Model(image, [displacement, features], name=f"stage_{number}")


def _feature_image(features, side: int):
    """Return a fully connected layer's image of half the side, upsampled: (batch, side, side, 1)."""
    half = -(-side // 2)
    image = layers.Dense(half * half, activation="relu")(features)
    return crop_to(layers.UpSampling2D(2)(layers.Reshape((half, half, 1))(image)), side)


@keras.saving.register_keras_serializable(PACKAGE)
class MeanFace(layers.Layer):
    """The mean of the training faces, set once, for every image of a batch: (batch, outputs)."""

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
    """Alignment of image and landmarks with the mean face by the best similarity transform (least squares).

    Takes [image (batch, side, side, 1), landmarks, mean face, both (batch, 2 * points)]. Returns

        the aligned image, (batch, side, side, 1)
        a heatmap 1 / (1 + pixels to the nearest landmark), of the same shape
        the aligned landmarks, (batch, 2 * points)
        the pose (batch, 4): a, b and the translation of q = [[a, -b], [b, a]] p + translation, which `Restore` inverts

    Args:
        input_size: side of the network's input in pixels, which the targets refer to; the image may be smaller.
    """

    def __init__(self, input_size: int, **kwargs):
        super().__init__(**kwargs)
        self.input_size = input_size

    def call(self, inputs):
        image, landmarks, mean = (ops.stop_gradient(value) for value in inputs)
        side, points = image.shape[1], landmarks.shape[1] // 2
        landmarks = ops.reshape(landmarks, (-1, points, 2))
        pose = _fit_similarity(landmarks, ops.reshape(mean, (-1, points, 2)))
        aligned = _apply_similarity(landmarks, pose)  # (batch, points, 2)
        line = _pixel_targets(side, self.input_size)
        grid = np.stack([np.tile(line, side), np.repeat(line, side)], axis=-1)  # (side * side, 2), row by row
        sources = _inverse_similarity(ops.convert_to_tensor(grid)[None], pose)
        warped = _warp(image, side * (float(line[0]) - sources))
        across, down = (ops.convert_to_tensor(line)[None, :, None] - aligned[:, None, :, k] for k in (0, 1))
        squares = ops.square(across)[:, None, :, :] + ops.square(down)[:, :, None, :]  # (batch, side, side, points)
        near = 1 / (1 + side * ops.sqrt(ops.min(squares, axis=-1, keepdims=True)))
        return warped, near, ops.reshape(aligned, (-1, 2 * points)), pose

    def compute_output_spec(self, inputs):
        image, landmarks, _ = inputs
        spec = [image.shape, image.shape, landmarks.shape, (landmarks.shape[0], 4)]
        return tuple(keras.KerasTensor(shape, "float32") for shape in spec)

    def get_config(self):
        return {**super().get_config(), "input_size": self.input_size}


@keras.saving.register_keras_serializable(PACKAGE)
class Restore(layers.Layer):
    """The inverse of `Realign` for landmarks: [landmarks (batch, 2 * points), pose (batch, 4)] to landmarks."""

    def call(self, inputs):
        landmarks, pose = inputs
        shape = (-1, landmarks.shape[1] // 2, 2)
        return ops.reshape(_inverse_similarity(ops.reshape(landmarks, shape), pose), (-1, landmarks.shape[1]))

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs[0].shape, "float32")


def _pixel_targets(side: int, input_size: int) -> np.ndarray:
    """Return the pixels of a row as targets, (side,); those of a resized image lie amid the pixels they average."""
    pixels = from_grid(np.arange(side), input_size / side)  # of the input
    return (0.5 - pixels / input_size).astype(np.float32)


def _fit_similarity(points, aims):
    """Return the pose (batch, 4) that maps points (batch, n, 2) to the aims with the least sum of squares."""
    middle, aim = ops.mean(points, axis=1), ops.mean(aims, axis=1)  # (batch, 2)
    x, y, u, v = ((p - m[:, None])[..., k] for p, m in ((points, middle), (aims, aim)) for k in (0, 1))  # (batch, n)
    variance = ops.maximum(ops.sum(x * x + y * y, axis=1), 1e-6)  # times n
    a = ops.sum(x * u + y * v, axis=1) / variance
    b = ops.sum(x * v - y * u, axis=1) / variance
    rotated = ops.stack([a * middle[:, 0] - b * middle[:, 1], b * middle[:, 0] + a * middle[:, 1]], axis=-1)
    return ops.concatenate([ops.stack([a, b], axis=-1), aim - rotated], axis=-1)


def _apply_similarity(points, pose):
    """Return points (batch, n, 2) transformed by a pose (batch, 4)."""
    a, b = pose[:, None, 0], pose[:, None, 1]
    x, y = points[..., 0], points[..., 1]
    return ops.stack([a * x - b * y, b * x + a * y], axis=-1) + pose[:, None, 2:]


def _inverse_similarity(points, pose):
    """Return points (batch or 1, n, 2) transformed by the inverse of a pose (batch, 4)."""
    a, b = pose[:, None, 0], pose[:, None, 1]
    size = ops.maximum(a * a + b * b, 1e-6)
    shifted = points - pose[:, None, 2:]
    x, y = shifted[..., 0], shifted[..., 1]
    return ops.stack([(a * x + b * y) / size, (a * y - b * x) / size], axis=-1)


def _warp(image, points):
    """Return the image (batch, side, side, 1) sampled at points (batch, side * side, 2) in pixels, bilinear.

    Edge pixels are repeated outside of the image.
    """
    side = image.shape[1]
    values = bilinear_sample(ops.reshape(image, (-1, 1, side, side)), points[:, None])  # (batch, 1, side * side)
    return ops.reshape(values, (-1, side, side, 1))
