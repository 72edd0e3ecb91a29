"""Pictures of several trained networks side by side: CED, error of every landmark, convergence, differences."""

import os

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

import metrics
from benches.bootstrap import Differences
from benches.config import BOOTSTRAP_INTERVAL
from config import FAILURE_THRESHOLDS
from figures import DOTS, ced_axes, draw_ced_line
from landmark_layouts import Layout
from safe_files import replace_file

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
    figure = Figure(figsize=(8.5, 6.5), dpi=DOTS, layout="constrained")
    axes = ced_axes(figure, f"{title}: cumulative error distribution")
    for number, (entry, errors) in enumerate(nmes.items()):
        label = f"{entry}: NME {errors.mean():.2f} %, AUC@{last:g} {metrics.auc(errors, last):.4f}"
        draw_ced_line(axes, errors, label=label, linewidth=1.6, **_style(number))
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    replace_file(path, figure.savefig)


def draw_landmark_errors(
    path: str | os.PathLike, face: np.ndarray, errors: dict[str, np.ndarray], layout: Layout, title: str
) -> None:
    """Draws the error of every landmark as a dot on the mean face, one face for each entry, all on one scale.

    Args:
        face: (points, 2), y downwards. errors: title of an entry -> (points,) NME in percent.
    """
    columns = min(COLUMNS, len(errors))
    rows = -(-len(errors) // columns)
    figure = Figure(figsize=(3.0 * columns + 1.2, 3.2 * rows + 0.5), dpi=DOTS, layout="constrained")
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
    replace_file(path, figure.savefig)


def draw_convergence(
    path: str | os.PathLike, curves: dict[str, tuple[np.ndarray, np.ndarray]], normaliser: str
) -> None:
    """Draws validation NME against training steps: the mean over seeds, and from the least to the most of them.

    Args:
        curves: title of an entry -> steps (epochs,) and NME (seeds, epochs) in percent.
    """
    figure = Figure(figsize=(8.5, 6.0), dpi=DOTS, layout="constrained")
    axes = figure.add_subplot()
    for number, (entry, (steps, errors)) in enumerate(curves.items()):
        axes.plot(steps, errors.mean(axis=0), label=entry, linewidth=1.4, **_style(number))
        axes.fill_between(steps, errors.min(axis=0), errors.max(axis=0), color=f"C{number % 10}", alpha=0.15)
    axes.set(xlabel="training steps", ylabel=f"validation NME of the averaged weights in %, {normaliser}", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(alpha=0.25, which="both")
    axes.legend(fontsize=8)
    replace_file(path, figure.savefig)


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
    figure = Figure(figsize=(1.25 * count + 2.2, 0.8 * count + 2.2), dpi=DOTS, layout="constrained")
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
    replace_file(path, figure.savefig)
