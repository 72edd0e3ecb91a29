"""FRL (Face Research Lab, London Set): `.tem` files of 189 points, for evaluation only."""

from collections.abc import Iterator
from pathlib import Path

from face_datasets.catalogue import Dataset, Part
from face_datasets.layouts import FRL_FACE, FRL_POINTS
from face_datasets.readers.annotation import Annotation, SkippedFace, get_subsets, parse_points


def read_tem(dataset: Dataset, part: Part, root: Path) -> Iterator[Annotation | SkippedFace]:
    """Read NAME.tem beside NAME.jpg: the number of points, a line "x y" for each, then lines that are not needed.

    Pixels count from 0. Only the points of layouts.FRL_FACE are kept.
    """
    for path in sorted(root.glob(part.path)):
        picture = path.with_suffix(".jpg")
        try:
            if not picture.is_file():
                raise ValueError(f"no picture {picture.name} beside it")
            count, *lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines() or [""]
            if count.strip() != str(FRL_POINTS):
                raise ValueError(f"it announces {count.strip()!r} points; expected {FRL_POINTS}")
            points = parse_points(lines[:FRL_POINTS], FRL_POINTS)[list(FRL_FACE)]
        except ValueError as error:
            yield SkippedFace(path.name, str(error), part)
            continue
        yield Annotation(picture.name, part, picture, None, points, picture.name, get_subsets(part))
