"""What losses make of flat landmark targets, in the graph: pixels, Gaussians around them, and class indices.

A batch carries the targets of `image_utility.to_targets` and nothing else; dense maps never exist on the host. Maps are
(batch, height, width, points) and as large as the crop. Pixel (0, 0) is the first one, as everywhere.
"""

from keras import ops


def to_pixels(targets, side: int):
    """Flat targets (batch, 2 * points) to landmarks (batch, points, 2), x and y in pixels of maps of this side."""
    return side / 2 - side * ops.reshape(targets, (-1, targets.shape[-1] // 2, 2))


def from_pixels(landmarks, side: int):
    """Landmarks (batch, points, 2) in pixels to flat targets (batch, 2 * points), the inverse of `to_pixels`."""
    return ops.reshape((side / 2 - landmarks) / side, (-1, 2 * landmarks.shape[1]))


def log_gaussians(landmarks, side: int, sigma: float):
    """Logarithms of the two factors of a Gaussian of height 1 around each landmark.

    A Gaussian without direction is the product of one along x and one along y, so two lines of pixels tell all of it.

    Args:
        landmarks: (batch, points, 2) in pixels. sigma: in pixels.

    Returns:
        along x and along y, each (batch, side, points).
    """
    place = ops.cast(ops.arange(side), "float32")[None, :, None]
    return tuple(-ops.square((place - landmarks[:, None, :, axis]) / sigma) / 2 for axis in (0, 1))


def outer(along_x, along_y):
    """Maps (batch, side, side, points) of what varies along x and along y, each (batch, side, points)."""
    return along_y[:, :, None, :] * along_x[:, None, :, :]


def pixel_indices(landmarks, side: int):
    """The one pixel of each landmark (batch, points, 2): its row times `side` plus its column.

    Returns:
        indices (batch, points), int32, and which landmarks lie in the map, bool; the index of others is of no use.
    """
    place = ops.cast(ops.round(landmarks), "int32")
    inside = ops.all((place >= 0) & (place < side), axis=-1)
    place = ops.clip(place, 0, side - 1)
    return place[..., 1] * side + place[..., 0], inside


def first_of_pixel(indices, inside):
    """(batch, points), bool: landmarks inside the map whose pixel no landmark inside before them has."""
    points = indices.shape[1]
    before = ops.convert_to_tensor([[other < point for other in range(points)] for point in range(points)])
    same = ops.equal(indices[:, :, None], indices[:, None, :]) & inside[:, None, :]  # (batch, points, points)
    return inside & ~ops.any(same & before, axis=-1)
