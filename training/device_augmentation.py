"""Moved training faces made on the device that trains: what `batches.CPUAugmentation` does, in `keras.ops`.

All stored faces lie in the device's memory as one row of pixels. The host draws matrices and disturbances as ever and
sends a few hundred bytes for each face; warp, light, blur, noise and cover are one compiled function. It does not round
to whole grey levels on the way, so its images differ from the host's by a level or two, more only at sharp edges, where
OpenCV's warp works in 32nds of a pixel.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from face_datasets.face_dataset import FaceDataset
from image_utility import BLUR_REACH, NOISE_ROOM, invert, noise_plane

LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as OpenCV's
MAX_INDEX = 2**31 - 1  # of an int32


class GPUAugmentation:
    """Applies drawn moves with `keras.ops`; a batch stays on the device, except with TensorFlow, whose `fit` takes what
    a data set gives through the host's memory.

    Args:
        faces: the training faces, at most 2^31 pixels of them. size: side of the images in pixels.

    Raises:
        ValueError: the faces have too many pixels.
    """

    def __init__(self, faces: FaceDataset, size: int):
        self.size = size
        self._extents = np.array([image.shape[1::-1] for image in faces.images], np.int32)  # (faces, 2) width, height
        ends = np.cumsum(self._extents.prod(axis=1, dtype=np.int64))
        if ends[-1] > MAX_INDEX:
            raise ValueError(
                f"too many faces for one device. Received {ends[-1]} pixels; at most {MAX_INDEX} are right, so "
                "take --augment-on cpu, or a smaller --input-size"
            )
        self._starts = np.concatenate([[0], ends[:-1]]).astype(np.int32)  # (faces,)
        self._pixels = ops.convert_to_tensor(np.concatenate([image.reshape(-1, 3) for image in faces.images]))
        self._noise = ops.convert_to_tensor(noise_plane(size))
        self._sample = _compiled(sample)

    def __call__(self, chosen: Sequence[int], matrices: np.ndarray, disturbances: np.ndarray):
        """As `CPUAugmentation`, but the images are a tensor of the backend."""
        places = {
            "start": self._starts[chosen],
            "extent": self._extents[chosen],
            "back": invert(matrices).astype(np.float32),
        }
        drawn = {name: np.ascontiguousarray(disturbances[name]) for name in disturbances.dtype.names}
        return self._sample(self._pixels, self._noise, places, drawn)


def _compiled(function: Callable) -> Callable:
    """The function as the backend compiles it; torch runs it as it is."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    return function


def sample(pixels, noise, places, drawn):
    """Images (batch, size, size, 3), float32 in [0, 1].

    Args:
        pixels: (pixels, 3) uint8, all faces one after the other, row by row.
        noise: image_utility.noise_plane of the size.
        places: "start" (batch,), a face's first pixel; "extent" (batch, 2), its width and height; "back" (batch, 2, 3),
            from the image to the stored face.
        drawn: the fields of image_utility.PHOTOMETRIC, each (batch, ...).
    """
    places, drawn = ({name: ops.convert_to_tensor(v) for name, v in d.items()} for d in (places, drawn))
    images = warp(pixels, places, noise.shape[0] - NOISE_ROOM)
    images = color_jitter(images, drawn)
    images = blur(images, drawn["blur"])
    images = add_noise(images, noise, drawn)
    return occlude(images, drawn)


def _each(values):
    """(batch,) or (batch, 3) as factors of images (batch, height, width, 3)."""
    return ops.reshape(ops.cast(values, "float32"), (values.shape[0], 1, 1, -1))


def warp(pixels, places, size):
    """Bilinear images (batch, size, size, 3) of stored faces, in [0, 1]; outside, edge pixels are repeated."""
    x = ops.arange(size, dtype="float32")[None, None, :]  # (1, 1, size)
    y = ops.arange(size, dtype="float32")[None, :, None]  # (1, size, 1)
    back = places["back"][:, :, :, None, None]  # (batch, 2, 3, 1, 1)
    width, height = (places["extent"][:, axis, None, None] for axis in (0, 1))  # (batch, 1, 1)

    def along(axis, extent):
        """Neighbouring columns or rows (batch, size, size), and the share of the second."""
        place = back[:, axis, 0] * x + back[:, axis, 1] * y + back[:, axis, 2]
        place = ops.clip(place, 0.0, ops.cast(extent - 1, "float32"))
        first = ops.floor(place)
        share = (place - first)[..., None]
        first = ops.cast(first, "int32")
        return first, ops.minimum(first + 1, extent - 1), share

    left, right, x_share = along(0, width)
    top, bottom, y_share = along(1, height)

    def colours(row, column):
        return ops.cast(ops.take(pixels, places["start"][:, None, None] + row * width + column, axis=0), "float32")

    above = colours(top, left) * (1 - x_share) + colours(top, right) * x_share
    below = colours(bottom, left) * (1 - x_share) + colours(bottom, right) * x_share
    return (above * (1 - y_share) + below * y_share) / 255


