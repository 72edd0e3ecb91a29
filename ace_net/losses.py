"""Losses of ACE-Net on heatmaps (Secs. 3.2 and 3.3, Appendix A), in keras.ops.

Fully supervised, Eqs. 3 and 4, of true maps H and predicted ones P:

    L = sqrt(mean over pixels of W (H - P)^2),   W = 1 + (alpha - 1) max(H, |H - P|)

Weakly supervised, where a contour is known at landmarks only, Eq. 11:

    L = far + 0.1 landmark + 0.1 line
    landmark    mean over landmarks l of f(C(l))                              the contour passes through them
    line        mean over the line joining them of f(max over d of C(p + d n))    and stays within D of that line
    far         L with H = 0 of the pixels farther than D from it

Contourness C(p) says how well the map around p looks like a straight ridge, whatever its direction. Its maximum over
the directions is a closed form of three steerable filters, Eq. 24.

The paper leaves open what |H| counts in Eq. 3. Here the mean stands under the root, over the pixels of all annotated
maps of one image: the "weighted root mean square" of the text. Counted before the root, over an image, it would be
about 1/640 of that, and the landmark and line terms would swamp it. W is a weight: no gradient goes through it.
"""

import keras
import numpy as np
from keras import ops

from ace_net.config import (
    CONTOUR_POINTS,
    CONTOUR_WIDTH,
    FAR,
    HEAT_EMPHASIS,
    LANDMARK_WEIGHT,
    LINE_SAMPLES,
    LINE_WEIGHT,
    ROOT,
)
from ace_net.filters import filters
from config import ANCHORS, CONTOURS, PACKAGE
from losses.base import FaceLoss
from networks.heatmap_ops import bilinear_sample, masked_mean, safe_sqrt

PERFECT_CONTOURNESS, CONTOURNESS_SCALE = 4.92, 1.5  # of f, Sec. 5.3

# --------------------------------------------------------------------------------------------------------------------
# Contourness
# --------------------------------------------------------------------------------------------------------------------


def _band(filter_, size):
    """The matrix (size, size) that filters a row from the left; beyond its ends there is nothing."""
    half = len(filter_) // 2
    distance = np.arange(size)[None, :] - np.arange(size)[:, None]  # of column and row
    taps = filter_[np.clip(distance + half, 0, 2 * half)]
    return np.where(np.abs(distance) <= half, taps, 0).astype(np.float32)


