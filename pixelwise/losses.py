"""Losses of the heatmap methods and of pixel-wise classification (Hsu et al., Secs. 2.2 and 3), and Adaptive Wing loss.

Targets are flat landmark targets (batch, 2 * points) in normalised coordinates, as for regression; each loss makes its
maps or class indices from them in the graph. Lengths are in pixels of a crop of LOSS_REFERENCE_SIZE at every input
size: the paper's sigma of 3 pixels and its weight of the distance are meant for 224, and half the pixels of half the
crop are the same fraction of the face.

Every function returns one number for each face, (batch,).
"""

import math
import types

import keras
from keras import ops

from config import LOSS_REFERENCE_SIZE, PACKAGE
from losses.base import FaceLoss
from networks.heatmap_ops import masked_mean, safe_sqrt, soft_argmax
from pixelwise.config import MAP_SIGMA
from pixelwise.targets import first_of_pixel, log_gaussians, outer, pixel_indices, to_pixels

HYBRID_BETA = 0.25  # weight of the distance, in pixels of a crop of LOSS_REFERENCE_SIZE, beside the cross-entropy
SHARPNESS = 2.0  # power of the probabilities in `class_soft_argmax`
ADAPTIVE_WING = types.MappingProxyType({"omega": 14.0, "theta": 0.5, "epsilon": 1.0, "alpha": 2.1})  # its authors' own
ADAPTIVE_WING_WEIGHT, ADAPTIVE_WING_MASK = 10.0, 0.2  # weight of the pixels near a landmark; minimum height of these


def distance(y_true, y_pred, image_size=LOSS_REFERENCE_SIZE):
    """Return the mean distance between predicted and true landmarks, in pixels of a crop of `image_size` (Eq. 1).

    Args:
        y_true: (batch, 2 * points).
        y_pred: (batch, 2 * points), or (batch, stages, 2 * points) of a cascade, whose stages have the same weight.
        image_size: pixels; default 224.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    if len(y_pred.shape) == 3:
        y_true = y_true[:, None, :]
    landmarks = math.prod(y_pred.shape[1:]) // 2
    error = ops.reshape(image_size * (y_true - y_pred), (-1, landmarks, 2))
    return ops.mean(_length(error), axis=-1)


def _length(vectors):
    """Return the Euclidean length of vectors (..., 2), with slope 0 at 0."""
    return safe_sqrt(ops.sum(ops.square(vectors), axis=-1))


def distribution(y_true, y_pred, sigma=MAP_SIGMA, image_size=LOSS_REFERENCE_SIZE):
    """Return the sum over landmarks of KL(Gaussian || softmax over the pixels of the map): the distribution model.

    The Gaussian is normalised over the pixels of the map. It is a product of two factors, so that no dense map of it is
    needed:

        KL = sum_y g_y sum_x g_x (log g_x + log g_y) - sum_y g_y sum_x g_x z + log sum exp z

    Args:
        y_true: (batch, 2 * points).
        y_pred: z, (batch, side, side, points), unbounded.
        sigma: in pixels of a crop of `image_size`; default 3.
        image_size: pixels; default 224.
    """
    side, logits = y_pred.shape[1], ops.convert_to_tensor(y_pred)
    along_x, along_y = (ops.log_softmax(line, axis=1) for line in _log_lines(y_true, side, sigma, image_size))
    negative_entropy = sum(ops.sum(ops.exp(line) * line, axis=1) for line in (along_x, along_y))  # (batch, points)
    rows = ops.sum(logits * ops.exp(along_x)[:, None, :, :], axis=2)  # (batch, side, points)
    expected = ops.sum(rows * ops.exp(along_y), axis=1)  # (batch, points)
    return ops.sum(negative_entropy - expected + ops.logsumexp(logits, axis=(1, 2)), axis=-1)


def heatmap(y_true, y_pred, sigma=MAP_SIGMA, image_size=LOSS_REFERENCE_SIZE):
    """Return the sum of squared differences to Gaussians of height 1 and a background map: the heatmap model.

    The background is 1 minus the maximum of the Gaussians.

    Args:
        y_true: (batch, 2 * points).
        y_pred: (batch, side, side, points + 1), the background last.
        sigma: in pixels of a crop of `image_size`; default 3.
        image_size: pixels; default 224.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    gaussians = outer(*(ops.exp(line) for line in _log_lines(y_true, y_pred.shape[1], sigma, image_size)))
    background = 1 - ops.max(gaussians, axis=-1, keepdims=True)
    error = y_pred - ops.concatenate([gaussians, background], axis=-1)
    return ops.sum(ops.square(error), axis=(1, 2, 3))


