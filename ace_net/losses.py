"""Losses of ACE-Net on heatmaps (Secs. 3.2 and 3.3, Appendix A), in keras.ops.

Fully supervised, Eqs. 3 and 4, with true maps H and predicted maps P:

    L = sqrt(mean over pixels of W (H - P)^2),   W = 1 + (alpha - 1) max(H, |H - P|)

Weakly supervised, where a contour is known at landmarks only, Eq. 11:

    L = far + 0.1 landmark + 0.1 line

    landmark = mean over landmarks l of f(C(l))
    line     = mean over the line that joins them of f(max over d of C(p + d n)), |d| <= D
    far      = L with H = 0 over the pixels farther than D from that line

`landmark` makes the contour pass through the landmarks, `line` keeps it within D of the line, and `far` removes heat
elsewhere. Contourness C(p) measures how well the map around p resembles a straight ridge in its best direction; this
maximum over the directions is a closed form of three steerable filters, Eq. 24.

The paper leaves open what |H| counts in Eq. 3. Here the mean is under the root, over the pixels of all annotated maps
of one image: the "weighted root mean square" of the text. Divided by before the root, |H| would reduce the heat terms
to about 1/640, and the landmark and line terms would dominate. W is a weight: no gradient passes through it.
"""

import keras
import numpy as np
from keras import ops

from ace_net.config import CONTOUR_WIDTH, FAR, HEAT_EMPHASIS, LANDMARK_WEIGHT, LINE_WEIGHT, PIXEL_POWER
from ace_net.filters import filters
from ace_net.targets import FullTargets, WeakTargets
from config import ANCHORS, PACKAGE
from losses.base import FaceLoss
from networks.heatmap_ops import bilinear_sample, masked_mean, safe_sqrt

PERFECT_CONTOURNESS, CONTOURNESS_SCALE = 4.92, 1.5  # of f, Sec. 5.3

# --------------------------------------------------------------------------------------------------------------------
# Contourness
# --------------------------------------------------------------------------------------------------------------------


def _band(filter_, size):
    """Return the matrix (size, size) that filters a column of `size` pixels from the left; 0 beyond its ends."""
    half = len(filter_) // 2
    distance = np.arange(size)[None, :] - np.arange(size)[:, None]  # of column and row
    weights = filter_[np.clip(distance + half, 0, 2 * half)]
    return np.where(np.abs(distance) <= half, weights, 0).astype(np.float32)


def responses(heat, sigma=CONTOUR_WIDTH):
    """Return Ra, Rb, Rc and H+^2 filtered with G (Eqs. 18 and 21).

    Rows and columns are filtered by products with band matrices, which on a CPU takes 2/5 of the time of convolutions.

    Args:
        heat: (batch, height, width, maps); outside of a map the heat is 0.
        sigma: width of the filters in pixels.

    Returns:
        Four arrays (batch, maps, height, width).
    """
    height, width = heat.shape[1:3]
    heat = ops.transpose(ops.maximum(heat, 0), (0, 3, 1, 2))  # (batch, maps, height, width)
    columns = [ops.cast(_band(filter_, height), heat.dtype) for filter_ in filters(sigma)]
    rows = [ops.cast(_band(filter_, width).T, heat.dtype) for filter_ in filters(sigma)]
    r_a = ops.matmul(columns[0], ops.matmul(heat, rows[2]))
    r_b = ops.matmul(columns[1], ops.matmul(heat, rows[1])) * (-2 / sigma**2)
    r_c = ops.matmul(columns[2], ops.matmul(heat, rows[0]))
    return r_a, r_b, r_c, ops.matmul(columns[0], ops.matmul(ops.square(heat), rows[0]))


def contourness(heat, sigma=CONTOUR_WIDTH):
    """Return how well the neighbourhood of every pixel resembles a ridge, Eq. 24.

    The template is that of Eq. 16, not clipped, without the constant of Eq. 17. At sigma = 2 a perfect line along the
    grid has 4.92, one in another direction up to 5.00, an empty map 0.

    Args:
        heat: (batch, height, width, maps).
        sigma: width of the ridge in pixels.

    Returns:
        (batch, maps, height, width).
    """
    a, b, c, energy = responses(heat, sigma)
    return a + c + safe_sqrt(ops.square(a - c) + 4 * ops.square(b)) - energy


