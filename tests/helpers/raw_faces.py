"""Faces and pictures as data sets are distributed."""

from pathlib import Path

import cv2
import numpy as np

from face_datasets.catalogue import get_dataset
from synthetic_faces import render_face

WFLW = get_dataset("WFLW")


def write_face(folder: Path, stem: str, seed: int, size: int = 120) -> None:
    """A rendered face as 300W stores one: NAME.jpg beside NAME.pts, 1-based."""
    folder.mkdir(parents=True, exist_ok=True)
    face = render_face(seed, size)
    cv2.imwrite(str(folder / f"{stem}.jpg"), cv2.cvtColor(face.image, cv2.COLOR_RGB2BGR))
    rows = "\n".join(f"{x:.3f} {y:.3f}" for x, y in face.landmarks() + 1)
    (folder / f"{stem}.pts").write_text(f"version: 1\nn_points:  68\n{{\n{rows}\n}}\n")


def ramp(points, step=3.0):
    return np.arange(2 * points, dtype=float).reshape(points, 2) * step / 2 + 10


def write_picture(path, width=40, height=30):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), (10, 20, 200), np.uint8))


def wflw_line(landmarks, attributes, name, box=(1, 2, 30, 40)):
    return " ".join(map(str, [*np.ravel(landmarks), *box, *attributes, name]))


def write_wflw(root, lines, number=1):
    path = root / WFLW.parts[number].path
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n")
    for name in ("a b.jpg", "c.jpg"):
        write_picture(root / "WFLW_images" / "0--Parade" / name)