def adaptive_wing(
    y_true,
    y_pred,
    omega=ADAPTIVE_WING["omega"],
    theta=ADAPTIVE_WING["theta"],
    epsilon=ADAPTIVE_WING["epsilon"],
    alpha=ADAPTIVE_WING["alpha"],
    weight=ADAPTIVE_WING_WEIGHT,
    mask=ADAPTIVE_WING_MASK,
    sigma=MAP_SIGMA,
    image_size=LOSS_REFERENCE_SIZE,
):
    """Return Adaptive Wing loss (Wang et al., ICCV 2019, Eq. 3) with its weighted loss map, the mean over all pixels.

    With d = |y - y'| at a pixel of height y:

        omega ln(1 + (d / epsilon)^(alpha - y))   if d < theta
        A d - C                                   otherwise, A and C for a continuous value and slope

    Pixels have the weight 1 + `weight` where the 3 x 3 dilation of the true heights is at least `mask`, else 1.

    Args:
        y_true: (batch, 2 * points).
        y_pred: (batch, side, side, points).
        omega, theta, epsilon, alpha: of the curve; default: the authors' 14, 0.5, 1 and 2.1.
        weight, mask: of the weighted loss map; default 10 and 0.2.
        sigma: of the Gaussians, in pixels of a crop of `image_size`; default 3.
        image_size: pixels; default 224.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    lines = [ops.exp(line) for line in _log_lines(y_true, y_pred.shape[1], sigma, image_size)]
    height = outer(*lines)
    error = ops.abs(height - y_pred)
    power = alpha - height
    corner = ops.power(theta / epsilon, power)
    slope = omega * power * corner / (theta * (1 + corner))  # A
    offset = theta * slope - omega * ops.log1p(corner)  # C
    near = omega * ops.log1p(ops.power(error / epsilon, power))
    loss = ops.where(error < theta, near, slope * error - offset)
    # heights are not negative, so the maximum of 3 x 3 is the product of the maxima of 3 along x and along y
    highest = outer(*(ops.max_pool(line, 3, strides=1, padding="same", data_format="channels_last") for line in lines))
    return ops.mean((1 + weight * ops.cast(highest >= mask, loss.dtype)) * loss, axis=(1, 2, 3))


def _log_lines(y_true, side: int, sigma: float, image_size: int):
    """Return the logarithms of the two factors of the Gaussians, each (batch, side, points), see `log_gaussians`."""
    return log_gaussians(to_pixels(y_true, side), side, sigma * side / image_size)


def pixelwise(y_true, y_pred):
    """Return the balanced cross-entropy of every pixel's class, a landmark or the background (Eq. 2).

    Only 68 of the 50,176 pixels at 224 px are landmarks: a plain mean would be small for a map of nothing but
    background. The loss is therefore half the mean over the landmarks' pixels plus half the mean over the others. Where
    two landmarks fall on one pixel, either class is correct. A landmark outside the crop has no pixel.

    Args:
        y_true: (batch, 2 * points).
        y_pred: log-probabilities, (batch, side, side, points + 1), the background last.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    side, classes = y_pred.shape[1], y_pred.shape[3]
    indices, inside = pixel_indices(to_pixels(y_true, side), side)
    present = ops.cast(inside, y_pred.dtype)  # (batch, points)
    flat = ops.reshape(y_pred, (-1, side * side * classes))
    own = ops.take_along_axis(flat, indices * classes + ops.arange(classes - 1, dtype="int32"), axis=1)
    landmarks = masked_mean(own, present)

    background = ops.reshape(y_pred[..., -1], (-1, side * side))
    first = ops.cast(first_of_pixel(indices, inside), y_pred.dtype)  # (batch, points), one for each landmark pixel
    at_landmarks = ops.sum(first * ops.take_along_axis(background, indices, axis=1), axis=1)
    others = (ops.sum(background, axis=1) - at_landmarks) / (side * side - ops.sum(first, axis=1))
    return -(landmarks + others) / 2