def responses(heat, sigma=CONTOUR_WIDTH):
    """Ra, Rb, Rc and H+^2 filtered with G (Eqs. 18 and 21) of maps (batch, height, width, maps).

    Rows and columns are filtered by products with band matrices, which on a CPU takes 2/5 of the time of convolutions.

    Returns:
        Four arrays (batch, maps, height, width). Outside a map there is no heat.
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
    """How well the neighbourhood of every pixel looks like a ridge, Eq. 24: (batch, maps, height, width) of maps
    (batch, height, width, maps).

    The unclipped template of Eq. 16 is meant, without the constant of Eq. 17. At sigma = 2 a perfect line along the
    grid has 4.92, one in another direction up to 5.00, an empty map 0.
    """
    a, b, c, energy = responses(heat, sigma)
    return a + c + safe_sqrt(ops.square(a - c) + 4 * ops.square(b)) - energy


def contour_loss(score, perfect=PERFECT_CONTOURNESS, scale=CONTOURNESS_SCALE):
    """f of Sec. 5.3: from contourness to a loss in [0, 1], 0 for a `perfect` ridge."""
    return ops.clip(1 - 2 ** ((score - perfect) / scale), 0, 1)


# --------------------------------------------------------------------------------------------------------------------
# The terms, each (batch,)
# --------------------------------------------------------------------------------------------------------------------


def heat_loss(true, predicted, annotated, alpha=HEAT_EMPHASIS, power=ROOT):
    """Eqs. 3 and 4 over the annotated maps of every image.

    Args:
        true, predicted: (batch, height, width, maps). annotated: (batch, maps), 1 where a map counts, else 0.
        alpha: weight of a wholly wrong pixel. power: of |H|, the pixels of the annotated maps of one image; ROOT makes
            the sum under the root a mean.

    Returns:
        (batch,); 0 where nothing is annotated.
    """
    error = true - predicted
    emphasis = ops.stop_gradient(ops.maximum(true, ops.abs(error)))
    squared = ops.sum((1 + (alpha - 1) * emphasis) * ops.square(error), axis=(1, 2))  # (batch, maps)
    pixels = true.shape[1] * true.shape[2] * ops.maximum(ops.sum(annotated, axis=-1), 1)  # (batch,), |H|
    return safe_sqrt(ops.sum(annotated * squared, axis=-1)) / pixels**power


def far_loss(far, predicted, weak, alpha=HEAT_EMPHASIS, power=ROOT):
    """Eq. 9: heat where the mask `far`, of the shape of `predicted`, is 1; only of weak maps (batch, maps)."""
    return heat_loss(ops.zeros_like(predicted), predicted * far, weak, alpha, power)


def landmark_loss(score, landmarks, weak, perfect=PERFECT_CONTOURNESS, scale=CONTOURNESS_SCALE):
    """Eq. 7: contourness at landmarks.

    Args:
        score: contourness (batch, maps, height, width). landmarks: (batch, maps, n, 3), x, y and 1, or 0 for none.
        weak: (batch, maps). perfect, scale: see `contour_loss`.
    """
    losses = contour_loss(bilinear_sample(score, landmarks[..., :2]), perfect, scale)  # (batch, maps, n)
    return masked_mean(masked_mean(losses, landmarks[..., 2]), weak)


def line_loss(score, samples, weak, distance=FAR, perfect=PERFECT_CONTOURNESS, scale=CONTOURNESS_SCALE):
    """Eq. 8: the largest contourness along the normals of the line between landmarks, within `distance` of it.

    Args:
        score: contourness (batch, maps, height, width). samples: (batch, maps, n, 4), places and unit normals.
        weak: (batch, maps). perfect, scale: see `contour_loss`.
    """
    steps = np.arange(-int(distance), int(distance) + 1, dtype=np.float32)
    places = samples[..., None, :2] + steps[:, None] * samples[..., None, 2:]  # (batch, maps, n, steps, 2)
    maps, count = samples.shape[1:3]
    found = bilinear_sample(score, ops.reshape(places, (-1, maps, count * len(steps), 2)))
    best = ops.max(ops.reshape(found, (-1, maps, count, len(steps))), axis=-1)  # (batch, maps, n)
    return masked_mean(ops.mean(contour_loss(best, perfect, scale), axis=-1), weak)


def parts_of(y_true, shape):
    """What targets.weak_targets packed into (batch, n), for maps of `shape` (batch, height, width, maps): heat of that
    shape, annotated (batch, maps), weak (batch, contours), landmarks (batch, contours, n, 3) and samples (batch,
    contours, n, 4)."""
    height, width, maps = shape[1:]
    contours = len(CONTOURS)
    sizes = (height * width * maps, maps, contours, contours * CONTOUR_POINTS * 3, contours * LINE_SAMPLES * 4)
    heat, annotated, weak, landmarks, samples = ops.split(y_true, np.cumsum(sizes)[:-1].tolist(), axis=-1)
    heat = ops.reshape(heat, (-1, height, width, maps))
    landmarks = ops.reshape(landmarks, (-1, contours, CONTOUR_POINTS, 3))
    return heat, annotated, weak, landmarks, ops.reshape(samples, (-1, contours, LINE_SAMPLES, 4))


def terms(
    y_true,
    y_pred,
    alpha=HEAT_EMPHASIS,
    power=ROOT,
    sigma=CONTOUR_WIDTH,
    distance=FAR,
    perfect=PERFECT_CONTOURNESS,
    scale=CONTOURNESS_SCALE,
):
    """All terms of ACE-Net's loss, by name, each (batch,).

    Args:
        y_true: what targets.weak_targets gives, (batch, n). y_pred: (batch, side, side, maps).
        alpha, power: see `heat_loss`. sigma: see `filters`. distance: see `line_loss`. perfect, scale: see
            `contour_loss`.
    """
    heat, annotated, weak, landmarks, samples = parts_of(y_true, y_pred.shape)
    first = len(ANCHORS)
    drawn = y_pred[..., first:]  # the contours' maps
    score = contourness(drawn, sigma)
    return {
        "heat": heat_loss(heat, y_pred, annotated, alpha, power),
        "far": far_loss(heat[..., first:], drawn, weak, alpha, power),
        "landmark": landmark_loss(score, landmarks, weak, perfect, scale),
        "line": line_loss(score, samples, weak, distance, perfect, scale),
    }


def fully_supervised(y_true, y_pred, alpha=HEAT_EMPHASIS, power=ROOT):
    """Eq. 3 of targets.full_targets (batch, side * side * maps + maps) and maps (batch, side, side, maps)."""
    shape = y_pred.shape[1:]
    pixels = int(np.prod(shape))
    true = ops.reshape(y_true[:, :pixels], (-1, *shape))
    return heat_loss(true, y_pred, y_true[:, pixels:], alpha, power)


def weakly_supervised(y_true, y_pred, landmark_weight=LANDMARK_WEIGHT, line_weight=LINE_WEIGHT, **numbers):
    """Eq. 3 where a map is known, Eq. 11 where a contour is known at landmarks only; `numbers` are those of `terms`."""
    part = terms(y_true, y_pred, **numbers)
    return part["heat"] + part["far"] + landmark_weight * part["landmark"] + line_weight * part["line"]


# --------------------------------------------------------------------------------------------------------------------
# Losses for Keras
# --------------------------------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable(PACKAGE)
class HeatLoss(FaceLoss):
    """See `fully_supervised`."""

    function = staticmethod(fully_supervised)

    def __init__(self, alpha=HEAT_EMPHASIS, power=ROOT, name="heat", **kwargs):
        super().__init__(name, {"alpha": _checked(alpha), "power": power}, **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class ACELoss(FaceLoss):
    """See `weakly_supervised`."""

    function = staticmethod(weakly_supervised)

    def __init__(
        self,
        alpha=HEAT_EMPHASIS,
        power=ROOT,
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
        raise ValueError(f"alpha is the weight of a wholly wrong pixel beside a right one's 1. Received {alpha}; >= 1")
    return float(alpha)
