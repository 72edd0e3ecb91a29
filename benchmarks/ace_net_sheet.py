"""A sheet like ACE-Net's Figure 10, on rendered faces that no network has seen: what joined landmarks, networks and the
exact contours look like side by side.

    python -m benchmarks.ace_net_sheet --out img/ace_net.png
    python -m benchmarks.ace_net_sheet --out sheet.png --weights runs/line/best.keras runs/ace/best.keras

The last column shows the heatmaps of the last network, or without networks those it should give.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ace_net.config import FINE_STRIDE
from ace_net.face_outlines import rendered_outline
from ace_net.outlines import CURVES, get_anchors, get_contours, join_landmarks
from ace_net.targets import MAPS, heatmaps, segments
from config import get_crop
from evaluation.plots import DPI, FACE_INCHES, PREDICTION_COLOUR
from face_datasets.catalogue import SYNTHETIC_SEEDS
from face_datasets.layouts import LAYOUT_68
from image_utility import crop_image, invert, to_grid, to_network, transform
from inference.network import LandmarkNetwork, load_network
from synthetic_faces import render_face
from synthetic_faces.face import SyntheticFace
from utils.files import atomic_write

FACES, SIZE = 4, 256
FIRST_SEED = SYNTHETIC_SEEDS["test"]


def predicted(network: LandmarkNetwork, face: SyntheticFace) -> tuple[np.ndarray, np.ndarray | None]:
    """A network's outline (OUTLINE, 2) in the pixels of a face, and its heatmaps as a picture of the face, if it has
    any."""
    size = network.input_size
    crops, matrices = crop_image(face.image, get_crop(network.crop), face.landmarks(), size, np.eye(2, 3)[None])
    images = to_network(crops)
    points = transform(network.predict(images), invert(matrices))
    if network.codec.complete:
        return join_landmarks(points, network.layout, "line")[0], None
    return points[0], coloured(np.asarray(network.run(images)[-1][0]))


def coloured(maps: np.ndarray) -> np.ndarray:
    """Heatmaps (size, size, MAPS) as one picture, a hue for each (Fig. 5)."""
    from matplotlib import colormaps

    hues = colormaps["hsv"](np.arange(MAPS) / MAPS)[:, :3]  # (MAPS, 3)
    return np.clip(np.maximum(maps, 0) @ hues, 0, 1)


def draw_sheet(path: Path, weights: Sequence[str]) -> None:
    """Draws the sheet, a row for each face.

    Raises:
        FileNotFoundError, ValueError: weights that cannot be read, or whose landmarks draw no contours.
    """
    networks = {file: load_network(file) for file in weights}
    rows = []
    for seed in range(FIRST_SEED, FIRST_SEED + FACES):
        face = render_face(seed, SIZE)
        truth, landmarks = rendered_outline(seed) * SIZE - 0.5, face.landmarks()[None]
        joined = {curve: join_landmarks(landmarks, LAYOUT_68, curve)[0] for curve in CURVES}
        row = {f"68 landmarks, {curve}": (face.image, outline) for curve, outline in joined.items()}
        heat = coloured(heatmaps(*segments(to_grid(truth, FINE_STRIDE)[None]), (1, SIZE // 2, SIZE // 2, MAPS))[0])
        for file, network in networks.items():
            outline, found = predicted(network, face)
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
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="A sheet of contours on rendered faces.")
    parser.add_argument("--out", required=True, type=Path, help="the picture, .png")
    parser.add_argument("--weights", nargs="*", default=[], help="networks of contours, or of landmarks to be joined")
    options = parser.parse_args(arguments)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        draw_sheet(options.out, options.weights)
    except (OSError, ValueError) as error:
        print(f"sheet: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
