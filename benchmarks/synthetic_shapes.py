"""Shapes of rendered faces beside real ones: means, modes, and how well the modes of one explain the other.

    python -m benchmarks.synthetic_shapes --dataset 300W --data-dir data     # img/synthetic_shapes.png

The real shapes are all training faces of a prepared data set with 68 landmarks, held out for validation or not.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from config import DATA_DIR, ROOT
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import read_index
from face_datasets.layouts import LAYOUT_68
from pca_utility import align
from synthetic_faces import get_landmarks
from utils import cli
from utils.files import atomic_write

OUT = ROOT / "img/synthetic_shapes.png"
RENDERED = 3148  # faces, as many as 300W's training set has
VARIANCE = 0.95  # fraction of the real shape variance that the compared modes hold
SPLITS = ("train", "validation")  # of the training faces of a data set
MODES = 5  # drawn of each set of shapes
DEVIATIONS = 2  # standard deviations along a mode, to either side, that are drawn


@dataclass(frozen=True)
class ShapeComparison:
    """Two sets of shapes after Procrustes alignment; the rendered ones are rotated onto the real mean.

    Attributes:
        real_mean: (points, 2)
        rendered_mean: (points, 2)
        real_modes: (modes, points, 2), each as long as one standard deviation, the largest first.
        rendered_modes: (modes, points, 2), the same of the rendered shapes.
        modes: number of real modes that hold the given fraction of the real variance.
        explained: fraction of the real variance that as many rendered modes hold.
        mean_distance: between the means, percent of the inter-ocular distance.
    """

    real_mean: np.ndarray
    rendered_mean: np.ndarray
    real_modes: np.ndarray
    rendered_modes: np.ndarray
    modes: int
    explained: float
    mean_distance: float


def compare_shapes(real: np.ndarray, rendered: np.ndarray, variance: float = VARIANCE) -> ShapeComparison:
    """Compare two sets of 68-point shapes.

    Args:
        real: (faces, 68, 2)
        rendered: (faces, 68, 2)
        variance: fraction of the real variance that determines the number of compared modes; default 0.95.

    Raises:
        ValueError: an array of another shape.
    """
    for shapes in (real, rendered):
        if shapes.ndim != 3 or shapes.shape[1:] != (LAYOUT_68.points, 2):
            raise ValueError(f"shapes must be (faces, 68, 2). Received an array of shape {shapes.shape}")
    real, rendered = align(real), align(rendered)
    real_mean, rendered_mean = real.mean(axis=0), rendered.mean(axis=0)
    left, _, right = np.linalg.svd(rendered_mean.T @ real_mean)
    rotation = left @ np.diag([1, np.linalg.det(left @ right)]) @ right  # never a reflection
    rendered, rendered_mean = rendered @ rotation, rendered_mean @ rotation
    real_axes, real_deviation = _get_modes(real)
    axes, deviation = _get_modes(rendered)
    few = min(len(axes), len(real_axes))  # no more modes than faces
    axes, deviation, real_axes, real_deviation = axes[:few], deviation[:few], real_axes[:few], real_deviation[:few]
    axes *= np.where(np.sum(axes * real_axes, axis=1, keepdims=True) < 0, -1, 1)  # the sign of a mode is arbitrary
    fractions = np.cumsum(real_deviation**2) / np.sum(real_deviation**2)
    modes = int(np.searchsorted(fractions, variance) + 1)
    offsets = (real - real_mean).reshape(len(real), -1)
    eyes = [real_mean[list(side)].mean(axis=0) for side in LAYOUT_68.normalisers["inter-ocular"]]
    distance = np.linalg.norm(rendered_mean - real_mean, axis=1).mean() / np.linalg.norm(eyes[1] - eyes[0])
    return ShapeComparison(
        real_mean=real_mean,
        rendered_mean=rendered_mean,
        real_modes=(real_axes * real_deviation[:, None]).reshape(-1, *real_mean.shape),
        rendered_modes=(axes * deviation[:, None]).reshape(-1, *real_mean.shape),
        modes=modes,
        explained=float(np.sum((offsets @ axes[:modes].T) ** 2) / np.sum(offsets**2)),
        mean_distance=100 * float(distance),
    )


def _get_modes(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return orthonormal modes (modes, 2 * points) of shapes around their mean, and the standard deviation of each."""
    offsets = (shapes - shapes.mean(axis=0)).reshape(len(shapes), -1)
    _, singular, axes = np.linalg.svd(offsets, full_matrices=False)
    return axes, singular / np.sqrt(len(shapes))


