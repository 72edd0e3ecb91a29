"""Operations on heatmaps in `keras.ops`: soft-argmax, bilinear sampling, and sums that several losses share.

Maps of a network are (batch, height, width, maps), of a square crop; pixel (0, 0) is the first one.
"""

from keras import layers, ops


def safe_sqrt(x):
    """Return the square root, with a slope of 0 at 0 instead of an infinite one; 0 for negative numbers."""
    positive = x > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, x, ops.ones_like(x))), ops.zeros_like(x))


def masked_mean(values, weights):
    """Return the mean over the last axis of values with weights 0 or 1; 0 where all weights are 0."""
    return ops.sum(values * weights, axis=-1) / ops.maximum(ops.sum(weights, axis=-1), 1)


def soft_argmax(log_weights, line=None):
    """Return the expectation of the position under the softmax of every map, an argmax with a gradient.

    Args:
        log_weights: (batch, side, side, points), logarithms of the weights, which need not add up to 1.
        line: (side,), coordinates of the pixels of a row, and of a column; default: 0 to side - 1.

    Returns:
        x and y, (batch, points, 2).
    """
    log_weights = ops.convert_to_tensor(log_weights)
    side, points = log_weights.shape[2:]
    flat = ops.reshape(ops.transpose(log_weights, (0, 3, 1, 2)), (-1, points, side * side))
    probabilities = ops.reshape(ops.softmax(flat, axis=-1), (-1, points, side, side))
    line = ops.cast(ops.arange(side) if line is None else line, probabilities.dtype)
    return ops.stack([ops.sum(line * ops.sum(probabilities, axis=axis), axis=-1) for axis in (2, 3)], axis=-1)


def bilinear_sample(maps, points):
    """Return the values of maps between their pixels; outside of a map the value at its border.

    Written out, because keras.ops.image.affine_transform uses an operation that exported files cannot hold.

    Args:
        maps: (batch, maps, height, width), both sides at least 2.
        points: (batch, maps, n, 2), x and y in pixels of each map.

    Returns:
        (batch, maps, n).
    """
    height, width = maps.shape[2:]
    flat = ops.reshape(maps, (-1, maps.shape[1], height * width))
    x, y = ops.clip(points[..., 0], 0, width - 1), ops.clip(points[..., 1], 0, height - 1)
    left, top = ops.clip(ops.floor(x), 0, width - 2), ops.clip(ops.floor(y), 0, height - 2)
    right_weight, lower_weight = x - left, y - top
    first = ops.cast(top * width + left, "int32")

    def at(offset):
        return ops.take_along_axis(flat, first + offset, axis=-1)

    upper = (1 - right_weight) * at(0) + right_weight * at(1)
    lower = (1 - right_weight) * at(width) + right_weight * at(width + 1)
    return (1 - lower_weight) * upper + lower_weight * lower


def crop_to(features, side: int):
    """Return the first `side` rows and columns: padded features can reach beyond the input at the right and bottom."""
    excess = features.shape[1] - side
    return layers.Cropping2D(((0, excess), (0, excess)))(features) if excess else features
