"""Images and the matrices that move them: crop, shrink, warp, move, color_jitter, cover.

Everything geometric is one 2x3 matrix that maps (x, y, 1) of a source to 0-based pixels of a destination. The same
matrix moves the image (`warp`) and its landmarks (`transform`), and its inverse brings predictions back.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from config import SEED, Crop


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random moves of a training face; probabilities in [0, 1]."""

    rotation: float = 30.0  # degrees, uniform to both sides
    scale: tuple[float, float] = (0.85, 1.2)  # size of the face in the crop; log-uniform
    shift: float = 0.06  # share of the crop's side, uniform, x and y apart
    flip: float = 0.5
    brightness: float = 0.25  # factor 1 +- this
    contrast: float = 0.3
    gamma: float = 0.4  # exponent 2 ** (+- this)
    colour: float = 0.15  # per-channel factor 1 +- this
    grey: float = 0.15  # probability of a colourless face
    blur: float = 0.15  # probability of a Gaussian blur
    blur_sigma: tuple[float, float] = (0.5, 1.5)  # pixels at an input of `blur_input`, grows with the input
    blur_input: int = 112
    noise: float = 0.15  # probability of Gaussian noise
    noise_sigma: tuple[float, float] = (2.0, 12.0)  # grey levels of 255
    occlusion: float = 0.4  # probability of a covering rectangle
    occlusion_side: tuple[float, float] = (0.1, 0.45)  # shares of the crop's side


BLUR_REACH = 3  # standard deviations to each side of a pixel that its blur takes in
NOISE_ROOM = 128  # places to each side from which a face's part of the noise plane is taken


# --------------------------------------------------------------------------------------------------------------------
# Matrices
# --------------------------------------------------------------------------------------------------------------------


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (..., points, 2) moved by one matrix (2, 3), or by a matrix each (..., 2, 3)."""
    linear = np.swapaxes(matrix[..., :2], -1, -2)  # (..., 2, 2)
    return points @ linear + matrix[..., None, :, 2]  # (..., points, 2)


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The matrix (..., 2, 3) that moves by `inner` first and by `outer` then."""
    linear = outer[..., :2] @ inner[..., :2]  # (..., 2, 2)
    offset = outer[..., :2] @ inner[..., 2:] + outer[..., 2:]  # (..., 2, 1)
    return np.concatenate([linear, offset], axis=-1)  # (..., 2, 3)


def invert(matrix: np.ndarray) -> np.ndarray:
    """The matrix (..., 2, 3) that undoes `matrix`."""
    linear = np.linalg.inv(matrix[..., :2])  # (..., 2, 2)
    return np.concatenate([linear, -linear @ matrix[..., 2:]], axis=-1)  # (..., 2, 3)


def landmark_box(landmarks: np.ndarray) -> np.ndarray:
    """Bounding box (left, top, right, bottom) of landmarks (points, 2), in their pixels."""
    return np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)])


def longer_side(landmarks: np.ndarray) -> float:
    """The longer side of the bounding box of landmarks (points, 2), in their pixels."""
    return float(np.ptp(landmarks, axis=0).max())


def crop_matrix(crop: Crop, landmarks: np.ndarray, size: int) -> np.ndarray:
    """The matrix (2, 3) from image pixels to the pixels of a crop of `size` x `size`.

    Args:
        crop: a row of config.CROPS.
        landmarks: (points, 2) in image pixels; the crop lies around their bounding box.

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
    image: np.ndarray, crop: Crop, landmarks: np.ndarray, size: int, moves: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Crops of an image that was not prepared, made as a stored face's are: first shrunk by area, then warped.

    Args:
        image: uint8 (height, width, 3). landmarks: (points, 2) in its pixels, or the corners of a box.
        moves: (moves, 2, 3) from crop pixels to moved crop pixels; one crop for each.

    Returns:
        uint8 (moves, size, size, 3), and the matrices (moves, 2, 3) from image pixels to theirs.

    Raises:
        ValueError: the landmarks have no extent, or a crop misses the image altogether.
    """
    matrices = compose(moves, crop_matrix(crop, landmarks, size))  # (moves, 2, 3)
    square = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float64)
    seen = transform(square, invert(matrices)).reshape(-1, 2)  # corners of what is seen, in the image
    factor = size / longer_side(landmarks)
    margin = 2 + 2 / factor  # pixels that shrinking and the bilinear warp look at besides
    extent = np.array(image.shape[1::-1])
    low = np.floor(np.clip(seen.min(axis=0) - margin, 0, extent)).astype(int)
    high = np.ceil(np.clip(seen.max(axis=0) + margin, 0, extent)).astype(int)
    if (high <= low).any():
        box = landmark_box(landmarks).round().tolist()
        raise ValueError(f"cannot crop outside the image. Received box {box}, image {extent[0]} x {extent[1]}")
    part, smaller = shrink(image[low[1] : high[1], low[0] : high[0]], factor)
    to_image = invert(compose(smaller, np.array([[1.0, 0, -low[0]], [0, 1, -low[1]]])))
    return np.stack([warp(part, matrix, size) for matrix in compose(matrices, to_image)]), matrices


