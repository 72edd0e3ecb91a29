"""Augmentation on the device that trains: what `batches.CPUAugmentation` does, in `keras.ops`.

The device's memory holds all stored faces as one row of pixels. The host draws matrices and photometric augmentation
and sends a few hundred bytes per face; warp, colour, blur, noise and occluder are one compiled function. It does not
round to integer grey levels between the steps, so its images differ from OpenCV's by a level or two, and by more only
at sharp edges, where OpenCV's warp works in 32nds of a pixel.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from face_datasets.face_dataset import FaceDataset
from image_utility import BLUR_RADIUS, NOISE_MARGIN, invert, noise_plane

LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as OpenCV's
MAX_INDEX = 2**31 - 1  # of an int32


class GPUAugmentation:
    """Augmentation with `keras.ops`.

    Batches stay on the device, except with TensorFlow, whose `fit` reads them through the host's memory.

    Args:
        faces: the training faces, at most 2^31 pixels of them.
        size: side of the images in pixels.

    Raises:
        ValueError: the faces have too many pixels.
    """

    def __init__(self, faces: FaceDataset, size: int):
        self._extents = np.array([image.shape[1::-1] for image in faces.images], np.int32)  # (faces, 2) width, height
        ends = np.cumsum(self._extents.prod(axis=1, dtype=np.int64))
        if ends[-1] > MAX_INDEX:
            raise ValueError(
                f"too many faces for one device. Received {ends[-1]} pixels, more than {MAX_INDEX}; use "
                "--augment-on cpu or a smaller --input-size"
            )
        self._starts = np.concatenate([[0], ends[:-1]]).astype(np.int32)  # (faces,)
        self._pixels = ops.convert_to_tensor(np.concatenate([image.reshape(-1, 3) for image in faces.images]))
        self._noise = ops.convert_to_tensor(noise_plane(size))
        self._augment = _compile(augment)

    def __call__(self, faces: FaceDataset, indices: Sequence[int], matrices: np.ndarray, photometric: np.ndarray):
        """Return the augmented images of a batch as a tensor of the backend; arguments as of `CPUAugmentation`."""
        geometry = {
            "start": self._starts[indices],
            "extent": self._extents[indices],
            "inverse": invert(matrices).astype(np.float32),
        }
        drawn = {name: np.ascontiguousarray(photometric[name]) for name in photometric.dtype.names}
        return self._augment(self._pixels, self._noise, geometry, drawn)


def _compile(function: Callable) -> Callable:
    """Return the function compiled by the backend; torch runs it eagerly."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    return function


def augment(pixels, noise, geometry, drawn):
    """Return augmented images (batch, size, size, 3), float32 in [0, 1].

    Args:
        pixels: (pixels, 3) uint8, all faces one after the other, row by row.
        noise: image_utility.noise_plane of the size.
        geometry: "start" (batch,), index of a face's first pixel; "extent" (batch, 2), its width and height; "inverse"
            (batch, 2, 3), from the image to the stored face.
        drawn: the fields of image_utility.PHOTOMETRIC, each (batch, ...).
    """
    geometry, drawn = ({name: ops.convert_to_tensor(v) for name, v in d.items()} for d in (geometry, drawn))
    images = warp(pixels, geometry, noise.shape[0] - NOISE_MARGIN)
    images = color_jitter(images, drawn)
    images = blur(images, drawn["blur"])
    images = add_noise(images, noise, drawn)
    return occlude(images, drawn)


def _per_image(values):
    """Return (batch,) or (batch, 3) as factors of images (batch, height, width, 3)."""
    return ops.reshape(ops.cast(values, "float32"), (values.shape[0], 1, 1, -1))


def warp(pixels, geometry, size):
    """Return bilinear images (batch, size, size, 3) of stored faces, in [0, 1]; edge pixels repeat outside."""
    x = ops.arange(size, dtype="float32")[None, None, :]  # (1, 1, size)
    y = ops.arange(size, dtype="float32")[None, :, None]  # (1, size, 1)
    inverse = geometry["inverse"][:, :, :, None, None]  # (batch, 2, 3, 1, 1)
    width, height = (geometry["extent"][:, axis, None, None] for axis in (0, 1))  # (batch, 1, 1)

    def neighbours(axis, extent):
        """Return both neighbouring columns or rows (batch, size, size), and the weight of the second."""
        position = inverse[:, axis, 0] * x + inverse[:, axis, 1] * y + inverse[:, axis, 2]
        position = ops.clip(position, 0.0, ops.cast(extent - 1, "float32"))
        first = ops.floor(position)
        weight = (position - first)[..., None]
        first = ops.cast(first, "int32")
        return first, ops.minimum(first + 1, extent - 1), weight

    left, right, x_weight = neighbours(0, width)
    top, bottom, y_weight = neighbours(1, height)

    def colours(row, column):
        return ops.cast(ops.take(pixels, geometry["start"][:, None, None] + row * width + column, axis=0), "float32")

    above = colours(top, left) * (1 - x_weight) + colours(top, right) * x_weight
    below = colours(bottom, left) * (1 - x_weight) + colours(bottom, right) * x_weight
    return (above * (1 - y_weight) + below * y_weight) / 255


