"""Pose balancing: training faces in bins of head pose, so that a batch can show every pose equally often.

Faces are aligned by Procrustes analysis, a PCA of the aligned shapes gives a mode that turns the head to the side (the
first; the second for AFLW), and the faces' coordinates along it are cut into nine bins of equal width (Feng et al.,
Wing loss, CVPR 2018, Sec. 6). How many faces of each bin a round of training shows is the method's choice: as many as
the smallest bin holds (under-sampling, the anisotropic paper, Sec. 3.2), or the largest (replication, Wing's authors).
"""

import numpy as np

from config import POSE_BINS
from pca_utility import ShapeModel

_ROUNDS = 20  # of the Procrustes analysis at most; two or three are enough
_SETTLED = 1e-8  # change of the mean shape, of size 1, at which it ends


def align(shapes: np.ndarray) -> np.ndarray:
    """Shapes (faces, points, 2), each moved, scaled and turned onto the mean of all (generalised Procrustes analysis).

    Returns:
        (faces, points, 2) around the origin; their mean, scaled to size 1, is what they lie on (size:
        the root of the sum of squares).

    Raises:
        ValueError: a face whose landmarks all coincide.
    """
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    sizes = np.linalg.norm(centred, axis=(1, 2))
    if not sizes.min() > 0:
        raise ValueError(f"face {int(sizes.argmin())} has no shape. Received landmarks that all coincide")
    aligned = centred / sizes[:, None, None]
    mean = aligned[0]
    for _ in range(_ROUNDS):
        aligned = _turn(aligned, mean)
        new = aligned.mean(axis=0)
        new /= np.linalg.norm(new)
        change, mean = np.linalg.norm(new - mean), new
        if change < _SETTLED:
            break
    scale = np.sum(aligned * mean, axis=(1, 2), keepdims=True)  # least squares, after the turn
    return aligned * scale


def align_to(shapes: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Shapes (faces, points, 2), each moved, scaled and turned to lie best on `mean` (points, 2) around the origin.

    Raises:
        ValueError: a face whose landmarks all coincide.
    """
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    sizes = np.sum(centred**2, axis=(1, 2), keepdims=True)
    if not sizes.min() > 0:
        raise ValueError(f"face {int(sizes.argmin())} has no shape. Received landmarks that all coincide")
    turned = _turn(centred, mean)
    return turned * np.sum(turned * mean, axis=(1, 2), keepdims=True) / sizes


def _turn(shapes: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Shapes (faces, points, 2) around the origin, each rotated, not mirrored, to lie best on `mean` (points, 2)."""
    planes = shapes[..., 0] + 1j * shapes[..., 1]  # (faces, points); in the plane a rotation is one complex factor
    factor = planes.conj() @ (mean[:, 0] + 1j * mean[:, 1])  # (faces,)
    turned = planes * (factor / np.abs(factor))[:, None]
    return np.stack([turned.real, turned.imag], axis=-1)


def pose_bins(landmarks: np.ndarray, mode: int, count: int = POSE_BINS) -> list[np.ndarray]:
    """The faces of each pose bin that is not empty.

    Args:
        landmarks: (faces, points, 2). Where the faces lie, how large and how turned they are does not matter.
        mode: of the shape PCA, from 0.
        count: bins of equal width between the smallest and the largest coordinate.

    Returns:
        Arrays of face indices, each rising, in the order of the pose. Together they hold every face once.

    Raises:
        ValueError: fewer faces than span the mode.
    """
    if len(landmarks) < mode + 2:
        raise ValueError(f"poses need at least {mode + 2} faces. Received {len(landmarks)}")
    shapes = align(np.asarray(landmarks, np.float64)).reshape(len(landmarks), -1)  # (faces, 2 * points)
    model = ShapeModel(percentage=100, clip=None).fit(shapes)
    pose = model.transform(shapes)[:, mode]  # (faces,)
    edges = np.linspace(pose.min(), pose.max(), count + 1)
    bins = np.digitize(pose, edges[1:-1])  # (faces,) from 0 to count - 1
    return [np.flatnonzero(bins == number) for number in np.unique(bins)]


def mean_of_bins(targets: np.ndarray, bins: list[np.ndarray]) -> np.ndarray:
    """The mean (2 * points,) of the bins' own means, so that a rare pose counts as much as a frequent one.

    Args:
        targets: (faces, 2 * points).
    """
    return np.mean([targets[members].mean(axis=0) for members in bins], axis=0)
