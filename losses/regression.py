"""Smooth L1 and Wing loss, which score every coordinate by itself. (L1 and L2 are Keras' own.)

Targets and predictions are (batch, 2N) in normalised coordinates (crop size = 1), see `image_utility.to_targets`. Both
losses change their form at an error in pixels, so they convert errors to pixels of a crop of `image_size`, one size
whatever the network's input: a threshold of 2 pixels of 224 is the same fraction of the face at every input.

Every function returns the mean over the coordinates of each face, (batch,), as Keras' own losses do.
"""

import keras
from keras import ops

from config import LOSS_REFERENCE_SIZE, PACKAGE
from losses.base import FaceLoss

SMOOTH_L1_THRESHOLD = 1.0  # pixels
WING_WIDTH, WING_CURVATURE = 10.0, 2.0  # w and epsilon of Wing loss; its authors' values, probably of 256 px


def smooth_l1(y_true, y_pred, threshold=SMOOTH_L1_THRESHOLD, image_size=LOSS_REFERENCE_SIZE):
    """Return the smooth L1 loss of every face, (batch,); for the arguments see `SmoothL1Loss`."""
    _check_positive(threshold=threshold, image_size=image_size)
    pixels = image_size * _distance(y_true, y_pred)  # (batch, 2N)
    return keras.losses.huber(ops.zeros_like(pixels), pixels, threshold) / threshold


def wing(y_true, y_pred, width=WING_WIDTH, curvature=WING_CURVATURE, image_size=LOSS_REFERENCE_SIZE):
    """Return Wing loss of every face, (batch,); for the arguments see `WingLoss`."""
    _check_positive(width=width, curvature=curvature, image_size=image_size)
    pixels = image_size * _distance(y_true, y_pred)  # (batch, 2N)
    near = width * ops.log1p(pixels / curvature)
    offset = width - width * ops.log1p(width / curvature)
    return ops.mean(ops.where(pixels < width, near, pixels - offset), axis=-1)


def _distance(y_true, y_pred):
    """Return the absolute error of every coordinate, (batch, 2N), in normalised coordinates."""
    y_pred = ops.convert_to_tensor(y_pred)
    return ops.abs(ops.cast(y_true, y_pred.dtype) - y_pred)


def _check_positive(**numbers):
    for name, value in numbers.items():
        if not value > 0:
            raise ValueError(f"{name} is a length in pixels, above 0. Received {value}")


@keras.saving.register_keras_serializable(PACKAGE)
class SmoothL1Loss(FaceLoss):
    """Smooth L1 (Girshick, Fast R-CNN, ICCV 2015, Eq. 3).

    With x the absolute error of a coordinate in pixels of a crop of `image_size`:

    ```python
    loss = x**2 / (2 * threshold)  if x < threshold  else  x - threshold / 2
    ```

    Args:
        threshold: error in pixels at which the loss becomes linear.
        image_size: side in pixels of the crop in whose pixels errors are measured.

    Raises:
        ValueError: a number that is not above 0.

    Example:

    >>> loss = SmoothL1Loss(threshold=1.0, image_size=100)
    >>> loss([[0.0, 0.0]], [[0.005, 0.03]])  # 0.5 and 3 pixels: (0.125 + 2.5) / 2
    1.3125
    """

    function = staticmethod(smooth_l1)

    def __init__(self, threshold=SMOOTH_L1_THRESHOLD, image_size=LOSS_REFERENCE_SIZE, name="smooth_l1", **kwargs):
        _check_positive(threshold=threshold, image_size=image_size)
        super().__init__(name, {"threshold": threshold, "image_size": image_size}, **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class WingLoss(FaceLoss):
    """Wing loss (Feng et al., CVPR 2018, Eq. 5), which amplifies small errors.

    With x the absolute error of a coordinate in pixels of a crop of `image_size`:

    ```python
    loss = w * ln(1 + x / epsilon)  if x < w  else  x - C
    C = w - w * ln(1 + w / epsilon)  # joins the branches
    ```

    Args:
        width: w, in pixels.
        curvature: epsilon, in pixels.
        image_size: side in pixels of the crop in whose pixels errors are measured.

    Raises:
        ValueError: a number that is not above 0.

    Example:

    >>> loss = WingLoss(width=10.0, curvature=2.0, image_size=100)
    >>> loss([[0.0]], [[0.06]])  # 6 pixels: 10 ln 4
    13.862943
    """

    function = staticmethod(wing)

    def __init__(
        self, width=WING_WIDTH, curvature=WING_CURVATURE, image_size=LOSS_REFERENCE_SIZE, name="wing", **kwargs
    ):
        _check_positive(width=width, curvature=curvature, image_size=image_size)
        super().__init__(name, {"width": width, "curvature": curvature, "image_size": image_size}, **kwargs)
