"""Figures of several trained networks side by side: CED, error of every landmark, convergence, differences."""

import os
import textwrap

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

COLUMNS = 4  # faces in a row of the figure of landmark errors
LANDMARK_COLOURS = colormaps["viridis_r"]
DIFFERENCE_COLOURS = colormaps["RdYlGn_r"]
NOT_SIGNIFICANT, DIAGONAL = (0.88, 0.88, 0.88, 1.0), (1.0, 1.0, 1.0, 1.0)  # grey, white
STYLES = ("-", "--", ":", "-.")  # with ten colours they make forty distinct curves
MAX_WIDE_CELLS = 6  # entries up to which a cell of the matrix has its interval on one line
PROGRESS_COLOURS = {"truth": "#ffe000", "prediction": "#30a0ff"}


def _style(number: int) -> dict:
    """Return colour and style of a curve."""
    return {"color": f"C{number % 10}", "linestyle": STYLES[number // 10 % len(STYLES)]}


def draw_ceds(path: str | os.PathLike, nmes: dict[str, np.ndarray], title: str) -> None:
    """Draw the CED curve of every entry, all its seeds together, up to the last failure threshold.

    The legend is sorted by the NME.

    Args:
        path: the picture.
        nmes: title of an entry -> NME of its faces in percent.
        title: title of the figure.
    """
    last = max(FAILURE_THRESHOLDS)
    figure = Figure(figsize=(8.5, 6.5), dpi=DPI, layout="constrained")
    axes = ced_axes(figure, f"{title}: cumulative error distribution")
    styles = {entry: _style(number) for number, entry in enumerate(nmes)}
    for entry, errors in sorted(nmes.items(), key=lambda item: item[1].mean()):
        label = f"{entry}: NME {errors.mean():.2f} %, AUC@{last:g} {metrics.auc(errors, last):.4f}"
        draw_ced_line(axes, errors, label=label, linewidth=1.6, **styles[entry])
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def draw_landmark_errors(
    path: str | os.PathLike, face: np.ndarray, errors: dict[str, np.ndarray], layout: Layout, title: str
) -> None:
    """Draw the error of every landmark as a dot on the mean face: one face for each entry, sorted by the error.

    Args:
        path: the picture.
        face: landmarks of the mean face, (points, 2), y downwards.
        errors: title of an entry -> NME of each landmark in percent, (points,).
        layout: layout of the landmarks.
        title: title of the figure.
    """
    columns = min(COLUMNS, len(errors))
    rows = -(-len(errors) // columns)
    figure = Figure(figsize=(3.0 * columns + 1.2, 3.2 * rows + 0.5), dpi=DPI, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    low, high = min(map(np.min, errors.values())), max(map(np.max, errors.values()))
    for axes in grid.ravel():
        axes.set_axis_off()
    ordered = sorted(errors.items(), key=lambda item: item[1].mean())
    for axes, (entry, values) in zip(grid.ravel(), ordered, strict=False):
        for chain in layout.chains:
            axes.plot(*face[chain.path].T, color="0.8", linewidth=0.8, zorder=1)
        dots = axes.scatter(*face.T, c=values, cmap=LANDMARK_COLOURS, vmin=low, vmax=high, s=22, zorder=2)
        axes.set(aspect="equal", title=f"{entry}\n{values.mean():.2f} %")
        axes.invert_yaxis()
    figure.colorbar(dots, ax=grid, shrink=0.8, label="error of the landmark, % of the normaliser")
    figure.suptitle(title, fontsize=10)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def draw_convergence(
    path: str | os.PathLike, curves: dict[str, tuple[np.ndarray, np.ndarray]], normaliser: str
) -> None:
    """Draw validation NME against training steps: the mean over seeds, and the range of the seeds.

    The legend is sorted by the NME of the last epoch.

    Args:
        path: the picture.
        curves: title of an entry -> steps (epochs,) and NME (seeds, epochs) in percent.
        normaliser: normaliser of the NME.
    """
    figure = Figure(figsize=(8.5, 6.0), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    styles = {entry: _style(number) for number, entry in enumerate(curves)}
    for entry, (steps, errors) in sorted(curves.items(), key=lambda item: item[1][1][:, -1:].mean()):
        axes.plot(steps, errors.mean(axis=0), label=entry, linewidth=1.4, **styles[entry])
        axes.fill_between(steps, errors.min(axis=0), errors.max(axis=0), color=styles[entry]["color"], alpha=0.15)
    axes.set(xlabel="training steps", ylabel=f"validation NME of the averaged weights in %, {normaliser}", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(alpha=0.25, which="both")
    axes.legend(fontsize=8)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def draw_differences(
    path: str | os.PathLike, entries: list[str], differences: Differences, title: str, sampled: str
) -> None:
    """Draw the matrix of differences, row minus column, with their intervals; grey where they are not significant.

    Rows and columns are sorted by the error.

    Args:
        path: the picture.
        entries: titles of the entries.
        differences: their differences.
        title: title of the figure.
        sampled: what the intervals are over, like "seeds and test faces".
    """
    count = len(entries)
    order = np.argsort(differences.mean.mean(axis=1), kind="stable")
    entries = [entries[number] for number in order]
    mean, low, high, verdict = (array[np.ix_(order, order)] for array in differences)  # (entries, entries) each
    colours = DIFFERENCE_COLOURS(0.5 + 0.35 * mean / (np.abs(mean).max() or 1.0))  # (entries, entries, 4)
    colours[verdict != "yes"] = NOT_SIGNIFICANT
    colours[np.eye(count, dtype=bool)] = DIAGONAL
    wide = count <= MAX_WIDE_CELLS
    size = (1.25 * count + 2.2, 0.8 * count + 2.2) if wide else (0.6 * count + 2.2, 0.6 * count + 2.0)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(colours, aspect="auto")
    for row in range(count):
        for column in range(count):
            if row != column:
                ends = [f"{array[row, column]:+.2f}" for array in (low, high)]
                interval = f"[{', '.join(ends)}]" if wide else f"[{ends[0]},\n{ends[1]}]"
                text = f"{mean[row, column]:+.2f}"
                axes.annotate(text, (column, row), (0, 2), textcoords="offset points", ha="center", va="bottom")
                axes.annotate(
                    interval, (column, row), (0, 1), textcoords="offset points", ha="center", va="top", fontsize=7
                )
    axes.set_xticks(range(count), entries, rotation=30, ha="right", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(range(count), entries, fontsize=9)
    explanation = (
        f"row minus column, percentage points, {BOOTSTRAP_INTERVAL:.0%} intervals over {sampled}; green: the row "
        "has the lower error; grey: the interval contains zero, or there is too little data"
    )
    figure.suptitle("\n".join([title, *textwrap.wrap(explanation, int(14 * size[0]))]), fontsize=9)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def draw_progress_strip(
    path: str | os.PathLike,
    image: np.ndarray,
    landmarks: np.ndarray,
    rows: dict[str, dict[int, np.ndarray]],
) -> None:
    """Draw the training-progress figure: predictions of one face after some epochs, a row for each method.

    It is like Figures 2 and 3 of the paper of the anisotropic loss. `callbacks.read_snapshots` reads the predictions of
    a run.

    Args:
        path: the picture.
        image: (size, size, 3), RGB.
        landmarks: ground truth in pixels of the image, (points, 2).
        rows: method -> finished epochs -> predicted landmarks, (points, 2). All rows have the same epochs.

    Raises:
        ValueError: rows of different epochs.
    """
    columns = {title: sorted(predictions) for title, predictions in rows.items()}
    epochs = next(iter(columns.values()), [])
    if not epochs or any(other != epochs for other in columns.values()):
        raise ValueError(f"every row needs the same epochs, and at least one. Received {columns}")
    size = len(epochs) * FACE_INCHES, len(rows) * FACE_INCHES + 0.8  # with space for titles and legend
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    grid = figure.subplots(len(rows), len(epochs), squeeze=False)
    dots = {"linestyle": "", "marker": "o", "markersize": 4.5, "markeredgecolor": "black", "markeredgewidth": 0.4}
    for line, (title, predictions) in zip(grid, rows.items(), strict=True):
        for axes, epoch in zip(line, epochs, strict=True):
            axes.imshow(image)
            axes.plot(*landmarks.T, color=PROGRESS_COLOURS["truth"], **dots)
            axes.plot(*predictions[epoch].T, color=PROGRESS_COLOURS["prediction"], **dots)
            axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5), xticks=[], yticks=[])
        line[0].set_ylabel(title, fontsize=13)
    for axes, epoch in zip(grid[0], epochs, strict=True):
        axes.set_title(f"after epoch {epoch}" if epoch else "before training", fontsize=13)
    handles = [Line2D([], [], color=colour, label=name, **dots) for name, colour in PROGRESS_COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=12)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)