def color_jitter(images, drawn):
    """Light and colour of images (batch, size, size, 3) in [0, 1]."""
    grey = ops.sum(images * ops.convert_to_tensor(LUMA, "float32"), axis=-1, keepdims=True)
    images = ops.where(_each(drawn["grey"]) > 0, grey, images)
    level = ops.power(images, _each(drawn["gamma"]))
    level = ((level - 0.5) * _each(drawn["contrast"]) + 0.5) * _each(drawn["gain"])
    return ops.clip(level, 0.0, 1.0)


def blur(images, sigma):
    """Gaussian blur of images (batch, size, size, 3) with a sigma (batch,) each; the border mirrors, its pixel not.

    Down and across it is one product each with a matrix (size, size), whose row holds the weights of a pixel's
    neighbours: the weight of column j in row i is that of j itself and of its mirror images -j and 2 (size - 1) - j.
    """
    size = images.shape[1]
    sigma = ops.cast(sigma, "float32")[:, None, None]  # (batch, 1, 1)
    radius = ops.ceil(BLUR_REACH * sigma)

    def weight(distance):
        near = ops.exp(-0.5 * ops.square(distance / ops.maximum(sigma, 1e-3)))
        return ops.where(ops.abs(distance) <= radius, near, 0.0)

    i = ops.arange(size, dtype="float32")[None, :, None]
    j = ops.arange(size, dtype="float32")[None, None, :]
    taps = weight(i - j)  # (batch, size, size)
    taps = taps + ops.where(j > 0, weight(i + j), 0.0) + ops.where(j < size - 1, weight(2 * (size - 1) - i - j), 0.0)
    taps = taps / ops.sum(taps, axis=-1, keepdims=True)
    down = ops.einsum("bij,bjxc->bixc", taps, images)
    return ops.einsum("bij,byjc->byic", taps, down)


def add_noise(images, noise, drawn):
    """Sensor noise: each face's part of the plane (size + room, size + room, 3), as strong as drawn."""
    size, side = images.shape[1], noise.shape[0]
    left, top = (drawn["noise_at"][:, axis, None, None] for axis in (0, 1))  # (batch, 1, 1)
    x, y = ops.arange(size, dtype="int32")[None, None, :], ops.arange(size, dtype="int32")[None, :, None]
    part = ops.take(ops.reshape(noise, (-1, 3)), (top + y) * side + left + x, axis=0)  # (batch, size, size, 3)
    return ops.clip(images + part * _each(drawn["noise"]) / 255, 0.0, 1.0)


def occlude(images, drawn):
    """A rectangle over each of the images (batch, size, size, 3): one colour, or a patch of the same image."""
    batch, size = images.shape[0], images.shape[1]
    left, top, right, bottom = (drawn["cover"][:, side, None, None] for side in range(4))  # (batch, 1, 1)
    x, y = ops.arange(size, dtype="int32")[None, None, :], ops.arange(size, dtype="int32")[None, :, None]
    covered = ops.logical_and(ops.logical_and(x >= left, x < right), ops.logical_and(y >= top, y < bottom))
    from_left, from_top = (drawn["patch_at"][:, axis, None, None] for axis in (0, 1))
    column = ops.clip(x - left + from_left, 0, size - 1)
    row = ops.clip(y - top + from_top, 0, size - 1)
    face = ops.arange(batch, dtype="int32")[:, None, None] * (size * size)
    patch = ops.take(ops.reshape(images, (-1, 3)), face + row * size + column, axis=0)
    patch = ops.where(_each(drawn["patch"]) > 0, patch, _each(drawn["colour"]) / 255)
    return ops.where(covered[..., None], patch, images)