def class_soft_argmax(log_probabilities, sharpness=SHARPNESS):
    """Return the soft-argmax of the landmarks' class probabilities, raised to the power `sharpness`.

    The cross-entropy of a probability of 1e-4 at every background pixel is low. But 12,544 such pixels together weigh
    more than a peak of 0.8, and would pull the expectation of plain probabilities to the middle of the crop.

    Args:
        log_probabilities: (batch, side, side, points + 1), the background last.
        sharpness: power; default 2.

    Returns:
        x and y, (batch, points, 2), in pixels of the maps.
    """
    return soft_argmax(sharpness * log_probabilities[..., :-1])


def hybrid(y_true, y_pred, beta=HYBRID_BETA, image_size=LOSS_REFERENCE_SIZE, sharpness=SHARPNESS):
    """Return the cross-entropy plus beta times the mean distance of the landmarks inside the crop (Eq. 3, alpha = 1).

    Positions are those of `class_soft_argmax`. The published code uses the argmax, through which no gradient passes, so
    that its distance has no effect on training.

    Args:
        y_true, y_pred: see `pixelwise`.
        beta: weight of the distance in pixels of a crop of `image_size`; default 0.25.
        image_size: pixels; default 224.
        sharpness: see `class_soft_argmax`.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    side = y_pred.shape[1]
    truth = to_pixels(y_true, side)
    _, inside = pixel_indices(truth, side)
    present = ops.cast(inside, y_pred.dtype)
    distances = image_size / side * _length(truth - class_soft_argmax(y_pred, sharpness))  # (batch, points)
    return pixelwise(y_true, y_pred) + beta * masked_mean(distances, present)


@keras.saving.register_keras_serializable(PACKAGE)
class DistanceLoss(FaceLoss):
    """Mean distance between predicted and true landmarks, see `distance`."""

    function = staticmethod(distance)

    def __init__(self, image_size=LOSS_REFERENCE_SIZE, name="distance", **kwargs):
        super().__init__(name, {"image_size": image_size}, **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class DistributionLoss(FaceLoss):
    """Kullback-Leibler divergence of softmax maps from Gaussians, see `distribution`."""

    function = staticmethod(distribution)

    def __init__(self, sigma=MAP_SIGMA, image_size=LOSS_REFERENCE_SIZE, name="distribution", **kwargs):
        super().__init__(name, {"sigma": sigma, "image_size": image_size}, **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class HeatmapLoss(FaceLoss):
    """Squared differences to Gaussian heatmaps and a background map, see `heatmap`."""

    function = staticmethod(heatmap)

    def __init__(self, sigma=MAP_SIGMA, image_size=LOSS_REFERENCE_SIZE, name="heatmap", **kwargs):
        super().__init__(name, {"sigma": sigma, "image_size": image_size}, **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class AdaptiveWingLoss(FaceLoss):
    """Adaptive Wing loss on heatmaps, see `adaptive_wing`."""

    function = staticmethod(adaptive_wing)

    def __init__(
        self,
        omega=ADAPTIVE_WING["omega"],
        theta=ADAPTIVE_WING["theta"],
        epsilon=ADAPTIVE_WING["epsilon"],
        alpha=ADAPTIVE_WING["alpha"],
        weight=ADAPTIVE_WING_WEIGHT,
        mask=ADAPTIVE_WING_MASK,
        sigma=MAP_SIGMA,
        image_size=LOSS_REFERENCE_SIZE,
        name="adaptive_wing",
        **kwargs,
    ):
        curve = {"omega": omega, "theta": theta, "epsilon": epsilon, "alpha": alpha}
        maps = {"weight": weight, "mask": mask, "sigma": sigma, "image_size": image_size}
        super().__init__(name, curve | maps, **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class PixelwiseLoss(FaceLoss):
    """Balanced cross-entropy of pixel-wise classification, see `pixelwise`."""

    function = staticmethod(pixelwise)

    def __init__(self, name="pixelwise", **kwargs):
        super().__init__(name, **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class HybridLoss(FaceLoss):
    """Pixel-wise classification plus distance, see `hybrid`."""

    function = staticmethod(hybrid)

    def __init__(self, beta=HYBRID_BETA, image_size=LOSS_REFERENCE_SIZE, sharpness=SHARPNESS, name="hybrid", **kwargs):
        super().__init__(name, {"beta": beta, "image_size": image_size, "sharpness": sharpness}, **kwargs)