def draw_shape_modes(out: str | os.PathLike, comparison: ShapeComparison) -> None:
    """Write a picture of the mean shapes of real and rendered faces, and of the first modes of each.

    Args:
        out: file of the picture.
        comparison: of the shapes.
    """
    from matplotlib.figure import Figure

    from evaluation.plots import DPI, PREDICTION_COLOUR, TRUTH_COLOUR, draw_landmarks

    figure = Figure(figsize=(2.4 * (1 + MODES), 5.6), dpi=DPI, layout="constrained")
    axes = figure.subplots(2, 1 + MODES)
    rows = (
        ("real", comparison.real_mean, comparison.real_modes, TRUTH_COLOUR),
        ("rendered", comparison.rendered_mean, comparison.rendered_modes, PREDICTION_COLOUR),
    )
    for line, (name, mean, modes, colour) in zip(axes, rows, strict=True):
        fractions = np.sum(modes**2, axis=(1, 2)) / np.sum(modes**2)
        draw_landmarks(line[0], mean, LAYOUT_68, colour)
        line[0].set_title(f"{name}: mean")
        for number, (ax, mode) in enumerate(zip(line[1:], modes, strict=False), start=1):
            draw_landmarks(ax, mean - DEVIATIONS * mode, LAYOUT_68, "#b0b0b0")
            draw_landmarks(ax, mean + DEVIATIONS * mode, LAYOUT_68, colour)
            ax.set_title(f"mode {number}: {fractions[number - 1]:.0%}")
    for ax in axes.flat:
        ax.set(aspect="equal", xticks=(), yticks=(), xlim=(-0.26, 0.26), ylim=(0.26, -0.26))
    with atomic_write(out) as temporary:
        figure.savefig(temporary)


def draw_shapes(out: str | os.PathLike, dataset: str, data_dir: str, faces: int = RENDERED) -> None:
    """Compare rendered shapes with those of a prepared data set; print the numbers and draw the modes.

    Args:
        out: file of the picture.
        dataset: name of the data set.
        data_dir: data root.
        faces: number of rendered faces.

    Raises:
        FileNotFoundError: the data set is not prepared.
        ValueError: unknown data set, or one with other landmarks.
    """
    entries = read_index(data_dir, get_dataset(dataset))["faces"]
    real = np.array([face["landmarks"] for face in entries if face["split"] in SPLITS])  # (faces, 68, 2)
    seeds = tqdm(range(faces), desc="shapes", unit="face", disable=None)
    rendered = np.stack([get_landmarks(seed) for seed in seeds])
    comparison = compare_shapes(real, rendered)
    print(
        f"real faces: {len(real)}; {comparison.modes} modes hold {VARIANCE:.0%} of their shape variance\n"
        f"rendered faces: {len(rendered)}; {comparison.modes} of their modes hold {comparison.explained:.1%} of it\n"
        f"mean shapes: {comparison.mean_distance:.2f} % of the inter-ocular distance apart"
    )
    draw_shape_modes(out, comparison)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.synthetic_shapes", description="Shapes of rendered faces beside real ones."
    )
    parser.add_argument("--dataset", default="300W", help="prepared data set of 68 landmarks; default: 300W")
    parser.add_argument("--data-dir", default=DATA_DIR, help=f"data root; default: {DATA_DIR}")
    parser.add_argument("--faces", type=int, default=RENDERED, help=f"number of rendered faces; default: {RENDERED}")
    parser.add_argument("--out", type=Path, default=OUT, help=f"file of the picture; default: img/{OUT.name}")
    options = parser.parse_args(arguments)
    return cli.run(lambda: draw_shapes(**vars(options)), "synthetic_shapes")


if __name__ == "__main__":
    sys.exit(main())
