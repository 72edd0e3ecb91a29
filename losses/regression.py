"""Point losses: L1, L2, smooth L1 and Wing, which score every coordinate by itself.

Targets and predictions are (batch, 2N) in the unit of `image_utility.to_targets`, shares of the crop's side. L1 and L2
stay in it. Smooth L1 and Wing change their form at an error that is meant in pixels, so they turn errors into pixels of
a crop of `image_size`. That is one stated size, not the network's input: a threshold of 2 pixels of 224 is the same
share of the face at every input.

Every function returns the mean over the coordinates of each face, (batch,), as Keras' own losses do. `FaceLoss` makes
a loss of Keras of such a function, here, in losses/anisotropic.py, pixelwise/ and ace_net/.
"""

import keras
from keras import ops

from config import LOSS_REFERENCE_SIZE, PACKAGE
from losses.base import FaceLoss

SMOOTH_L1_THRESHOLD = 1.0  # pixels
WING_WIDTH, WING_CURVATURE = 10.0, 2.0  # w and epsilon of Wing loss; its authors' values, of 256 px probably


def l1(y_true, y_pred):
    """Mean absolute error, in sides of the crop."""
    return ops.mean(_distance(y_true, y_pred), axis=-1)


def l2(y_true, y_pred):
    """Mean squared error, in squared sides of the crop."""
    return ops.mean(ops.square(_distance(y_true, y_pred)), axis=-1)


def smooth_l1(y_true, y_pred, threshold=SMOOTH_L1_THRESHOLD, image_size=LOSS_REFERENCE_SIZE):
    """Smooth L1 (Girshick, Fast R-CNN, ICCV 2015, Eq. 3), in pixels of a crop of `image_size`.

    x^2 / (2 threshold) for errors x below the threshold and x - threshold / 2 above; value and slope are continuous.

    Raises:
        ValueError: a number that is not above 0.
    """
    _check_positive(threshold=threshold, image_size=image_size)
    pixels = image_size * _distance(y_true, y_pred)  # (batch, 2N)
    near = ops.square(pixels) / (2 * threshold)
    return ops.mean(ops.where(pixels < threshold, near, pixels - threshold / 2), axis=-1)


def wing(y_true, y_pred, width=WING_WIDTH, curvature=WING_CURVATURE, image_size=LOSS_REFERENCE_SIZE):
    """Wing loss (Feng et al., CVPR 2018, Eq. 5), in pixels of a crop of `image_size`.

    w ln(1 + x / epsilon) for errors x below w, which makes small errors count, and x - C above, where
    C = w - w ln(1 + w / epsilon) joins the branches.

    Args:
        width: w, in pixels. curvature: epsilon, in pixels.

    Raises:
        ValueError: a number that is not above 0.
    """
    _check_positive(width=width, curvature=curvature, image_size=image_size)
    pixels = image_size * _distance(y_true, y_pred)  # (batch, 2N)
    near = width * ops.log1p(pixels / curvature)
    offset = width - width * ops.log1p(width / curvature)
    return ops.mean(ops.where(pixels < width, near, pixels - offset), axis=-1)


def _distance(y_true, y_pred):
    """The absolute error of every coordinate, (batch, 2N), in sides of the crop."""
    y_pred = ops.convert_to_tensor(y_pred)
    return ops.abs(ops.cast(y_true, y_pred.dtype) - y_pred)


def _check_positive(**numbers):
    for name, value in numbers.items():
        if not value > 0:
            raise ValueError(f"{name} is a length in pixels. Received {value}; above 0 is right")


@keras.saving.register_keras_serializable(PACKAGE)
class L1Loss(FaceLoss):
    """See `l1`."""

    function = staticmethod(l1)

    def __init__(self, name="l1", **kwargs):
        super().__init__(name, **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class L2Loss(FaceLoss):
    """See `l2`."""

    function = staticmethod(l2)

    def __init__(self, name="l2", **kwargs):
        super().__init__(name, **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class SmoothL1Loss(FaceLoss):
    """See `smooth_l1`."""

    function = staticmethod(smooth_l1)

    def __init__(self, threshold=SMOOTH_L1_THRESHOLD, image_size=LOSS_REFERENCE_SIZE, name="smooth_l1", **kwargs):
        _check_positive(threshold=threshold, image_size=image_size)
        super().__init__(name, {"threshold": threshold, "image_size": image_size}, **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class WingLoss(FaceLoss):
    """See `wing`."""

    function = staticmethod(wing)

    def __init__(
        self, width=WING_WIDTH, curvature=WING_CURVATURE, image_size=LOSS_REFERENCE_SIZE, name="wing", **kwargs
    ):
        _check_positive(width=width, curvature=curvature, image_size=image_size)
        super().__init__(name, {"width": width, "curvature": curvature, "image_size": image_size}, **kwargs)
