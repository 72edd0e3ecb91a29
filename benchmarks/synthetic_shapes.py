"""How rendered shapes compare with real ones: mean, modes, and how far the modes of one explain the other."""

import os
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from evaluation.plots import (
    DPI,
    PREDICTION_COLOUR,
    TRUTH_COLOUR,
    draw_landmarks,
)
from face_datasets.layouts import LAYOUT_68
from pca_utility import align
from utils.files import atomic_write

SHAPE_MODES = 5  # drawn of each set of shapes


@dataclass(frozen=True)
class ShapeComparison:
    """Shapes after Procrustes alignment of both sets; the rendered ones are turned onto the real mean.

    real_mean, rendered_mean: (points, 2). real_modes, rendered_modes: (modes, points, 2), each as long as one
    standard deviation, the largest first. modes: how many real ones hold the asked share of the real variance.
    explained: share of the real variance that as many rendered modes hold. mean_distance: between the means, percent of
    the inter-ocular distance.
    """

    real_mean: np.ndarray
    rendered_mean: np.ndarray
    real_modes: np.ndarray
    rendered_modes: np.ndarray
    modes: int
    explained: float
    mean_distance: float


def compare_shapes(real: np.ndarray, rendered: np.ndarray, variance: float) -> ShapeComparison:
    """Compares two sets of 68-point shapes (faces, 68, 2).

    Args:
        variance: share of the real variance that says how many modes are looked at.

    Raises:
        ValueError: a set of another form.
    """
    for shapes in (real, rendered):
        if shapes.ndim != 3 or shapes.shape[1:] != (LAYOUT_68.points, 2):
            raise ValueError(f"shapes must be (faces, 68, 2). Received an array of shape {shapes.shape}")
    real, rendered = align(real), align(rendered)
    real_mean, rendered_mean = real.mean(axis=0), rendered.mean(axis=0)
    left, _, right = np.linalg.svd(rendered_mean.T @ real_mean)
    turn = left @ np.diag([1, np.linalg.det(left @ right)]) @ right  # a rotation, never a mirror
    rendered, rendered_mean = rendered @ turn, rendered_mean @ turn
    real_axes, real_spread = _modes(real)
    axes, spread = _modes(rendered)
    few = min(len(axes), len(real_axes))  # no more modes than faces
    axes, spread, real_axes, real_spread = axes[:few], spread[:few], real_axes[:few], real_spread[:few]
    axes *= np.where(np.sum(axes * real_axes, axis=1, keepdims=True) < 0, -1, 1)  # a mode's sign is a matter of chance
    shares = np.cumsum(real_spread**2) / np.sum(real_spread**2)
    modes = int(np.searchsorted(shares, variance) + 1)
    offsets = (real - real_mean).reshape(len(real), -1)
    eyes = [real_mean[list(side)].mean(axis=0) for side in LAYOUT_68.normalisers["inter-ocular"]]
    apart = np.linalg.norm(rendered_mean - real_mean, axis=1).mean() / np.linalg.norm(eyes[1] - eyes[0])
    return ShapeComparison(
        real_mean,
        rendered_mean,
        (real_axes * real_spread[:, None]).reshape(-1, *real_mean.shape),
        (axes * spread[:, None]).reshape(-1, *real_mean.shape),
        modes,
        float(np.sum((offsets @ axes[:modes].T) ** 2) / np.sum(offsets**2)),
        100 * float(apart),
    )


def _modes(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal modes (modes, 2 * points) of shapes around their mean, and the standard deviation along each."""
    offsets = (shapes - shapes.mean(axis=0)).reshape(len(shapes), -1)
    _, spread, axes = np.linalg.svd(offsets, full_matrices=False)
    return axes, spread / np.sqrt(len(shapes))


def draw_shape_modes(path: str | os.PathLike, comparison) -> None:
    """Draws mean shapes of real and rendered faces, and the first modes of each, two standard deviations to both sides.

    Args:
        comparison: a synthetic_faces.gallery.distribution.ShapeComparison.
    """
    figure = Figure(figsize=(2.4 * (1 + SHAPE_MODES), 5.6), dpi=DPI, layout="constrained")
    axes = figure.subplots(2, 1 + SHAPE_MODES)
    rows = (
        ("real", comparison.real_mean, comparison.real_modes, TRUTH_COLOUR),
        ("rendered", comparison.rendered_mean, comparison.rendered_modes, PREDICTION_COLOUR),
    )
    for line, (name, mean, modes, colour) in zip(axes, rows, strict=True):
        shares = np.sum(modes**2, axis=(1, 2)) / np.sum(modes**2)
        draw_landmarks(line[0], mean, LAYOUT_68, colour)
        line[0].set_title(f"{name}: mean")
        for number, (ax, mode) in enumerate(zip(line[1:], modes, strict=False), start=1):
            draw_landmarks(ax, mean - 2 * mode, LAYOUT_68, "#b0b0b0")
            draw_landmarks(ax, mean + 2 * mode, LAYOUT_68, colour)
            ax.set_title(f"mode {number}: {shares[number - 1]:.0%}")
    for ax in axes.flat:
        ax.set(aspect="equal", xticks=(), yticks=(), xlim=(-0.26, 0.26), ylim=(0.26, -0.26))
    with atomic_write(path) as temporary:
        figure.savefig(temporary)
