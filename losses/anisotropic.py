"""Anisotropic loss: errors along a face's curves cost less than errors across them (by its running head: Rayhan, "Not
all points are created equal"; Sec. 3.1).

With z the true landmarks, x the predicted ones, and t the unit tangent of the true curve at z_i:

    t_i = z_(i+1) - z_(i-1), normalised                     Eq. 4; at the ends of an open curve one-sided, Eq. 5
    W_i = t t^T / a^2 + (I - t t^T) / b^2                   Eqs. 3 and 6; a > b, and W_i = I at corners
    Q   = sum over i of (x_i - z_i)^T W_i (x_i - z_i)       Eq. 2, without a square root

Every landmark follows exactly one rule, given by its layout (face_datasets/layouts.py): a corner has W = I; a landmark
on a curve has the W above; one on no curve (the chin of COFW and AFLW) has no tangent, t = 0, which leaves W = I / b^2.

The published b is 3. The published a is illegible in our copy of the text, which has "a<ds"; 5 is a guess that fits the
glyphs and a > b, and is not verified. The list of corners is not published either.

Errors are in pixels of a crop of `image_size`. The unit only scales the loss, but in normalised coordinates the
gradients (25 times smaller along curves than those of L2) would come near the epsilon of Adam, which then slows down.
"""

import keras
import numpy as np
from keras import ops

from config import ANISOTROPY, LOSS_REFERENCE_SIZE, PACKAGE
from losses.base import FaceLoss

_SAME = 1e-6  # normalised coordinates; landmarks closer than this coincide and have no direction


def tangents(landmarks, neighbours):
    """Return the unit tangent of its curve at every landmark.

    Args:
        landmarks: (batch, points, 2), in normalised coordinates, or in a smaller unit such as pixels.
        neighbours: (points, 2) indices, see face_datasets.layouts.Layout.neighbours.

    Returns:
        (batch, points, 2); zero where a landmark's neighbours coincide, or are the same one.
    """
    before, after = np.asarray(neighbours).T  # (points,) each
    chord = ops.take(landmarks, after, axis=1) - ops.take(landmarks, before, axis=1)  # (batch, points, 2)
    squared = ops.sum(ops.square(chord), axis=-1, keepdims=True)  # (batch, points, 1)
    distinct = squared > _SAME**2
    length = ops.sqrt(ops.where(distinct, squared, ops.ones_like(squared)))  # the slope of sqrt(0) is infinite
    return ops.where(distinct, chord, ops.zeros_like(chord)) / length


def anisotropic_loss(
    y_true, y_pred, neighbours, corners, a=ANISOTROPY[0], b=ANISOTROPY[1], image_size=LOSS_REFERENCE_SIZE
):
    """Return the anisotropic loss of every face, (batch,); for the arguments see `AnisotropicLoss`."""
    _check(a, b, image_size)
    y_pred = ops.convert_to_tensor(y_pred)
    shape = (-1, len(neighbours), 2)
    true = ops.reshape(ops.cast(y_true, y_pred.dtype), shape)  # (batch, points, 2)
    error = ops.reshape(y_pred, shape) - true
    along = ops.square(ops.sum(tangents(true, neighbours) * error, axis=-1))  # (batch, points)
    squared = ops.square(error[..., 0]) + ops.square(error[..., 1])  # (batch, points)
    is_corner = np.isin(np.arange(len(neighbours)), corners)  # (points,)
    weighted = ops.where(is_corner, squared, along / a**2 + (squared - along) / b**2)
    return image_size**2 * ops.mean(weighted, axis=-1) / 2


def _check(a, b, image_size):
    if not a >= b > 0:
        raise ValueError(f"a is the freedom along a curve, b across. Received a={a}, b={b}; expected a >= b > 0")
    if not image_size > 0:
        raise ValueError(f"image_size is a side in pixels, above 0. Received {image_size}")


@keras.saving.register_keras_serializable(PACKAGE)
class AnisotropicLoss(FaceLoss):
    """Anisotropic loss: Q / 2N of the module's formulas, so that a = b = 1 is the mean squared error in pixels.

    ```python
    along = (t @ (x - z)) ** 2
    loss = mean(along / a**2 + (norm(x - z) ** 2 - along) / b**2) / 2  # at corners without a and b
    ```

    Targets and predictions are (batch, 2N), interleaved normalised coordinates.

    Args:
        neighbours: (N, 2) indices of the points before and after each landmark on its curve.
        corners: indices of the corners.
        a: freedom along a curve, in units of a corner's.
        b: freedom across a curve; a >= b > 0.
        image_size: side in pixels of the crop in whose pixels errors are measured.

    Raises:
        ValueError: a, b or image_size out of range.

    Example:

    >>> loss = AnisotropicLoss(neighbours=[(0, 1), (0, 1)], corners=[], a=4, b=2, image_size=100)
    >>> loss([[0.0, 0.0, 0.1, 0.0]], [[0.02, 0.0, 0.1, 0.02]])  # 2 pixels along, 2 across: (4 / 16 + 4 / 4) / 4
    0.3125
    """

    function = staticmethod(anisotropic_loss)

    def __init__(
        self,
        neighbours,
        corners,
        a=ANISOTROPY[0],
        b=ANISOTROPY[1],
        image_size=LOSS_REFERENCE_SIZE,
        name="anisotropic",
        **kwargs,
    ):
        _check(a, b, image_size)
        layout = {"neighbours": np.asarray(neighbours).tolist(), "corners": np.asarray(corners).tolist()}
        super().__init__(name, {**layout, "a": float(a), "b": float(b), "image_size": image_size}, **kwargs)
