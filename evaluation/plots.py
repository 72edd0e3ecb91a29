"""Figures: the idea of ACR Loss, the curves of a training, the CED of an evaluation, the faces with the largest errors.

They are made without pyplot, so nothing here changes the state of a notebook that draws its own, and written as PNG,
whole or not at all.
"""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.ticker import MaxNLocator

import metrics
from config import FAILURE_THRESHOLDS
from face_datasets.layouts import Layout
from utils.files import atomic_write

DOTS = 120  # per inch, of every figure
TRUTH_COLOUR = "#00e000"
PREDICTION_COLOUR = "#ff30ff"
DIFFICULTY_COLOURS = colormaps["inferno"]
COLUMNS = 5  # of the picture of the worst faces
FACE_INCHES = 2.6  # side of one face in it
ELLIPSE_COLOUR, CORNER_COLOUR = "#ff3030", "#ffe000"


def draw_acr_loss(
    path: str | os.PathLike,
    image: np.ndarray,
    landmarks: np.ndarray,
    smooth_face: np.ndarray,
    phi: np.ndarray,
    curves: dict[float, tuple[np.ndarray, np.ndarray]],
    layout: Layout,
) -> None:
    """Draws the idea of ACR Loss: a face with its Smooth-Face, the difficulty of its landmarks, and the loss.

    Args:
        image: (size, size, 3), RGB. landmarks, smooth_face: (points, 2) in its pixels.
        phi: (points,) difficulty of each landmark, 0 to 1.
        curves: phi -> errors and the loss of each.
    """
    figure = Figure(figsize=(15.0, 4.2), dpi=DOTS, layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.18, 1.5))
    for axes in (left, middle):
        axes.imshow(image)
        axes.set_axis_off()
    draw_landmarks(left, landmarks, layout, TRUTH_COLOUR)
    draw_landmarks(left, smooth_face, layout, PREDICTION_COLOUR)
    left.set_title("landmarks and Smooth-Face")
    dots = middle.scatter(*landmarks.T, c=phi, cmap=DIFFICULTY_COLOURS, vmin=0, vmax=1, s=26)
    figure.colorbar(dots, ax=middle, shrink=0.9)
    middle.set_title("difficulty phi of each landmark")
    for hard, (errors, losses) in curves.items():
        right.plot(errors, losses, color=DIFFICULTY_COLOURS(0.05 + 0.8 * hard), label=f"phi = {hard:g}")
    right.set(xlabel="error, in sides of the crop", ylabel="loss", title="steep where the landmark is hard")
    right.legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def draw_curves(path: str | os.PathLike, rows: Sequence[dict], measure: str, normaliser: str) -> None:
    """Draws the loss and the validation error of every finished epoch; the best epoch is marked.

    Args:
        rows: one for each epoch, with "epoch", "loss" and "val_nme" (percent).
        measure: what "val_nme" is, "NME" or "NME^AC".
    """
    epochs, losses, errors = (np.array([row[name] for row in rows]) for name in ("epoch", "loss", "val_nme"))
    best = int(np.argmin(errors))
    figure = Figure(figsize=(8.0, 6.0), dpi=DOTS, layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    above.plot(epochs, losses, color="C0", marker=".")
    above.set(ylabel="training loss", yscale="log")
    below.plot(epochs, errors, color="C1", marker=".")
    below.plot(
        epochs[best], errors[best], "o", color="C3", label=f"best: {errors[best]:.2f} % in epoch {epochs[best]:g}"
    )
    below.set(ylabel=f"validation {measure} in %, {normaliser}", xlabel="epoch", yscale="log")
    below.yaxis.set_major_formatter("{x:g}")
    below.yaxis.set_minor_formatter("{x:g}")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    below.legend()
    for axes in (above, below):
        axes.grid(alpha=0.25, which="both")
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def draw_ced(path: str | os.PathLike, nmes: np.ndarray, masks: dict[str, np.ndarray], evaluation: dict) -> None:
    """Draws the CED of every subset up to the last failure threshold, with its numbers in the legend.

    Args:
        nmes: (n,) NME of every face in percent.
        masks: subset -> (n,) bool, see metrics.subset_masks.
        evaluation: what metrics.evaluate says of the same faces.
    """
    full = evaluation["subsets"]["full"]
    counts = metrics.count_text(full["n"], full["n_official"])
    figure = Figure(figsize=(8.5, 6.5), dpi=DOTS, layout="constrained")
    axes = ced_axes(
        figure, f"{evaluation['dataset']}: cumulative error distribution\n{evaluation['normaliser']} NME, {counts}"
    )
    for subset, mask in masks.items():
        width = 2.5 if subset == "full" else 1.4
        label = _legend_row(subset, evaluation["subsets"][subset])
        draw_ced_line(axes, nmes[mask], linewidth=width, label=label)
    font = {"family": "monospace", "size": 8}
    title = " " * 6 + _legend_head()  # as wide as the line drawn before every row
    figure.legend(loc="outside lower center", prop=font, title=title, title_fontproperties=font, alignment="left")
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def ced_axes(figure: Figure, title: str) -> Axes:
    """Axes for CED curves up to the last failure threshold, the thresholds marked."""
    end = max(FAILURE_THRESHOLDS)
    axes = figure.add_subplot()
    for threshold in FAILURE_THRESHOLDS:
        axes.axvline(threshold, color="0.5", linestyle="--", linewidth=1)
        mark = f"FR@{threshold:g}, AUC@{threshold:g} "
        axes.text(threshold, 0.02, mark, rotation=90, ha="right", va="bottom", fontsize=8, color="0.4")
    axes.set(xlim=(0, end), ylim=(0, 1), xlabel="NME in %", ylabel="share of faces with at most this NME", title=title)
    axes.set_xticks(np.arange(0, end + 1))
    axes.set_yticks(np.linspace(0, 1, 11))
    axes.grid(alpha=0.25)
    return axes


def draw_ced_line(axes: Axes, nmes: np.ndarray, **style) -> None:
    """The CED of faces with these NME (n,) in percent, in axes that ced_axes made."""
    errors, shares = metrics.ced(nmes)
    end = max(*FAILURE_THRESHOLDS, errors[-1])  # the curve stays at 1
    axes.step(np.append(errors, end), np.append(shares, 1.0), where="post", **style)


def _legend_head() -> str:
    """The names of the legend's columns."""
    head = f"{'subset':<14}{'n':>5}{'official':>10}{'NME %':>8}"
    return head + "".join(f"{name.upper():>9}" for name in metrics.MEASURES)


def _legend_row(subset: str, row: dict) -> str:
    """One subset's numbers, below _legend_head."""
    official = "-" if row["n_official"] is None else row["n_official"]
    head = f"{subset:<14}{row['n']:>5}{official:>10}{row['nme']:>8.2f}"
    return head + "".join(f"{row[name]:>9.4f}" for name in metrics.MEASURES)


def draw_worst(
    path: str | os.PathLike,
    crops: Sequence[np.ndarray],
    truth: np.ndarray,
    predicted: np.ndarray,
    captions: Sequence[str],
    layout: Layout,
    title: str,
) -> None:
    """Draws faces in the given order, truth and prediction over each.

    Args:
        crops: n uint8 RGB pictures (h, w, 3).
        truth, predicted: (n, points, 2) in pixels of those pictures.
        captions: a text under each face.
    """
    columns = min(COLUMNS, len(crops))
    rows = -(-len(crops) // columns)
    size = max(columns, 2) * FACE_INCHES, rows * (FACE_INCHES + 0.4) + 0.9  # room for captions and title
    figure = Figure(figsize=size, dpi=DOTS, layout="constrained")
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
    """Landmarks (points, 2) as dots, joined along the layout's chains."""
    for chain in layout.chains:
        axes.plot(*landmarks[chain.path].T, color=colour, linewidth=0.7, alpha=0.8)
    axes.plot(*landmarks[layout.dots].T, ".", color=colour, markersize=2.5)


def draw_ellipses(
    path: str | os.PathLike,
    image: np.ndarray,
    landmarks: np.ndarray,
    tangents: np.ndarray,
    corners: Sequence[int],
    a: float,
    b: float,
    size: int,
) -> None:
    """Draws the freedom that the anisotropic loss leaves every landmark (its paper's Figure 1).

    The ellipse of a landmark holds the places of one and the same loss: half axes a along its curve and b across, in
    pixels; a circle of radius 1 at a corner, of radius b where there is no tangent.

    Args:
        image: (side, side, 3), RGB, of any side. landmarks: (points, 2) in pixels of a crop of `size`.
        tangents: (points, 2), unit or zero, see anisotropic_loss.tangents.
        corners: indices of the landmarks that are corners.
    """
    figure = Figure(figsize=(6.0, 6.5), dpi=DOTS, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(image, extent=(-0.5, size - 0.5, size - 0.5, -0.5))
    axes.set_axis_off()
    for index, (place, tangent) in enumerate(zip(landmarks, tangents, strict=True)):
        corner = index in corners
        across = 1.0 if corner else b
        along = across if corner or not tangent.any() else a
        angle = np.degrees(np.arctan2(tangent[1], tangent[0]))
        colour = CORNER_COLOUR if corner else ELLIPSE_COLOUR
        axes.add_patch(
            Ellipse(
                place, 2 * along, 2 * across, angle=angle, color=colour, fill=corner, linewidth=1.2, zorder=2 + corner
            )
        )
    axes.plot(*landmarks.T, ".", color=TRUTH_COLOUR, markersize=2.5)
    axes.set_title(
        "places of one and the same anisotropic loss, in pixels of "
        f"{size}:\nalong a curve {a:g}, across it {b:g}, at a corner (yellow) 1",
        fontsize=10,
    )
    with atomic_write(path) as temporary:
        figure.savefig(temporary)