def contour_loss(score, perfect=PERFECT_CONTOURNESS, scale=CONTOURNESS_SCALE):
    """Return f of Sec. 5.3, which maps contourness to a loss in [0, 1], 0 for a `perfect` ridge."""
    return ops.clip(1 - 2 ** ((score - perfect) / scale), 0, 1)


# --------------------------------------------------------------------------------------------------------------------
# The terms, each (batch,)
# --------------------------------------------------------------------------------------------------------------------


def heat_loss(true, predicted, annotated, alpha=HEAT_EMPHASIS, power=PIXEL_POWER):
    """Return Eqs. 3 and 4 over the annotated maps of every image.

    Args:
        true, predicted: (batch, height, width, maps).
        annotated: (batch, maps), 1 where a map counts, else 0.
        alpha: weight of a completely wrong pixel; that of a correct one is 1.
        power: of |H|, the number of pixels in the annotated maps of one image; with PIXEL_POWER the sum under the root
            is a mean.

    Returns:
        (batch,); 0 where nothing is annotated.
    """
    error = true - predicted
    emphasis = ops.stop_gradient(ops.maximum(true, ops.abs(error)))
    squared = ops.sum((1 + (alpha - 1) * emphasis) * ops.square(error), axis=(1, 2))  # (batch, maps)
    pixels = true.shape[1] * true.shape[2] * ops.maximum(ops.sum(annotated, axis=-1), 1)  # (batch,), |H|
    return safe_sqrt(ops.sum(annotated * squared, axis=-1)) / pixels**power


def far_loss(far, predicted, weak, alpha=HEAT_EMPHASIS, power=PIXEL_POWER):
    """Return Eq. 9: heat where the mask `far`, of the shape of `predicted`, is 1; only of weak maps (batch, maps)."""
    return heat_loss(ops.zeros_like(predicted), predicted * far, weak, alpha, power)


def landmark_loss(score, landmarks, weak, perfect=PERFECT_CONTOURNESS, scale=CONTOURNESS_SCALE):
    """Return Eq. 7: contourness at landmarks.

    Args:
        score: contourness, (batch, maps, height, width).
        landmarks: (batch, maps, n, 3), x, y and 1, or 0 for none.
        weak: (batch, maps), 1 for a weak contour, else 0.
        perfect, scale: see `contour_loss`.
    """
    losses = contour_loss(bilinear_sample(score, landmarks[..., :2]), perfect, scale)  # (batch, maps, n)
    return masked_mean(masked_mean(losses, landmarks[..., 2]), weak)


def line_loss(score, samples, weak, distance=FAR, perfect=PERFECT_CONTOURNESS, scale=CONTOURNESS_SCALE):
    """Return Eq. 8: the largest contourness along the normals of the line between landmarks.

    Args:
        score: contourness, (batch, maps, height, width).
        samples: (batch, maps, n, 4), points of the line and its unit normals there.
        weak: (batch, maps), 1 for a weak contour, else 0.
        distance: D, how far the normals reach, in pixels.
        perfect, scale: see `contour_loss`.
    """
    steps = np.arange(-int(distance), int(distance) + 1, dtype=np.float32)
    points = samples[..., None, :2] + steps[:, None] * samples[..., None, 2:]  # (batch, maps, n, steps, 2)
    maps, count = samples.shape[1:3]
    found = bilinear_sample(score, ops.reshape(points, (-1, maps, count * len(steps), 2)))
    best = ops.max(ops.reshape(found, (-1, maps, count, len(steps))), axis=-1)  # (batch, maps, n)
    return masked_mean(ops.mean(contour_loss(best, perfect, scale), axis=-1), weak)


