"""Pictures that show what the rendered faces are like.

    python -m synthetic_faces.gallery sheet --out img/synthetic_faces.jpg
    python -m synthetic_faces.gallery shapes --dataset 300W --data-dir data --out img/synthetic_shapes.png

The second compares their shapes with those of a prepared data set of 68 landmarks: all faces that it ships for
training, held out for validation or not.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.synthetic_shapes import compare_shapes, draw_shape_modes
from config import DATA_DIR
from face_datasets.catalogue import TITLES, get_dataset
from face_datasets.face_dataset import read_index
from synthetic_faces import get_landmarks, render_face
from utils.image_files import write_image

SHEET = 8  # faces in a row and in a column
COMPARED = 3148  # rendered faces, as many as all of 300W's training set has
VARIANCE = 0.95  # of real shapes
SHIPPED = ("train", "validation")  # splits of the faces that a set ships for training


def draw_sheet(out: Path, seed: int, size: int) -> None:
    """A picture of faces from consecutive seeds, side by side."""
    seeds = tqdm(range(seed, seed + SHEET**2), desc="faces", unit="face", disable=None)
    faces = [render_face(seed, size).image for seed in seeds]
    write_image(out, np.vstack([np.hstack(faces[k : k + SHEET]) for k in range(0, SHEET**2, SHEET)]))


def draw_shapes(out: Path, dataset: str, data_dir: str) -> None:
    """Mean and first modes of real and rendered shapes; prints how far the rendered modes explain real faces.

    Raises:
        FileNotFoundError: the data set is not prepared.
        ValueError: no such data set, or one of other landmarks.
    """
    faces = read_index(data_dir, get_dataset(dataset))["faces"]
    landmarks = np.array([face["landmarks"] for face in faces if face["split"] in SHIPPED])  # (faces, 68, 2)
    rendered = np.stack(
        [get_landmarks(seed) for seed in tqdm(range(COMPARED), desc="shapes", unit="face", disable=None)]
    )
    found = compare_shapes(landmarks, rendered, VARIANCE)
    print(
        f"real faces: {len(landmarks)}; {found.modes} modes hold {VARIANCE:.0%} of their shape variance\n"
        f"rendered faces: {len(rendered)}; {found.modes} of their modes hold {found.explained:.1%} of it\n"
        f"mean shapes: {found.mean_distance:.2f} % of the inter-ocular distance apart"
    )
    draw_shape_modes(out, found)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m synthetic_faces.gallery", description="Pictures of the rendered faces."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    sheet = commands.add_parser("sheet", help="faces side by side")
    sheet.add_argument("--out", type=Path, default=Path("img/synthetic_faces.jpg"))
    sheet.add_argument("--seed", type=int, default=0, help="of the first face")
    sheet.add_argument("--size", type=int, default=160, help="side of each face in pixels")
    shapes = commands.add_parser("shapes", help="their shapes beside those of real faces")
    shapes.add_argument("--out", type=Path, default=Path("img/synthetic_shapes.png"))
    shapes.add_argument("--dataset", default="300W", help=f"one of {TITLES} with 68 landmarks, prepared")
    shapes.add_argument("--data-dir", default=DATA_DIR, help="the data root")
    options = vars(parser.parse_args(arguments))
    command = {"sheet": draw_sheet, "shapes": draw_shapes}[options.pop("command")]
    try:
        command(**options)
    except (OSError, ValueError) as error:
        print(f"benchmarks.synthetic_gallery: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
