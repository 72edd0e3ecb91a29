"""Images and affine matrices: crop, shrink, warp, augment.

Everything geometric is one 2x3 matrix that maps (x, y, 1) of a source to 0-based pixels of a destination. The same
matrix is applied to the image (`warp`) and to its landmarks (`transform`), and its inverse maps predictions back.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from config import SEED, Crop


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random augmentation of a training face; probabilities in [0, 1]."""

    rotation: float = 30.0  # degrees, uniform to both sides
    scale: tuple[float, float] = (0.85, 1.2)  # size of the face in the crop; log-uniform
    shift: float = 0.06  # fraction of the crop size, uniform, x and y independent
    flip: float = 0.5  # probability of mirroring
    brightness: float = 0.25  # factor 1 +- this
    contrast: float = 0.3  # factor 1 +- this
    gamma: float = 0.4  # exponent 2 ** (+- this)
    colour: float = 0.15  # per-channel factor 1 +- this
    grey: float = 0.15  # probability of a face without colour
    blur: float = 0.15  # probability of a Gaussian blur
    blur_sigma: tuple[float, float] = (0.5, 1.5)  # pixels at an input of `blur_input`, proportional to the input
    blur_input: int = 112  # pixels
    noise: float = 0.15  # probability of Gaussian noise
    noise_sigma: tuple[float, float] = (2.0, 12.0)  # grey levels of 255
    occlusion: float = 0.4  # probability of an occluding rectangle
    occlusion_side: tuple[float, float] = (0.1, 0.45)  # fractions of the crop size


BLUR_RADIUS = 3  # radius of the blur's kernel in standard deviations
NOISE_MARGIN = 128  # pixels to the right and below, from which a face's part of the noise plane is drawn


# --------------------------------------------------------------------------------------------------------------------
# Matrices
# --------------------------------------------------------------------------------------------------------------------


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply one matrix (2, 3), or a matrix each (..., 2, 3), to points (..., points, 2)."""
    linear = np.swapaxes(matrix[..., :2], -1, -2)  # (..., 2, 2)
    return points @ linear + matrix[..., None, :, 2]  # (..., points, 2)


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Return the matrix (..., 2, 3) that applies `inner` first and then `outer`."""
    linear = outer[..., :2] @ inner[..., :2]  # (..., 2, 2)
    offset = outer[..., :2] @ inner[..., 2:] + outer[..., 2:]  # (..., 2, 1)
    return np.concatenate([linear, offset], axis=-1)  # (..., 2, 3)


