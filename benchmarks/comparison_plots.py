"""Pictures of several trained networks side by side: CED, error of every landmark, convergence, differences."""

import os

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import metrics
from benchmarks.bootstrap import Differences
from benchmarks.config import BOOTSTRAP_INTERVAL
from config import FAILURE_THRESHOLDS
from evaluation.plots import DPI, FACE_INCHES, ced_axes, draw_ced_line
from face_datasets.layouts import Layout
from utils.files import atomic_write

STRIP_COLOURS = {"truth": "#ffe000", "prediction": "#30a0ff"}


COLUMNS = 4  # of the picture of faces
LANDMARK_COLOURS = colormaps["viridis_r"]
DIFFERENCE_COLOURS = colormaps["RdYlGn_r"]
NOT_REAL, NOTHING = (0.88, 0.88, 0.88, 1.0), (1.0, 1.0, 1.0, 1.0)  # grey, white
STYLES = ("-", "--", ":", "-.")  # ten colours and four styles tell forty curves apart


def _style(number: int) -> dict:
    """Colour and style of the curve of this number."""
    return {"color": f"C{number % 10}", "linestyle": STYLES[number // 10 % len(STYLES)]}


def draw_ceds(path: str | os.PathLike, nmes: dict[str, np.ndarray], title: str) -> None:
    """Draws the CED of every entry, its seeds taken together, up to the last failure threshold.

    Args:
        nmes: title of an entry -> NME of its faces in percent.
    """
    last = max(FAILURE_THRESHOLDS)
    figure = Figure(figsize=(8.5, 6.5), dpi=DPI, layout="constrained")
    axes = ced_axes(figure, f"{title}: cumulative error distribution")
    for number, (entry, errors) in enumerate(nmes.items()):
        label = f"{entry}: NME {errors.mean():.2f} %, AUC@{last:g} {metrics.auc(errors, last):.4f}"
        draw_ced_line(axes, errors, label=label, linewidth=1.6, **_style(number))
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def draw_landmark_errors(
    path: str | os.PathLike, face: np.ndarray, errors: dict[str, np.ndarray], layout: Layout, title: str
) -> None:
    """Draws the error of every landmark as a dot on the mean face, one face for each entry, all on one scale.

    Args:
        face: (points, 2), y downwards. errors: title of an entry -> (points,) NME in percent.
    """
    columns = min(COLUMNS, len(errors))
    rows = -(-len(errors) // columns)
    figure = Figure(figsize=(3.0 * columns + 1.2, 3.2 * rows + 0.5), dpi=DPI, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    least, most = min(map(np.min, errors.values())), max(map(np.max, errors.values()))
    for axes in grid.ravel():
        axes.set_axis_off()
    for axes, (entry, values) in zip(grid.ravel(), errors.items(), strict=False):
        for chain in layout.chains:
            axes.plot(*face[chain.path].T, color="0.8", linewidth=0.8, zorder=1)
        dots = axes.scatter(*face.T, c=values, cmap=LANDMARK_COLOURS, vmin=least, vmax=most, s=22, zorder=2)
        axes.set(aspect="equal", title=f"{entry}\n{values.mean():.2f} %")
        axes.invert_yaxis()
    figure.colorbar(dots, ax=grid, shrink=0.8, label="error of the landmark, % of the normaliser")
    figure.suptitle(title, fontsize=10)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def draw_convergence(
    path: str | os.PathLike, curves: dict[str, tuple[np.ndarray, np.ndarray]], normaliser: str
) -> None:
    """Draws validation NME against training steps: the mean over seeds, and from the least to the most of them.

    Args:
        curves: title of an entry -> steps (epochs,) and NME (seeds, epochs) in percent.
    """
    figure = Figure(figsize=(8.5, 6.0), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    for number, (entry, (steps, errors)) in enumerate(curves.items()):
        axes.plot(steps, errors.mean(axis=0), label=entry, linewidth=1.4, **_style(number))
        axes.fill_between(steps, errors.min(axis=0), errors.max(axis=0), color=f"C{number % 10}", alpha=0.15)
    axes.set(xlabel="training steps", ylabel=f"validation NME of the averaged weights in %, {normaliser}", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(alpha=0.25, which="both")
    axes.legend(fontsize=8)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def draw_differences(
    path: str | os.PathLike, entries: list[str], differences: Differences, title: str, covered: str
) -> None:
    """Draws the matrix of differences, row minus column, with their intervals; grey where the verdict is not "yes".

    Args:
        covered: what the intervals are over.
    """
    count = len(entries)
    most = np.abs(differences.mean).max() or 1.0
    colours = DIFFERENCE_COLOURS(0.5 + 0.35 * differences.mean / most)  # (entries, entries, 4)
    colours[differences.verdict != "yes"] = NOT_REAL
    colours[np.eye(count, dtype=bool)] = NOTHING
    figure = Figure(figsize=(1.25 * count + 2.2, 0.8 * count + 2.2), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(colours, aspect="auto")
    for row in range(count):
        for column in range(count):
            if row != column:
                mean, low, high = (array[row, column] for array in differences[:3])
                axes.text(column, row, f"{mean:+.2f}\n[{low:+.2f}, {high:+.2f}]", ha="center", va="center", fontsize=7)
    axes.set_xticks(range(count), entries, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(count), entries, fontsize=8)
    axes.set_title(
        f"{title}\nrow minus column, points of percent, {BOOTSTRAP_INTERVAL:.0%} intervals over {covered}; "
        "green: the row is better, grey: zero lies inside, or not known",
        fontsize=8,
    )
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def draw_strip(
    path: str | os.PathLike,
    image: np.ndarray,
    landmarks: np.ndarray,
    rows: dict[str, dict[int, np.ndarray]],
) -> None:
    """Draws one face's predictions as training goes on, a row for each method (Figures 2 and 3 of the same paper).

    `callbacks.read_snapshots` gives a run's predictions; they are moved to the picture with the matrix of
    `FaceDataset.crops`, as test.py does for the worst faces.

    Args:
        image: (size, size, 3), RGB. landmarks: the true ones, (points, 2) in its pixels.
        rows: title -> finished epochs -> predicted landmarks, alike. Every row must have the same epochs.

    Raises:
        ValueError: rows of different epochs.
    """
    columns = {title: sorted(predictions) for title, predictions in rows.items()}
    epochs = next(iter(columns.values()), [])
    if not epochs or any(other != epochs for other in columns.values()):
        raise ValueError(f"every row needs the same epochs, and at least one. Received {columns}")
    size = len(epochs) * FACE_INCHES, len(rows) * FACE_INCHES + 0.8  # room for titles and legend
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    grid = figure.subplots(len(rows), len(epochs), squeeze=False)
    for line, (title, predictions) in zip(grid, rows.items(), strict=True):
        for axes, epoch in zip(line, epochs, strict=True):
            axes.imshow(image)
            axes.plot(*landmarks.T, ".", color=STRIP_COLOURS["truth"], markersize=3)
            axes.plot(*predictions[epoch].T, ".", color=STRIP_COLOURS["prediction"], markersize=3)
            axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5), xticks=[], yticks=[])
        line[0].set_ylabel(title)
    for axes, epoch in zip(grid[0], epochs, strict=True):
        axes.set_title(f"after epoch {epoch}" if epoch else "before training", fontsize=10)
    handles = [
        Line2D([], [], color=colour, marker="o", linestyle="", markersize=4, label=name)
        for name, colour in STRIP_COLOURS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9, facecolor="0.3", labelcolor="white")
    with atomic_write(path) as temporary:
        figure.savefig(temporary)
