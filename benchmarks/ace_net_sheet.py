"""Contact sheet like ACE-Net's Figure 10, on rendered test faces: joined landmarks, networks and exact contours.

    python -m benchmarks.ace_net_sheet --out img/ace_net.png
    python -m benchmarks.ace_net_sheet --out sheet.png --weights runs/line/best.keras runs/ace/best.keras

The last column shows the heatmaps of the last network, or without networks the target heatmaps.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ace_net.config import FINE_STRIDE
from ace_net.face_outlines import rendered_outline
from ace_net.outlines import CURVES, get_anchors, get_contours, join_landmarks
from ace_net.targets import MAPS, heatmaps, to_segments
from config import get_crop
from face_datasets.catalogue import SYNTHETIC_SEEDS
from face_datasets.layouts import LAYOUT_68
from image_utility import crop_image, invert, to_grid, to_network, transform
from synthetic_faces import render_face
from synthetic_faces.face import SyntheticFace
from utils import cli
from utils.files import atomic_write

if TYPE_CHECKING:
    from inference.network import LandmarkNetwork

FACES, SIZE = 4, 256
FIRST_SEED = SYNTHETIC_SEEDS["test"]


def predict_outline(network: "LandmarkNetwork", face: SyntheticFace) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a network's outline (OUTLINE, 2) in pixels of a face, and its heatmaps as a picture, None without any."""
    size = network.input_size
    crops, matrices = crop_image(face.image, get_crop(network.crop), face.landmarks(), size, np.eye(2, 3)[None])
    images = to_network(crops)
    points = transform(network.predict(images), invert(matrices))
    if network.codec.complete:
        return join_landmarks(points, network.layout, "line")[0], None
    return points[0], colour_maps(np.asarray(network.run(images)[-1][0]))


def colour_maps(maps: np.ndarray) -> np.ndarray:
    """Return heatmaps (size, size, MAPS) as one RGB picture, a hue for each map (Fig. 5)."""
    from matplotlib import colormaps

    hues = colormaps["hsv"](np.arange(MAPS) / MAPS)[:, :3]  # (MAPS, 3)
    return np.clip(np.maximum(maps, 0) @ hues, 0, 1)


def draw_sheet(path: Path, weights: Sequence[str]) -> None:
    """Draw the sheet, a row for each face.

    Args:
        path: the picture.
        weights: files of networks.

    Raises:
        FileNotFoundError, ValueError: weights that cannot be read, or whose landmarks draw no contours.
    """
    from matplotlib.figure import Figure

    from evaluation.plots import DPI, FACE_INCHES, PREDICTION_COLOUR
    from inference.network import load_network

    networks = {file: load_network(file) for file in weights}
    rows = []
    for seed in range(FIRST_SEED, FIRST_SEED + FACES):
        face = render_face(seed, SIZE)
        truth, landmarks = rendered_outline(seed) * SIZE - 0.5, face.landmarks()[None]
        joined = {curve: join_landmarks(landmarks, LAYOUT_68, curve)[0] for curve in CURVES}
        row = {f"68 landmarks, {curve}": (face.image, outline) for curve, outline in joined.items()}
        heat = colour_maps(
            heatmaps(*to_segments(to_grid(truth, FINE_STRIDE)[None]), (1, SIZE // 2, SIZE // 2, MAPS))[0]
        )
        for file, network in networks.items():
            outline, found = predict_outline(network, face)
            row[f"{network.method}\n{Path(file).parent}"] = face.image, outline
            heat = heat if found is None else found
        rows.append({**row, "exact": (face.image, truth), "heatmaps": (heat, None)})
    columns = len(rows[0])
    figure = Figure(figsize=(columns * FACE_INCHES, FACES * FACE_INCHES + 0.4), dpi=DPI, layout="constrained")
    for line, row in zip(figure.subplots(FACES, columns, squeeze=False), rows, strict=True):
        for axes, (title, (image, outline)) in zip(line, row.items(), strict=True):
            axes.imshow(image)
            axes.set(xticks=[], yticks=[])
            if row is rows[0]:
                axes.set_title(title, fontsize=9)
            if outline is not None:
                for contour in get_contours(outline):
                    axes.plot(*contour.T, color=PREDICTION_COLOUR, linewidth=0.8)
                axes.plot(*get_anchors(outline).T, ".", color="#ffe000", markersize=3)
                axes.set(xlim=(-0.5, SIZE - 0.5), ylim=(SIZE - 0.5, -0.5))
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Draw contours on rendered faces.")
    parser.add_argument("--out", required=True, type=Path, help="file of the picture, .png")
    parser.add_argument(
        "--weights",
        nargs="*",
        default=[],
        help="weights of networks of contours, or of landmarks, which are joined; default: none",
    )
    options = parser.parse_args(arguments)
    return cli.run(lambda: draw_sheet(options.out, options.weights), "ace_net_sheet")


if __name__ == "__main__":
    sys.exit(main())
