"""Readers of face data sets, one for each file format.

A reader goes through one part of a data set in a fixed order and yields an `Annotation` for every face, or a
`SkippedFace` with the reason. Annotations are cheap: images stay on disk until `read_face` opens one.

All readers return landmarks and boxes in 0-based pixels. The files of 300W and of both COFW sets are 1-based, as in
MATLAB; WFLW is 0-based, and AFLW is taken to be, although no document states it.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from face_datasets.catalogue import DATASETS, Dataset, Part
from face_datasets.readers.aflw import read_aflw
from face_datasets.readers.annotation import Annotation, SkippedFace
from face_datasets.readers.cofw import read_cofw, read_cofw68, read_mat_image
from face_datasets.readers.frl import read_tem
from face_datasets.readers.helen194 import read_helen194
from face_datasets.readers.pts import read_pts
from face_datasets.readers.synthetic import read_synthetic, render
from face_datasets.readers.wflw import read_wflw
from utils import image_files

READERS: dict[str, Callable[[Dataset, Part, Path], Iterator[Annotation | SkippedFace]]] = {
    "pts": read_pts,
    "cofw": read_cofw,
    "cofw68": read_cofw68,
    "wflw": read_wflw,
    "aflw": read_aflw,
    "helen194": read_helen194,
    "tem": read_tem,
    "synthetic": read_synthetic,
}


def find_parts(
    dataset: Dataset, root: str | os.PathLike | None, extra_parts: bool = False
) -> tuple[list[Part], list[Part]]:
    """Return the parts of a data set that lie below `root`, and those that are missing.

    Args:
        dataset: a row of catalogue.DATASETS.
        root: the set's folder as it was unpacked; ignored for rendered faces.
        extra_parts: also look for extra parts; an absent extra part does not count as missing.

    Raises:
        FileNotFoundError: `root` is no folder, or holds none of the parts; the message lists the paths.
    """
    wanted = [part for part in dataset.parts if extra_parts or not part.extra]
    if dataset.rendered:
        return wanted, []
    if root is None:
        raise FileNotFoundError(f"{dataset.title} is read from a folder. Received none; name it with --raw")
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no such folder. Received {root}; expected the unpacked {dataset.title}")
    found = [part for part in wanted if _holds(root, part)]
    if not found:
        looked_for = ", ".join(dict.fromkeys(part.path for part in wanted))
        raise FileNotFoundError(f"{root} is not {dataset.title}. {_describe(root)}; looked for: {looked_for}")
    return found, [part for part in wanted if part not in found and not part.extra]


def _holds(root: Path, part: Part) -> bool:
    """Return whether a part's file, its folder (not empty) or files of its pattern lie below root."""
    path = root / part.path
    return path.is_file() or (path.is_dir() and any(path.iterdir())) or ("*" in part.path and any(root.glob(part.path)))


def _describe(root: Path) -> str:
    """Return a phrase about what a folder holds, and which data set it looks like."""
    names = sorted(entry.name for entry in root.iterdir())
    if not names:
        return "The folder is empty"
    others = [
        other.title
        for other in DATASETS.values()
        if not other.rendered and any(_holds(root, part) for part in other.parts)
    ]
    guess = f", which looks like --dataset {' or '.join(others)}" if others else ""
    return f"Received a folder with {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}{guess}"


def read_part(dataset: Dataset, part: Part, root: str | os.PathLike | None) -> Iterator[Annotation | SkippedFace]:
    """Yield the faces of one part of a data set, always in the same order.

    Raises:
        ValueError, FileNotFoundError: a file that describes the whole part is missing or has another layout.
    """
    return READERS[dataset.reader](dataset, part, Path(root or "."))


def read_face(annotation: Annotation) -> tuple[np.ndarray, Annotation]:
    """Open the picture of an annotated face, or render it.

    Returns:
        The image, uint8 RGB (height, width, 3), and the annotation. That of a rendered face is completed with
        landmarks, test subsets and occlusion flags.

    Raises:
        ValueError, OSError: the picture cannot be read; the message names the file.
    """
    if annotation.rendered:
        return render(annotation)
    if annotation.source.suffix == ".mat":
        return read_mat_image(annotation.source, annotation.row), annotation
    return image_files.read_image(annotation.source), annotation
