"""Pictures of rendered faces: a contact sheet, and the numbered landmarks.

python -m benchmarks.synthetic_gallery                    # img/synthetic_faces.jpg
python -m benchmarks.synthetic_gallery --landmarks        # img/landmarks_68.png
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from tqdm import tqdm

from config import ROOT
from face_datasets.layouts import LAYOUT_68
from synthetic_faces import draw_parameters, render_face, render_parameters
from synthetic_faces.parameters import FaceParameters
from utils import cli
from utils.files import atomic_write
from utils.image_files import write_image

SEED, NUMBERED_SEED = 0, 28  # of the first face of the sheet; of the face with numbered landmarks
SIZE, NUMBERED_SIZE = 160, 1400  # pixels
GRID = 8  # faces in a row and in a column
SHEET_FILE, NUMBERED_FILE = ROOT / "img/synthetic_faces.jpg", ROOT / "img/landmarks_68.png"

MARGIN = 0.08  # around the numbered landmarks, fraction of their width
LABEL_OFFSET = (17, 13)  # points from a landmark to the middle of its number
PART_COLOURS = {"jaw": "#7fd4ff", "brows": "#ffd23f", "nose": "#7dff8a", "eyes": "#ff9de2", "mouth": "#ffffff"}


def draw_sheet(out: str | os.PathLike, seed: int = SEED, size: int = SIZE, grid: int = GRID) -> None:
    """Write a contact sheet of faces from consecutive seeds.

    Args:
        out: file of the picture.
        seed: of the first face.
        size: side of each face in pixels.
        grid: faces in a row and in a column.
    """
    seeds = tqdm(range(seed, seed + grid**2), desc="faces", unit="face", disable=None)
    faces = [render_face(seed, size).image for seed in seeds]
    write_image(Path(out), np.vstack([np.hstack(faces[k : k + grid]) for k in range(0, grid**2, grid)]))


def draw_numbers(out: str | os.PathLike, seed: int = NUMBERED_SEED, size: int = NUMBERED_SIZE) -> None:
    """Write the 68 landmarks with their numbers on a frontal rendered face.

    Args:
        out: file of the picture.
        seed: of the face.
        size: side of the rendered image in pixels.
    """
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    face = render_parameters(_make_frontal(draw_parameters(seed)), size)
    landmarks = face.landmarks("68")  # (68, 2)
    (left, top), (right, bottom) = landmarks.min(axis=0), landmarks.max(axis=0)
    margin = MARGIN * (right - left)
    width, height = right - left + 2 * margin, bottom - top + 3.1 * margin
    figure = Figure(figsize=(10, 10 * height / width), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(cv2.cvtColor(face.image, cv2.COLOR_RGB2GRAY), cmap="gray", vmin=0, vmax=255)
    axes.set(xlim=(left - margin, right + margin), ylim=(bottom + margin, top - 2.1 * margin))
    axes.set_axis_off()
    for chain in LAYOUT_68.chains:
        axes.plot(*landmarks[chain.path].T, color="white", linewidth=1, alpha=0.6)
    outline = [withStroke(linewidth=3.5, foreground="black")]
    directions = _get_label_directions(landmarks)
    for part, points in LAYOUT_68.parts.items():
        points = list(points)
        axes.plot(*landmarks[points].T, "o", color=PART_COLOURS[part], markersize=6, markeredgecolor="black")
        for point in points:
            axes.annotate(
                str(point), landmarks[point], xytext=LABEL_OFFSET * directions[point], textcoords="offset points",
                ha="center", va="center", fontsize=15, fontweight="bold", color=PART_COLOURS[part],
                path_effects=outline,
            )  # fmt: skip
    notes = {
        "left": "image's left =\nperson's right\n(right eye: 36-41)",
        "right": "image's right =\nperson's left\n(left eye: 42-47)",
    }
    for side, x in (("left", 0.012), ("right", 0.988)):
        axes.text(
            x, 0.988, notes[side], transform=axes.transAxes, ha=side, va="top", fontsize=17, color="white",
            fontweight="bold", path_effects=outline,
        )  # fmt: skip
    with atomic_write(out) as temporary:
        figure.savefig(temporary, pil_kwargs={"optimize": True})


def _make_frontal(parameters: FaceParameters) -> FaceParameters:
    """Return a face without accessories, in frontal pose and with its mouth open, so that all landmarks are visible."""
    pose = SimpleNamespace(**vars(parameters.pose))
    pose.yaw = pose.pitch = pose.roll = pose.gaze_x = pose.gaze_y = 0.0
    appearance = SimpleNamespace(**vars(parameters.appearance))
    hidden = ("glasses", "cap", "headband", "scarf", "mask", "occluder", "fringe", "beard", "stubble", "moustache")
    for name in (*hidden, "hard_light", "back_light", "coloured_light", "dark", "blur", "motion", "noise", "grey"):
        setattr(appearance, name, False)
    halves = []
    for half in (parameters.left, parameters.right):
        half = SimpleNamespace(**vars(half))
        half.open, half.smile, half.pucker, half.blink, half.squint = 0.75, 0.4, 0.0, 0.0, 0.0
        halves.append(half)
    return dataclasses.replace(parameters, left=halves[0], right=halves[1], pose=pose, appearance=appearance)


def _get_label_directions(landmarks: np.ndarray) -> np.ndarray:
    """Return the direction (68, 2), x right and y up, in which each number stands beside its landmark.

    Numbers stand outside of jaw, eyes and outer lip, inside of the inner lip, and above brows.
    """
    outward = np.zeros_like(landmarks)
    for group in (range(36, 42), range(42, 48), range(48, 60)):
        group = list(group)
        outward[group] = landmarks[group] - landmarks[group].mean(axis=0)
    outward[:17] = landmarks[27:31].mean(axis=0) - landmarks[:17]
    outward[17:27] = 0, -1
    outward[27:31] = 1, 0
    outward[31:36] = outward[61:64] = 0, 1
    outward[60], outward[64], outward[65:68] = (1, 0), (-1, 0), (0, -1)
    return outward / np.linalg.norm(outward, axis=1, keepdims=True) * [1, -1]


def _draw(options: argparse.Namespace) -> None:
    if options.landmarks:
        draw_numbers(options.out or NUMBERED_FILE, **options.face)
    else:
        draw_sheet(options.out or SHEET_FILE, grid=options.grid, **options.face)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.synthetic_gallery", description="Pictures of rendered faces."
    )
    add = parser.add_argument
    add("--landmarks", action="store_true", help="the 68 landmarks with their numbers, instead of a contact sheet")
    add("--out", type=Path, help=f"file of the picture; default: img/{SHEET_FILE.name} or img/{NUMBERED_FILE.name}")
    add("--seed", type=int, help=f"seed of the (first) face; default: {SEED}, with --landmarks {NUMBERED_SEED}")
    add("--size", type=int, help=f"side of a face in pixels; default: {SIZE}, with --landmarks {NUMBERED_SIZE}")
    add("--grid", type=int, default=GRID, help=f"faces in a row and in a column; default: {GRID}")
    options = parser.parse_args(arguments)
    options.face = {name: getattr(options, name) for name in ("seed", "size") if getattr(options, name) is not None}
    return cli.run(lambda: _draw(options), "synthetic_gallery")


if __name__ == "__main__":
    sys.exit(main())
