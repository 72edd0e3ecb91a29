"""Figures: the curves of a training, the CED of an evaluation, faces with their truth and predictions.

They are made without pyplot, so that they leave the state of a notebook that draws its own alone, and written
atomically as PNG.
"""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

import metrics
from config import FAILURE_THRESHOLDS
from face_datasets.layouts import Layout
from utils.files import atomic_write

DPI = 120  # of every figure
TRUTH_COLOUR = "#00e000"
PREDICTION_COLOUR = "#ff30ff"
COLUMNS = 5  # of a figure of faces
FACE_INCHES = 2.6  # side of one face in it
CED_WIDTHS, DASHED_WIDTH = (4.5, 2.0), 1.4  # points; of solid curves of a CED, first to last, and of dashed ones


def draw_curves(path: str | os.PathLike, rows: Sequence[dict], metric: str, normaliser: str) -> None:
    """Draw the loss and the validation error of every finished epoch; the best epoch is marked.

    Args:
        path: the figure.
        rows: one for each epoch, with "epoch", "loss" and "val_nme" (percent).
        metric: name of the error in "val_nme".
        normaliser: name of its normaliser.
    """
    epochs, losses, errors = (np.array([row[name] for row in rows]) for name in ("epoch", "loss", "val_nme"))
    best = int(np.argmin(errors))
    figure = Figure(figsize=(8.0, 6.0), dpi=DPI, layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    above.plot(epochs, losses, color="C0", marker=".")
    above.set(ylabel="training loss", yscale="log")
    below.plot(epochs, errors, color="C1", marker=".")
    below.plot(
        epochs[best], errors[best], "o", color="C3", label=f"best: {errors[best]:.2f} % in epoch {epochs[best]:g}"
    )
    below.set(ylabel=f"validation {metric} in %, {normaliser}", xlabel="epoch", yscale="log")
    below.yaxis.set_major_formatter("{x:g}")
    below.yaxis.set_minor_formatter("{x:g}")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    below.legend()
    for axes in (above, below):
        axes.grid(alpha=0.25, which="both")
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def draw_ced(
    path: str | os.PathLike,
    errors: np.ndarray,
    masks: dict[str, np.ndarray],
    evaluation: dict,
    metric: str = "NME",
    figures: Sequence[str] = metrics.FIGURES,
    thresholds: Sequence[float] = FAILURE_THRESHOLDS,
) -> None:
    """Draw the CED of every subset up to the last threshold, its numbers in the legend, the smallest error first.

    Args:
        path: the figure.
        errors: (n,) error of every face in percent.
        masks: subset -> (n,) bool, see metrics.subset_masks.
        evaluation: content of metrics.json for the same faces.
        metric: name of the error; default: "NME".
        figures: keys of a subset in `evaluation` that the legend shows besides; default: metrics.FIGURES.
        thresholds: marked errors in percent; default: FAILURE_THRESHOLDS.
    """
    subsets = evaluation["subsets"]
    counts = metrics.count_text(subsets["full"]["n"], subsets["full"]["n_official"])
    title = f"{evaluation['dataset']}: cumulative error distribution\n{evaluation['normaliser']} {metric}, {counts}"
    figure = Figure(figsize=(8.5, 6.5), dpi=DPI, layout="constrained")
    axes = ced_axes(figure, title, metric, figures, thresholds)
    ordered = sorted(masks, key=lambda subset: subsets[subset]["nme"])
    for subset, style in zip(ordered, ced_styles(len(ordered)), strict=True):
        row = subsets[subset]
        official = "-" if row["n_official"] is None else row["n_official"]
        label = f"{subset:<14}{row['n']:>5}{official:>10}{row['nme']:>9.2f}"
        label += "".join(f"{row[name]:>11.4f}" for name in figures)
        draw_ced_line(axes, errors[masks[subset]], label=label, **style)
    head = f"{'subset':<14}{'n':>5}{'official':>10}{metric + ' %':>9}" + "".join(
        f"{name.upper():>11}" for name in figures
    )
    font = {"family": "monospace", "size": 8}
    head = " " * 6 + head  # as wide as the line drawn before every row
    figure.legend(loc="outside lower center", prop=font, title=head, title_fontproperties=font, alignment="left")
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def ced_axes(
    figure: Figure,
    title: str,
    metric: str = "NME",
    figures: Sequence[str] = metrics.FIGURES,
    thresholds: Sequence[float] = FAILURE_THRESHOLDS,
) -> Axes:
    """Return axes for CED curves up to the last threshold, with all thresholds marked; see `draw_ced`."""
    end = max(thresholds)
    axes = figure.add_subplot()
    for threshold in thresholds:
        axes.axvline(threshold, color="0.5", linestyle="--", linewidth=1)
        mark = ", ".join(name.upper() for name in figures if name.endswith(f"@{threshold:g}"))
        axes.text(threshold, 0.02, f"{mark} ", rotation=90, ha="right", va="bottom", fontsize=8, color="0.4")
    axes.set(xlim=(0, end), ylim=(0, 1), xlabel=f"{metric} in %", ylabel="fraction of faces", title=title)
    axes.set_xticks(np.arange(0, end + 1))
    axes.set_yticks(np.linspace(0, 1, 11))
    axes.grid(alpha=0.25)
    return axes


def ced_styles(count: int) -> list[dict]:
    """Return the styles of curves: broad lines, ever thinner, and every second one dashed above them, so that no curve
    hides an equal one."""
    solid = np.linspace(*CED_WIDTHS, count)
    return [
        {"color": f"C{number % 10}"}
        | (
            {"linestyle": (0, (3, 3)), "linewidth": DASHED_WIDTH, "zorder": 3}
            if number % 2
            else {"linestyle": "-", "linewidth": width, "zorder": 2}
        )
        for number, width in enumerate(solid)
    ]


def draw_ced_line(axes: Axes, errors: np.ndarray, **style) -> None:
    """Draw the CED of faces with these errors (n,) in percent, in axes of `ced_axes`."""
    corners, fractions = metrics.ced(errors)
    end = max(axes.get_xlim()[1], corners[-1])  # the curve stays at 1
    axes.step(np.append(corners, end), np.append(fractions, 1.0), where="post", **style)


def draw_face_grid(
    path: str | os.PathLike,
    crops: Sequence[np.ndarray],
    truth: np.ndarray,
    predicted: np.ndarray,
    captions: Sequence[str],
    layout: Layout,
    title: str,
) -> None:
    """Draw faces in the given order, truth and prediction over each.

    Args:
        path: the figure.
        crops: n uint8 RGB images (h, w, 3).
        truth: (n, points, 2) in pixels of those images.
        predicted: (n, points, 2) in pixels of those images.
        captions: a text under each face.
        layout: layout of the points.
        title: title of the figure.
    """
    columns = min(COLUMNS, len(crops))
    rows = -(-len(crops) // columns)
    size = max(columns, 2) * FACE_INCHES, rows * (FACE_INCHES + 0.4) + 0.9  # with captions and title
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, crop, true, guess, caption in zip(grid, crops, truth, predicted, captions, strict=False):
        axes.imshow(crop)
        draw_landmarks(axes, true, layout, TRUTH_COLOUR)
        draw_landmarks(axes, guess, layout, PREDICTION_COLOUR)
        axes.set(xlim=(-0.5, crop.shape[1] - 0.5), ylim=(crop.shape[0] - 0.5, -0.5))
        axes.set_title(caption, fontsize=7, y=0, va="top", pad=-3)
    colours = {"truth": TRUTH_COLOUR, "prediction": PREDICTION_COLOUR}
    handles = [Line2D([], [], color=colour, marker="o", markersize=4, label=name) for name, colour in colours.items()]
    figure.suptitle(title, fontsize=10)
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9, facecolor="0.3", labelcolor="white")
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def draw_landmarks(axes: Axes, landmarks: np.ndarray, layout: Layout, colour: str) -> None:
    """Draw landmarks (points, 2) as dots, joined along the layout's chains."""
    for chain in layout.chains:
        axes.plot(*landmarks[chain.path].T, color=colour, linewidth=0.7, alpha=0.8)
    axes.plot(*landmarks[layout.dots].T, ".", color=colour, markersize=2.5)