def terms(
    y_true,
    y_pred,
    alpha=HEAT_EMPHASIS,
    power=PIXEL_POWER,
    sigma=CONTOUR_WIDTH,
    distance=FAR,
    perfect=PERFECT_CONTOURNESS,
    scale=CONTOURNESS_SCALE,
):
    """Return all terms of ACE-Net's loss, by name, each (batch,).

    Args:
        y_true: packed WeakTargets, (batch, n).
        y_pred: (batch, side, side, maps).
        alpha, power: see `heat_loss`.
        sigma: see `contourness`.
        distance: see `line_loss`.
        perfect, scale: see `contour_loss`.
    """
    true = WeakTargets.unpack(y_true, y_pred.shape)
    first = len(ANCHORS)
    contours = y_pred[..., first:]
    score = contourness(contours, sigma)
    return {
        "heat": heat_loss(true.heat, y_pred, true.annotated, alpha, power),
        "far": far_loss(true.heat[..., first:], contours, true.weak, alpha, power),
        "landmark": landmark_loss(score, true.landmarks, true.weak, perfect, scale),
        "line": line_loss(score, true.samples, true.weak, distance, perfect, scale),
    }


def fully_supervised(y_true, y_pred, alpha=HEAT_EMPHASIS, power=PIXEL_POWER):
    """Return Eq. 3 of packed FullTargets (batch, n) and maps (batch, side, side, maps)."""
    true = FullTargets.unpack(y_true, y_pred.shape)
    return heat_loss(true.heat, y_pred, true.annotated, alpha, power)


def weakly_supervised(y_true, y_pred, landmark_weight=LANDMARK_WEIGHT, line_weight=LINE_WEIGHT, **numbers):
    """Return Eq. 3 where a map is known, plus Eq. 11 where a contour is known at landmarks only.

    Args:
        y_true, y_pred, numbers: as `terms` takes them.
        landmark_weight, line_weight: lambda of Eq. 11.
    """
    part = terms(y_true, y_pred, **numbers)
    return part["heat"] + part["far"] + landmark_weight * part["landmark"] + line_weight * part["line"]


# --------------------------------------------------------------------------------------------------------------------
# Losses for Keras
# --------------------------------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable(PACKAGE)
class HeatLoss(FaceLoss):
    """Fully supervised loss on heatmaps, ACE-Net's Eqs. 3 and 4.

    Formula:

        L = sqrt(mean over pixels of W (H - P)^2),   W = 1 + (alpha - 1) max(H, |H - P|)

    Args:
        alpha: weight of a completely wrong pixel; at least 1, default 10.
        power: of the number of pixels, see `heat_loss`; default 0.5, the mean under the root.

    Raises:
        ValueError: alpha below 1.
    """

    function = staticmethod(fully_supervised)

    def __init__(self, alpha=HEAT_EMPHASIS, power=PIXEL_POWER, name="heat", **kwargs):
        super().__init__(name, {"alpha": _checked(alpha), "power": power}, **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class ACELoss(FaceLoss):
    """Weakly supervised loss on heatmaps, ACE-Net's Eqs. 3 to 11.

    Formula:

        L = heat + far + landmark_weight * landmark + line_weight * line

    `heat` is the fully supervised loss over the maps that are known; the other terms are those of weak contours, see
    the module's docstring.

    Args:
        alpha, power: as `HeatLoss` takes them.
        sigma: width of contours in pixels of the heatmap; default 2.
        distance: D, pixels of the heatmap; default 6.
        perfect, scale: of f, see `contour_loss`; default 4.92 and 1.5.
        landmark_weight, line_weight: lambda of Eq. 11; default 0.1.

    Raises:
        ValueError: alpha below 1.
    """

    function = staticmethod(weakly_supervised)

    def __init__(
        self,
        alpha=HEAT_EMPHASIS,
        power=PIXEL_POWER,
        sigma=CONTOUR_WIDTH,
        distance=FAR,
        perfect=PERFECT_CONTOURNESS,
        scale=CONTOURNESS_SCALE,
        landmark_weight=LANDMARK_WEIGHT,
        line_weight=LINE_WEIGHT,
        name="ace",
        **kwargs,
    ):
        of_terms = {"sigma": sigma, "distance": distance, "perfect": perfect, "scale": scale}
        weights = {"landmark_weight": landmark_weight, "line_weight": line_weight}
        super().__init__(name, {"alpha": _checked(alpha), "power": power} | of_terms | weights, **kwargs)


def _checked(alpha):
    if not alpha >= 1:
        raise ValueError(f"alpha, the weight of a wrong pixel, must be at least 1. Received {alpha}")
    return float(alpha)
