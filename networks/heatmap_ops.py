"""Maps in `keras.ops`: reading their values and their places, and the few sums that losses on maps share.

Maps of a network are (batch, height, width, maps), of a square crop; pixel (0, 0) is the first one.
"""

from keras import layers, ops


def safe_sqrt(x):
    """The square root, with a slope of 0 at 0 in the place of an infinite one."""
    positive = x > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, x, ops.ones_like(x))), ops.zeros_like(x))


def masked_mean(values, weights):
    """The mean over the last axis of values with weights 0 or 1; 0 where all are 0."""
    return ops.sum(values * weights, axis=-1) / ops.maximum(ops.sum(weights, axis=-1), 1)


def soft_argmax(log_weights, line=None):
    """The mean place of every map under its softmax: a place of landmarks that has a gradient, unlike the argmax.

    Args:
        log_weights: (batch, side, side, points), logarithms of the weights, which need not add to 1.
        line: (side,) where the pixels of a row lie, and those of a column; the pixels' numbers where None.

    Returns:
        x and y, (batch, points, 2).
    """
    log_weights = ops.convert_to_tensor(log_weights)
    side, points = log_weights.shape[2:]
    flat = ops.reshape(ops.transpose(log_weights, (0, 3, 1, 2)), (-1, points, side * side))
    chances = ops.reshape(ops.softmax(flat, axis=-1), (-1, points, side, side))
    line = ops.cast(ops.arange(side) if line is None else line, chances.dtype)
    return ops.stack([ops.sum(line * ops.sum(chances, axis=axis), axis=-1) for axis in (2, 3)], axis=-1)


def bilinear_sample(maps, places):
    """Values of maps between pixels, bilinear; beyond a map's border the value there.

    keras.ops.image.affine_transform could do some of it, but with an operation that no exported file can hold.

    Args:
        maps: (batch, maps, height, width), neither side less than 2. places: (batch, maps, n, 2) x, y of each map.

    Returns:
        (batch, maps, n).
    """
    height, width = maps.shape[2:]
    flat = ops.reshape(maps, (-1, maps.shape[1], height * width))
    x, y = ops.clip(places[..., 0], 0, width - 1), ops.clip(places[..., 1], 0, height - 1)
    left, top = ops.clip(ops.floor(x), 0, width - 2), ops.clip(ops.floor(y), 0, height - 2)
    right_share, low_share = x - left, y - top
    first = ops.cast(top * width + left, "int32")

    def at(offset):
        return ops.take_along_axis(flat, first + offset, axis=-1)

    above = (1 - right_share) * at(0) + right_share * at(1)
    below = (1 - right_share) * at(width) + right_share * at(width + 1)
    return (1 - low_share) * above + low_share * below


def cut(features, side: int):
    """The first rows and columns, so many: where a side is no multiple of 32 features reach beyond the input."""
    over = features.shape[1] - side
    return layers.Cropping2D(((0, over), (0, over)))(features) if over else features
