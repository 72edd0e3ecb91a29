"""HELEN's own annotation, and the templates of the Face Research Lab: dense points, for evaluation alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from config import Dataset, Part
from face_readers.raw_face import BadFace, RawFace, picture_folder, subsets_of
from landmark_layouts import FRL_FACE, FRL_POINTS

HELEN_TEST_FOLDERS = ("test", "testset", "helen/testset")  # as unpacked, or as 300W keeps its faces


def _numbers(lines: Sequence[str], count: int) -> np.ndarray:
    """`count` points (count, 2) from lines of x and y, with a comma or a space between.

    Raises:
        ValueError: another number of lines, or one that holds something else.
    """
    try:
        points = np.array([line.replace(",", " ").split() for line in lines], np.float64)
    except ValueError:
        raise ValueError("a line is not two numbers; expected x and y of each point") from None
    if points.shape != (count, 2):
        raise ValueError(f"points of shape {points.shape}; expected {count} of x and y")
    return points


def read_helen194(dataset: Dataset, part: Part, root: Path) -> Iterator[RawFace | BadFace]:
    """HELEN: annotation/NUMBER.txt holds a picture's name, then 194 lines "x , y". Pixels are taken to count from 0,
    since nothing says so. The test faces are those whose picture lies in one of HELEN_TEST_FOLDERS; the others are
    passed over.
    """
    folder = picture_folder(root, HELEN_TEST_FOLDERS)
    for path in sorted((root / part.path).glob("*.txt"), key=lambda file: (len(file.stem), file.stem)):
        name, *lines = path.read_text(encoding="utf-8-sig", errors="replace").split("\n")
        picture = PurePosixPath(folder, f"{PurePosixPath(name.strip()).name}.jpg")
        if not (root / picture).is_file():
            continue
        try:
            points = _numbers([line for line in lines if line.strip()], dataset.layout.points)
        except ValueError as error:
            yield BadFace(f"{part.path}/{path.name}", str(error), part)
            continue
        yield RawFace(str(picture), part, root / picture, None, points, str(picture), subsets_of(part))


def read_tem(dataset: Dataset, part: Part, root: Path) -> Iterator[RawFace | BadFace]:
    """Templates: NAME.tem beside NAME.jpg; a line with the number of points, a line "x y" for each, then the lines that
    join them, which are not needed. Pixels count from 0. Only the points of landmark_layouts.FRL_FACE are kept."""
    for path in sorted(root.glob(part.path)):
        picture = path.with_suffix(".jpg")
        try:
            if not picture.is_file():
                raise ValueError(f"no picture {picture.name} beside it")
            count, *lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines() or [""]
            if count.strip() != str(FRL_POINTS):
                raise ValueError(f"it announces {count.strip()!r} points; expected {FRL_POINTS}")
            points = _numbers(lines[:FRL_POINTS], FRL_POINTS)[list(FRL_FACE)]
        except ValueError as error:
            yield BadFace(path.name, str(error), part)
            continue
        yield RawFace(picture.name, part, picture, None, points, picture.name, subsets_of(part))