def box_corners(box: np.ndarray) -> np.ndarray:
    """The corners (2, 2) of a box (left, top, right, bottom); they have it as their bounding box."""
    return np.asarray(box, np.float64).reshape(2, 2)


def in_sight(landmarks: np.ndarray, image: np.ndarray) -> bool:
    """Whether the middle of the box of landmarks (points, 2) lies in the image (height, width, ...)."""
    left, top, right, bottom = landmark_box(landmarks)
    height, width = image.shape[:2]
    return bool(0 <= left + right < 2 * width and 0 <= top + bottom < 2 * height)


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with each of the others (n, 4): (n,), 0 to 1."""
    others = np.asarray(others, np.float64).reshape(-1, 4)
    common = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.prod(np.clip(common, 0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return common / (areas - common)


def to_targets(landmarks: np.ndarray, size: float) -> np.ndarray:
    """What a network is trained to give for landmarks (..., points, 2) in the pixels of a crop of `size`.

    The original's convention, sign included: (size / 2 - p) / size, flat and interleaved as x0, y0, x1, y1, ...

    Returns:
        (..., 2 * points), about -0.5 to 0.5.
    """
    targets = (size / 2 - np.asarray(landmarks)) / size
    return targets.reshape(*targets.shape[:-2], -1)


def from_targets(targets: np.ndarray, size: float) -> np.ndarray:
    """size / 2 - size * targets, the inverse of `to_targets`: (..., 2 * points), interleaved as x0, y0, x1, y1, ..., to
    landmarks (..., points, 2) in crop pixels."""
    targets = np.asarray(targets)
    return size / 2 - size * targets.reshape(*targets.shape[:-1], -1, 2)


def to_grid(points: np.ndarray, stride: float) -> np.ndarray:
    """Crop pixels to pixels of a map that is `stride` times as coarse; centres are whole numbers in both."""
    return (points + 0.5) / stride - 0.5


def from_grid(points: np.ndarray, stride: float) -> np.ndarray:
    """The inverse of `to_grid`."""
    return (points + 0.5) * stride - 0.5


def shrink(image: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """The image made smaller, each new pixel the mean of the area it covers, so that nothing aliases.

    Args:
        image: uint8 (height, width, 3). factor: new size over old, above 0; 1 or more leaves the image as it is.

    Returns:
        The image, no larger than asked, and the exact matrix (2, 3) from old pixels to new ones.
    """
    if factor >= 1:
        return image, np.eye(2, 3)
    height, width = image.shape[:2]
    new = max(1, int(width * factor)), max(1, int(height * factor))
    small = cv2.resize(image, new, interpolation=cv2.INTER_AREA)
    factors = np.array(new) / (width, height)
    return small, np.column_stack([np.diag(factors), (factors - 1) / 2])  # pixel centres: x' + 1/2 = f (x + 1/2)


def warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """The image moved by `matrix` (2, 3), bilinear; uint8 (size, size, 3).

    Outside the image its edge pixels are repeated, so that a face cut by the border does not meet a black wall.
    """
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


# --------------------------------------------------------------------------------------------------------------------
# Moves of a training face
# --------------------------------------------------------------------------------------------------------------------


def sample_affine(
    rng: np.random.Generator, count: int, augmentation: Augmentation, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Random rotation, scale, shift and mirroring about the crop's centre.

    Returns:
        matrices (count, 2, 3) from crop pixels to moved crop pixels, the mirror included, and flips (count,), bool:
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
    """Matrices (count, 2, 3) that mirror, rotate and scale about a crop's centre, and shift, in this order.

    Args:
        rotation: (count,) degrees. scale: (count,) factors. shift: (count, 2) shares of the crop's side.
        flips: (count,) bool. size: the crop's side in pixels.
    """
    angle = np.radians(rotation)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)  # (count, 2, 2)
    linear[flips, :, 0] *= -1
    centre = np.full((len(linear), 2), size / 2)
    offset = centre + shift * size - (linear @ centre[..., None])[..., 0]  # (count, 2)
    return np.concatenate([linear, offset[..., None]], axis=-1)


def mirror_landmarks(landmarks: np.ndarray, partners: Sequence[int]) -> np.ndarray:
    """Landmarks (..., points, 2) of a mirrored image, named as the mirror image names them."""
    return landmarks[..., list(partners), :]


PHOTOMETRIC = np.dtype(
    [
        ("grey", np.bool_),  # a colourless face
        ("gamma", np.float32),  # exponent of the levels, which run from 0 to 1
        ("contrast", np.float32),  # factor about the middle level
        ("gain", np.float32, 3),  # factor of each channel
        ("blur", np.float32),  # sigma in pixels; 0 leaves the face sharp
        ("noise", np.float32),  # sigma in grey levels of 255; 0 for none
        ("noise_at", np.int32, 2),  # left, top of the part of the noise plane that is added
        ("cover", np.int32, 4),  # left, top, right, bottom of the covering rectangle; empty where nothing covers
        ("patch", np.bool_),  # whether it shows a part of the same face, or one colour
        ("patch_at", np.int32, 2),  # left, top of that part
        ("colour", np.int32, 3),
    ]
)  # of one face: all that leaves its landmarks where they are


def sample_photometric(rng: np.random.Generator, count: int, augmentation: Augmentation, size: int) -> np.ndarray:
    """Random light, colour, blur, noise and cover of faces in crops of `size`: (count,) of type PHOTOMETRIC."""
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
    drawn["noise_at"] = rng.integers(0, NOISE_ROOM, (count, 2))
    sides = (rng.uniform(*augmentation.occlusion_side, (count, 2)) * size).astype(int)
    corners = rng.integers(0, size - sides)
    covered = rng.random((count, 1)) < augmentation.occlusion
    drawn["cover"] = np.where(covered, np.concatenate([corners, corners + sides], axis=1), 0)
    drawn["patch"] = rng.random(count) < 0.5
    drawn["patch_at"] = rng.integers(0, size - sides)
    drawn["colour"] = rng.integers(0, 256, (count, 3))
    return drawn


@functools.cache
def noise_plane(size: int) -> np.ndarray:
    """Gaussian noise of sigma 1, (size + NOISE_ROOM, size + NOISE_ROOM, 3) float32, the same one every time.

    A face takes the part of it that PHOTOMETRIC names, so that every sampler and backend adds the same noise.
    """
    side = size + NOISE_ROOM
    return np.random.default_rng(SEED).standard_normal((side, side, 3), np.float32)


def apply_photometric(image: np.ndarray, disturbance: np.void) -> np.ndarray:
    """uint8 (size, size, 3) under one face's PHOTOMETRIC: recoloured, blurred, noisy and covered, in this order."""
    return occlude(blur_and_noise(color_jitter(image, disturbance), disturbance), disturbance)


