"""Annotated faces as readers yield them, and what all readers need: names, picture paths and test subsets."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from face_datasets.catalogue import Part

MATLAB_FIRST = 1  # MATLAB counts pixels from 1


@dataclass(frozen=True)
class Annotation:
    """One annotated face, its picture not opened yet.

    Args:
        image: name of the face, its picture's path below the set's root; unique within its part.
        part: the part of the data set it comes from.
        source: the file that holds the picture; None for a rendered face.
        row: index of the picture in that file, or the renderer's seed; None for a file with one picture.
        landmarks: (points, 2) in 0-based image pixels; None for a rendered face, which has them once it is rendered.
            They may be NaN or infinite, as may the box: stored_faces.cut_face checks both.
        photo_id: faces with the same one were cut from one photograph and stay on one side of every split.
        subsets: test subsets of the face.
        box: the set's own (left, top, right, bottom) in image pixels, if it has one.
        occluded: 0 or 1 for every landmark, if the set annotates it.
        size: side of a rendered picture in pixels.
    """

    image: str
    part: Part
    source: Path | None
    row: int | None
    landmarks: np.ndarray | None
    photo_id: str
    subsets: tuple[str, ...] = ()
    box: tuple[float, ...] | None = None
    occluded: tuple[int, ...] | None = None
    size: int | None = None

    @property
    def rendered(self) -> bool:
        """Whether the project renders its picture."""
        return self.source is None


@dataclass(frozen=True)
class SkippedFace:
    """A face, a picture or an annotation that cannot be used.

    Args:
        file: its name.
        reason: why it cannot be used.
        part: the part of the data set it comes from.
    """

    file: str
    reason: str
    part: Part


def get_subsets(part: Part) -> tuple[str, ...]:
    """Return the test subsets that every face of a part belongs to."""
    if part.split == "train":
        return ()
    return tuple(name for name in ("private" if part.split == "private" else "full", part.subset) if name)


def find_picture_folder(root: Path, names: tuple[str, ...]) -> str:
    """Return the first of these folders that lies below root.

    Raises:
        FileNotFoundError: none of them does.
    """
    folder = next((name for name in names if (root / name).is_dir()), None)
    if folder is None:
        raise FileNotFoundError(f"{root} holds no pictures. Looked for the folders {', '.join(names)}")
    return folder


def find_picture(root: Path, folder: str, name: str) -> PurePosixPath:
    """Return the path below root of a picture that a list names.

    Raises:
        ValueError: the picture lies outside the folder, or does not exist.
    """
    path = PurePosixPath(folder, name.replace("\\", "/"))
    if ".." in path.parts or not path.is_relative_to(folder):
        raise ValueError(f"the picture {name!r} lies outside {folder}; expected a path below it")
    if not os.path.isfile(root / path):  # unlike Path.is_file, False for a name that no file can have
        raise ValueError(f"no picture {path}; expected it below {folder}")
    return path


def name_face(picture: PurePosixPath, seen: Counter) -> str:
    """Return the picture's name, with #2, #3, ... from its second face on; `seen` counts the faces of each picture."""
    seen[picture] += 1
    return str(picture) if seen[picture] == 1 else f"{picture}#{seen[picture]}"


def parse_points(lines: Sequence[str], count: int) -> np.ndarray:
    """Return `count` points (count, 2) from lines of x and y, separated by a comma or a space.

    Raises:
        ValueError: there is another number of lines, or a line is not two numbers.
    """
    try:
        points = np.array([line.replace(",", " ").split() for line in lines], np.float64)
    except ValueError:
        raise ValueError("a line is not two numbers; expected x and y of each point") from None
    if points.shape != (count, 2):
        raise ValueError(f"points of shape {points.shape}; expected {count} of x and y")
    return points
