"""What the losses compute from flat landmark targets, in the graph: pixels, Gaussians and class indices.

A batch has the targets of `image_utility.to_targets` only; dense maps never exist on the CPU. Maps are
(batch, height, width, points) and as large as the crop.
"""

from keras import ops


def to_pixels(targets, side: int):
    """Return landmarks (batch, points, 2) in pixels of maps of this side, of flat targets (batch, 2 * points)."""
    return side / 2 - side * ops.reshape(targets, (-1, targets.shape[-1] // 2, 2))


def from_pixels(landmarks, side: int):
    """Return flat targets (batch, 2 * points) of landmarks (batch, points, 2) in pixels, the inverse of `to_pixels`."""
    return ops.reshape((side / 2 - landmarks) / side, (-1, 2 * landmarks.shape[1]))


def log_gaussians(landmarks, side: int, sigma: float):
    """Return the logarithms of the two factors of a Gaussian of height 1 around each landmark.

    An isotropic Gaussian is the product of one along x and one along y, which need `side` values each.

    Args:
        landmarks: (batch, points, 2) in pixels.
        side: of the maps, in pixels.
        sigma: in pixels.

    Returns:
        along x and along y, each (batch, side, points).
    """
    pixels = ops.cast(ops.arange(side), "float32")[None, :, None]
    return tuple(-ops.square((pixels - landmarks[:, None, :, axis]) / sigma) / 2 for axis in (0, 1))


def outer(along_x, along_y):
    """Return maps (batch, side, side, points), the products of factors along x and y, each (batch, side, points)."""
    return along_y[:, :, None, :] * along_x[:, None, :, :]


def pixel_indices(landmarks, side: int):
    """Return the pixel of each landmark (batch, points, 2): its row times `side` plus its column.

    Returns:
        indices (batch, points), int32, and which landmarks lie inside the map, bool; the indices of others are
        meaningless.
    """
    pixels = ops.cast(ops.round(landmarks), "int32")
    inside = ops.all((pixels >= 0) & (pixels < side), axis=-1)
    pixels = ops.clip(pixels, 0, side - 1)
    return pixels[..., 1] * side + pixels[..., 0], inside


def first_of_pixel(indices, inside):
    """Return which landmarks are inside the map and the first of their pixel, (batch, points), bool."""
    points = indices.shape[1]
    before = ops.convert_to_tensor([[other < point for other in range(points)] for point in range(points)])
    same = ops.equal(indices[:, :, None], indices[:, None, :]) & inside[:, None, :]  # (batch, points, points)
    return inside & ~ops.any(same & before, axis=-1)