def color_jitter(images, drawn):
    """Return images (batch, size, size, 3) in [0, 1] with the drawn brightness, contrast, gamma and colour."""
    grey = ops.sum(images * ops.convert_to_tensor(LUMA, "float32"), axis=-1, keepdims=True)
    images = ops.where(_per_image(drawn["grey"]) > 0, grey, images)
    level = ops.power(images, _per_image(drawn["gamma"]))
    level = ((level - 0.5) * _per_image(drawn["contrast"]) + 0.5) * _per_image(drawn["gain"])
    return ops.clip(level, 0.0, 1.0)


def blur(images, sigma):
    """Return images (batch, size, size, 3) under a Gaussian blur with a sigma (batch,) each.

    Borders are reflected without repeating the edge pixel (OpenCV's BORDER_REFLECT_101). Each direction is one product
    with a matrix (size, size): the weight of column j in row i is that of j itself and of its reflections -j and
    2 (size - 1) - j.
    """
    size = images.shape[1]
    sigma = ops.cast(sigma, "float32")[:, None, None]  # (batch, 1, 1)
    radius = ops.ceil(BLUR_RADIUS * sigma)

    def gaussian(distance):
        value = ops.exp(-0.5 * ops.square(distance / ops.maximum(sigma, 1e-3)))
        return ops.where(ops.abs(distance) <= radius, value, 0.0)

    i = ops.arange(size, dtype="float32")[None, :, None]
    j = ops.arange(size, dtype="float32")[None, None, :]
    weights = gaussian(i - j)  # (batch, size, size)
    weights = weights + ops.where(j > 0, gaussian(i + j), 0.0)
    weights = weights + ops.where(j < size - 1, gaussian(2 * (size - 1) - i - j), 0.0)
    weights = weights / ops.sum(weights, axis=-1, keepdims=True)
    vertical = ops.einsum("bij,bjxc->bixc", weights, images)
    return ops.einsum("bij,byjc->byic", weights, vertical)


def add_noise(images, noise, drawn):
    """Return images with sensor noise: each with its part of the noise plane, as strong as drawn."""
    size, side = images.shape[1], noise.shape[0]
    left, top = (drawn["noise_at"][:, axis, None, None] for axis in (0, 1))  # (batch, 1, 1)
    x, y = ops.arange(size, dtype="int32")[None, None, :], ops.arange(size, dtype="int32")[None, :, None]
    part = ops.take(ops.reshape(noise, (-1, 3)), (top + y) * side + left + x, axis=0)  # (batch, size, size, 3)
    return ops.clip(images + part * _per_image(drawn["noise"]) / 255, 0.0, 1.0)


def occlude(images, drawn):
    """Return images (batch, size, size, 3) with a rectangle over each: one colour, or a patch of the same image."""
    batch, size = images.shape[0], images.shape[1]
    left, top, right, bottom = (drawn["occluder"][:, side, None, None] for side in range(4))  # (batch, 1, 1)
    x, y = ops.arange(size, dtype="int32")[None, None, :], ops.arange(size, dtype="int32")[None, :, None]
    occluded = ops.logical_and(ops.logical_and(x >= left, x < right), ops.logical_and(y >= top, y < bottom))
    from_left, from_top = (drawn["patch_at"][:, axis, None, None] for axis in (0, 1))
    column = ops.clip(x - left + from_left, 0, size - 1)
    row = ops.clip(y - top + from_top, 0, size - 1)
    face = ops.arange(batch, dtype="int32")[:, None, None] * (size * size)
    patch = ops.take(ops.reshape(images, (-1, 3)), face + row * size + column, axis=0)
    patch = ops.where(_per_image(drawn["patch"]) > 0, patch, _per_image(drawn["colour"]) / 255)
    return ops.where(occluded[..., None], patch, images)