def invert(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse (..., 2, 3) of `matrix`."""
    linear = np.linalg.inv(matrix[..., :2])  # (..., 2, 2)
    return np.concatenate([linear, -linear @ matrix[..., 2:]], axis=-1)  # (..., 2, 3)


def to_grid(points: np.ndarray, stride: float) -> np.ndarray:
    """Convert crop pixels to pixels of a heatmap that is `stride` times coarser; pixel centres are integers in both."""
    return (points + 0.5) / stride - 0.5


def from_grid(points: np.ndarray, stride: float) -> np.ndarray:
    """Convert heatmap pixels to crop pixels, the inverse of `to_grid`."""
    return (points + 0.5) * stride - 0.5


# --------------------------------------------------------------------------------------------------------------------
# Boxes
# --------------------------------------------------------------------------------------------------------------------


def landmark_box(landmarks: np.ndarray) -> np.ndarray:
    """Return the bounding box (left, top, right, bottom) of landmarks (points, 2), in their pixels."""
    return np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)])


def longer_side(landmarks: np.ndarray) -> float:
    """Return the longer side of the bounding box of landmarks (points, 2), in their pixels."""
    return float(np.ptp(landmarks, axis=0).max())


def box_corners(box: np.ndarray) -> np.ndarray:
    """Return two corners (2, 2) of a box (left, top, right, bottom), which have it as their bounding box."""
    return np.asarray(box, np.float64).reshape(2, 2)


def in_sight(landmarks: np.ndarray, image: np.ndarray) -> bool:
    """Return whether the centre of the box of landmarks (points, 2) lies in the image (height, width, ...)."""
    left, top, right, bottom = landmark_box(landmarks)
    height, width = image.shape[:2]
    return bool(0 <= left + right < 2 * width and 0 <= top + bottom < 2 * height)


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union (n,) of a box (4,) with each of the others (n, 4)."""
    others = np.asarray(others, np.float64).reshape(-1, 4)
    common = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.prod(np.clip(common, 0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return common / (areas - common)


# --------------------------------------------------------------------------------------------------------------------
# Crops
# --------------------------------------------------------------------------------------------------------------------


def crop_matrix(crop: Crop, landmarks: np.ndarray, size: int) -> np.ndarray:
    """Return the matrix (2, 3) from image pixels to the pixels of a crop of `size` x `size`.

    Args:
        crop: a row of config.CROPS.
        landmarks: (points, 2) in image pixels; the crop lies around their bounding box.
        size: side of the crop in pixels.

    Raises:
        ValueError: the region has no width or height.
    """
    left, top, right, bottom = np.asarray(landmark_box(landmarks), np.float64)
    width, height = right - left, bottom - top
    left, right = left - crop.left * width - crop.pixels, right + crop.right * width + crop.pixels
    top, bottom = top - crop.top * height - crop.pixels, bottom + crop.bottom * height + crop.pixels
    if crop.centre == "centroid":
        centre = landmarks.mean(axis=0)
    else:
        centre = np.array([(left + right) / 2, (top + bottom) / 2])
    sides = np.array([right - left, bottom - top]) * crop.scale
    if crop.square:
        sides[:] = sides.max()
    if not (np.isfinite(sides).all() and sides.min() > 0):
        raise ValueError(f"cannot crop around a face without extent. Received box {[left, top, right, bottom]}")
    scale = size / sides
    return np.array([[scale[0], 0, size / 2 - scale[0] * centre[0]], [0, scale[1], size / 2 - scale[1] * centre[1]]])


def crop_image(
    image: np.ndarray, crop: Crop, landmarks: np.ndarray, size: int, affines: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Crop an image that was not prepared in the way of a stored face: shrink it by area first, then warp it.

    Args:
        image: uint8 (height, width, 3).
        crop: a row of config.CROPS.
        landmarks: (points, 2) in the image's pixels, or the corners of a box.
        size: side of the crops in pixels.
        affines: (crops, 2, 3) from crop pixels to augmented crop pixels; the result has one crop for each.

    Returns:
        uint8 (crops, size, size, 3), and the matrices (crops, 2, 3) from image pixels to theirs.

    Raises:
        ValueError: the landmarks have no extent, or a crop misses the image altogether.
    """
    matrices = compose(affines, crop_matrix(crop, landmarks, size))  # (crops, 2, 3)
    factor = size / longer_side(landmarks)
    low, high = _visible_region(matrices, size, 2 + 2 / factor, np.array(image.shape[1::-1]))
    if (high <= low).any():
        box, (height, width) = landmark_box(landmarks).round().tolist(), image.shape[:2]
        raise ValueError(f"cannot crop outside the image. Received box {box}, image {width} x {height}")
    region, to_region = _slice_region(image, low, high)
    region, to_small = shrink(region, factor)
    from_region = invert(compose(to_small, to_region))
    return np.stack([warp(region, matrix, size) for matrix in compose(matrices, from_region)]), matrices


def _visible_region(
    matrices: np.ndarray, size: int, margin: float, extent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners low and high (2,), in whole pixels, of the part of an image that crops show.

    Args:
        matrices: (crops, 2, 3) from image to crop pixels.
        size: side of the crops in pixels.
        margin: pixels around the crops that shrinking and bilinear interpolation need.
        extent: width and height of the image.
    """
    square = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float64)
    corners = transform(square, invert(matrices)).reshape(-1, 2)  # of all crops, in the image
    low = np.floor(np.clip(corners.min(axis=0) - margin, 0, extent)).astype(int)
    high = np.ceil(np.clip(corners.max(axis=0) + margin, 0, extent)).astype(int)
    return low, high


def _slice_region(image: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the image between two corners, and the matrix (2, 3) from the image's pixels to its pixels."""
    return image[low[1] : high[1], low[0] : high[0]], np.array([[1.0, 0, -low[0]], [0, 1, -low[1]]])


def shrink(image: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Shrink an image; each new pixel is the mean of the area it covers, so that nothing aliases.

    Args:
        image: uint8 (height, width, 3).
        factor: new size over old, above 0; 1 or more leaves the image as it is.

    Returns:
        The image, not larger than asked for, and the exact matrix (2, 3) from old pixels to new ones.
    """
    if factor >= 1:
        return image, np.eye(2, 3)
    height, width = image.shape[:2]
    new = max(1, int(width * factor)), max(1, int(height * factor))
    small = cv2.resize(image, new, interpolation=cv2.INTER_AREA)
    factors = np.array(new) / (width, height)
    return small, np.column_stack([np.diag(factors), (factors - 1) / 2])  # pixel centres: x' + 1/2 = f (x + 1/2)


def warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Apply `matrix` (2, 3) to an image by bilinear interpolation; return uint8 (size, size, 3).

    Outside the image its edge pixels are repeated, so that a face at the border does not end at a black edge.
    """
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


# --------------------------------------------------------------------------------------------------------------------
# Inputs and targets of a network
# --------------------------------------------------------------------------------------------------------------------


def to_network(images: np.ndarray) -> np.ndarray:
    """Convert uint8 images (..., 3) to a network's input, float32 in [0, 1]."""
    return np.multiply(images, np.float32(1 / 255), dtype=np.float32)


def to_targets(landmarks: np.ndarray, size: float) -> np.ndarray:
    """Convert landmarks (..., points, 2) in the pixels of a crop of `size` to the targets of a network.

    The original's convention, sign included: (size / 2 - p) / size, flat and interleaved as x0, y0, x1, y1, ...

    Returns:
        (..., 2 * points), about -0.5 to 0.5.
    """
    targets = (size / 2 - np.asarray(landmarks)) / size
    return targets.reshape(*targets.shape[:-2], -1)


def from_targets(targets: np.ndarray, size: float) -> np.ndarray:
    """Return size / 2 - size * targets, the inverse of `to_targets`: (..., 2 * points), interleaved as x0, y0, x1, y1,
    ..., to landmarks (..., points, 2) in crop pixels."""  # part of the description in exported files
    targets = np.asarray(targets)
    return size / 2 - size * targets.reshape(*targets.shape[:-1], -1, 2)


# --------------------------------------------------------------------------------------------------------------------
# Geometric augmentation
# --------------------------------------------------------------------------------------------------------------------


def sample_affine(
    rng: np.random.Generator, count: int, augmentation: Augmentation, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw rotation, scale, shift and mirroring about the crop's centre.

    Args:
        rng: the random generator.
        count: number of faces.
        augmentation: the ranges.
        size: side of the crop in pixels.

    Returns:
        affines (count, 2, 3) from crop pixels to augmented crop pixels, mirroring included, and flips (count,), bool:
        where a flip is True the landmarks must be re-ordered with their partners (`mirror_landmarks`).
    """
    low, high = np.log(augmentation.scale)
    rotation = rng.uniform(-augmentation.rotation, augmentation.rotation, count)
    scale = np.exp(rng.uniform(low, high, count))
    shift = rng.uniform(-augmentation.shift, augmentation.shift, (count, 2))
    flips = rng.random(count) < augmentation.flip
    return affine_matrices(rotation, scale, shift, flips, size), flips


def affine_matrices(
    rotation: np.ndarray, scale: np.ndarray, shift: np.ndarray, flips: np.ndarray, size: int
) -> np.ndarray:
    """Return matrices (count, 2, 3) that mirror, rotate and scale about a crop's centre, and shift, in this order.

    Args:
        rotation: (count,) degrees.
        scale: (count,) factors.
        shift: (count, 2) fractions of the crop size.
        flips: (count,) bool.
        size: side of the crop in pixels.
    """
    angle = np.radians(rotation)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)  # (count, 2, 2)
    linear[flips, :, 0] *= -1
    centre = np.full((len(linear), 2), size / 2)
    offset = centre + shift * size - (linear @ centre[..., None])[..., 0]  # (count, 2)
    return np.concatenate([linear, offset[..., None]], axis=-1)


def mirror_landmarks(landmarks: np.ndarray, partners: Sequence[int]) -> np.ndarray:
    """Re-order landmarks (..., points, 2) of a mirrored image by their partners (points,)."""
    return landmarks[..., list(partners), :]


# --------------------------------------------------------------------------------------------------------------------
# Photometric augmentation: everything that leaves landmarks as they are
# --------------------------------------------------------------------------------------------------------------------

PHOTOMETRIC = np.dtype(
    [
        ("grey", np.bool_),  # whether the face loses its colour
        ("gamma", np.float32),  # exponent of the levels, which run from 0 to 1
        ("contrast", np.float32),  # factor about the middle level
        ("gain", np.float32, 3),  # factor of each channel
        ("blur", np.float32),  # sigma in pixels; 0 for none
        ("noise", np.float32),  # sigma in grey levels of 255; 0 for none
        ("noise_at", np.int32, 2),  # left, top of the part of the noise plane that is added
        ("occluder", np.int32, 4),  # left, top, right, bottom of the occluding rectangle; empty for none
        ("patch", np.bool_),  # whether the rectangle shows a patch of the same face, or one colour
        ("patch_at", np.int32, 2),  # left, top of the patch
        ("colour", np.int32, 3),  # of a rectangle without a patch
    ]
)  # parameters of one face


def sample_photometric(rng: np.random.Generator, count: int, augmentation: Augmentation, size: int) -> np.ndarray:
    """Draw light, colour, blur, noise and occluder of faces in crops of `size`: (count,) of type PHOTOMETRIC."""
    drawn = np.zeros(count, PHOTOMETRIC)
    drawn["grey"] = rng.random(count) < augmentation.grey
    drawn["gamma"] = 2 ** rng.uniform(-augmentation.gamma, augmentation.gamma, count)
    drawn["contrast"] = 1 + rng.uniform(-augmentation.contrast, augmentation.contrast, count)
    brightness = 1 + rng.uniform(-augmentation.brightness, augmentation.brightness, (count, 1))
    drawn["gain"] = brightness * (1 + rng.uniform(-augmentation.colour, augmentation.colour, (count, 3)))
    sigma = rng.uniform(*augmentation.blur_sigma, count) * size / augmentation.blur_input
    drawn["blur"] = np.where(rng.random(count) < augmentation.blur, sigma, 0)
    sigma = rng.uniform(*augmentation.noise_sigma, count)
    drawn["noise"] = np.where(rng.random(count) < augmentation.noise, sigma, 0)
    drawn["noise_at"] = rng.integers(0, NOISE_MARGIN, (count, 2))
    sides = (rng.uniform(*augmentation.occlusion_side, (count, 2)) * size).astype(int)
    corners = rng.integers(0, size - sides)
    occluded = rng.random((count, 1)) < augmentation.occlusion
    drawn["occluder"] = np.where(occluded, np.concatenate([corners, corners + sides], axis=1), 0)
    drawn["patch"] = rng.random(count) < 0.5
    drawn["patch_at"] = rng.integers(0, size - sides)
    drawn["colour"] = rng.integers(0, 256, (count, 3))
    return drawn


@functools.cache
def noise_plane(size: int) -> np.ndarray:
    """Return Gaussian noise of sigma 1, (size + NOISE_MARGIN, size + NOISE_MARGIN, 3) float32, always the same.

    Every face gets the part of it that PHOTOMETRIC names, so that CPU and GPU and all backends add the same noise.
    """
    side = size + NOISE_MARGIN
    return np.random.default_rng(SEED).standard_normal((side, side, 3), np.float32)


def apply_photometric(image: np.ndarray, photometric: np.void) -> np.ndarray:
    """Apply one face's PHOTOMETRIC to uint8 (size, size, 3): colour, blur, noise and occluder, in this order."""
    return occlude(blur_and_noise(color_jitter(image, photometric), photometric), photometric)


def color_jitter(image: np.ndarray, photometric: np.void) -> np.ndarray:
    """Change light and colour of uint8 (height, width, 3): greyscale first, then one look-up table a channel."""
    if photometric["grey"]:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    level = np.linspace(0, 1, 256)[:, None] ** photometric["gamma"]  # (256, 1)
    level = ((level - 0.5) * photometric["contrast"] + 0.5) * photometric["gain"]  # (256, 3)
    table = np.clip(level * 255 + 0.5, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table.reshape(1, 256, 3))


def blur_and_noise(image: np.ndarray, photometric: np.void) -> np.ndarray:
    """Blur uint8 (size, size, 3) and add sensor noise."""
    if photometric["blur"]:
        radius = int(np.ceil(BLUR_RADIUS * photometric["blur"]))
        image = cv2.GaussianBlur(image, (2 * radius + 1, 2 * radius + 1), float(photometric["blur"]))
    if photometric["noise"]:
        size, (left, top) = len(image), photometric["noise_at"]
        noise = noise_plane(size)[top : top + size, left : left + size] * photometric["noise"]
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    return image


def occlude(image: np.ndarray, photometric: np.void) -> np.ndarray:
    """Draw a rectangle over uint8 (height, width, 3): one colour, or a patch of the same image."""
    left, top, right, bottom = photometric["occluder"]
    if right <= left or bottom <= top:
        return image
    patch = photometric["colour"]
    if photometric["patch"]:
        from_left, from_top = photometric["patch_at"]
        patch = image[from_top : from_top + bottom - top, from_left : from_left + right - left]
    occluded = image.copy()
    occluded[top:bottom, left:right] = patch
    return occluded
