"""Pose balancing: training faces in bins of head pose, so that every pose can be shown equally often.

Faces are aligned by Procrustes analysis, a PCA of the aligned shapes gives a mode that turns the head to the side (the
first; the second for AFLW), and the faces' coordinates along it are split into nine bins of equal width (Feng et al.,
Wing loss, CVPR 2018, Sec. 6). The method decides how many faces of each bin a pass shows: as many as the smallest bin
has (under-sampling, the anisotropic paper, Sec. 3.2), or the largest (replication, Wing's authors).
"""

import numpy as np

from pca_utility import ShapeModel, align

POSE_BINS = 9


def pose_bins(landmarks: np.ndarray, mode: int, count: int = POSE_BINS) -> list[np.ndarray]:
    """Return the faces of each pose bin that is not empty.

    Args:
        landmarks: (faces, points, 2); position, size and rotation of the faces have no effect.
        mode: of the shape PCA, from 0.
        count: bins of equal width between the smallest and the largest coordinate.

    Returns:
        ascending face indices of each bin, in the order of the pose; every face is in one bin.

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
    """Return the mean (2 * points,) of the bins' means, so that a rare pose has the weight of a frequent one.

    Args:
        targets: (faces, 2 * points).
        bins: face indices of each bin.
    """
    return np.mean([targets[members].mean(axis=0) for members in bins], axis=0)