def color_jitter(image: np.ndarray, disturbance: np.void) -> np.ndarray:
    """Light and colour of uint8 (height, width, 3): no colour where it is grey, then one table for each channel."""
    if disturbance["grey"]:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    level = np.linspace(0, 1, 256)[:, None] ** disturbance["gamma"]  # (256, 1)
    level = ((level - 0.5) * disturbance["contrast"] + 0.5) * disturbance["gain"]  # (256, 3)
    table = np.clip(level * 255 + 0.5, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table.reshape(1, 256, 3))


def blur_and_noise(image: np.ndarray, disturbance: np.void) -> np.ndarray:
    """Blur and sensor noise of uint8 (size, size, 3)."""
    if disturbance["blur"]:
        radius = int(np.ceil(BLUR_REACH * disturbance["blur"]))
        image = cv2.GaussianBlur(image, (2 * radius + 1, 2 * radius + 1), float(disturbance["blur"]))
    if disturbance["noise"]:
        size, (left, top) = len(image), disturbance["noise_at"]
        noise = noise_plane(size)[top : top + size, left : left + size] * disturbance["noise"]
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    return image


def occlude(image: np.ndarray, disturbance: np.void) -> np.ndarray:
    """A rectangle over uint8 (height, width, 3): one colour, or a patch of the same image moved there."""
    left, top, right, bottom = disturbance["cover"]
    if right <= left or bottom <= top:
        return image
    patch = disturbance["colour"]
    if disturbance["patch"]:
        from_left, from_top = disturbance["patch_at"]
        patch = image[from_top : from_top + bottom - top, from_left : from_left + right - left]
    covered = image.copy()
    covered[top:bottom, left:right] = patch
    return covered


def to_network(images: np.ndarray) -> np.ndarray:
    """uint8 (..., 3) as the networks take it: float32 in [0, 1]."""
    return np.multiply(images, np.float32(1 / 255), dtype=np.float32)
