"""What readers give, and what all of them need: names, pictures and subsets of faces."""

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

    image: its name below the set's root; unique within its part. part: the part of the data set it comes from.
    source: the file that holds the picture, or None for a rendered face. row: where in that file; the renderer's seed.
    size: side of a rendered picture in pixels.
    landmarks: (points, 2) in 0-based image pixels; None for a rendered face, which has them only once it is rendered.
        They may be NaN or infinite, and so may the box: stored_faces.cut_face looks at both, of every set.
    photo: faces with the same photo were cut from one photograph and must stay on one side of every split.
    box: the set's own (left, top, right, bottom), if it has one. occluded: 0 or 1 for every landmark, if the set says.
    """

    image: str
    part: Part
    source: Path | None
    row: int | None
    landmarks: np.ndarray | None
    photo: str
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
    """A face, a picture or an annotation that cannot be used, and why."""

    file: str
    reason: str
    part: Part


def subsets_of(part: Part) -> tuple[str, ...]:
    """The evaluation subsets that every face of a part belongs to."""
    if part.split == "train":
        return ()
    return tuple(name for name in ("private" if part.split == "private" else "full", part.subset) if name)


def picture_folder(root: Path, names: tuple[str, ...]) -> str:
    """The one of these folders that lies below root."""
    folder = next((name for name in names if (root / name).is_dir()), None)
    if folder is None:
        raise FileNotFoundError(f"{root} holds no pictures. Looked for the folders {', '.join(names)}")
    return folder


def picture_path(root: Path, folder: str, name: str) -> PurePosixPath:
    """The path below root of a picture that a list names.

    Raises:
        ValueError: it lies elsewhere, or is not there.
    """
    path = PurePosixPath(folder, name.replace("\\", "/"))
    if ".." in path.parts or not path.is_relative_to(folder):
        raise ValueError(f"the picture {name!r} lies outside {folder}; expected a path below it")
    if not os.path.isfile(root / path):  # unlike Path.is_file, False for a name that no file can have
        raise ValueError(f"no picture {path}; expected it below {folder}")
    return path


def face_name(picture: PurePosixPath, seen: Counter) -> str:
    """The picture's name; from its second face on with #2, #3, ... `seen` counts the faces of each picture."""
    seen[picture] += 1
    return str(picture) if seen[picture] == 1 else f"{picture}#{seen[picture]}"


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
