"""WFLW: one line of text for each face."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from face_datasets.catalogue import Dataset, Part
from face_datasets.readers.annotation import (
    Annotation,
    SkippedFace,
    find_picture,
    find_picture_folder,
    get_subsets,
    name_face,
)

IMAGE_FOLDERS = ("WFLW_images", "images")
ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")  # in the list's order


def read_wflw(dataset: Dataset, part: Part, root: Path) -> Iterator[Annotation | SkippedFace]:
    """Read lines of 196 coordinates, box, six attributes and the picture's name, in 0-based pixels.

    A picture with several faces has several lines; the names of its second face and later ones end in #2, #3, ...
    """
    folder = find_picture_folder(root, IMAGE_FOLDERS)
    seen = Counter()
    with open(root / part.path, encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield _parse_line(dataset, part, root, folder, line, seen)
            except ValueError as error:
                yield SkippedFace(f"{part.path}:{number}", str(error), part)


def _parse_line(dataset: Dataset, part: Part, root: Path, folder: str, line: str, seen: Counter) -> Annotation:
    """Return the face of one line; `seen` counts the faces of each picture."""
    coordinates = dataset.outputs
    expected = coordinates + 4 + len(ATTRIBUTES)
    fields = line.strip().split(maxsplit=expected)
    if len(fields) != expected + 1:
        raise ValueError(
            f"{len(fields)} fields; expected {coordinates} coordinates, 4 of the box, "
            f"{len(ATTRIBUTES)} attributes and a picture's name"
        )
    try:
        numbers = np.array(fields[:-1], np.float64)
    except ValueError:
        raise ValueError(f"a field before the picture's name is no number; expected {expected} numbers") from None
    landmarks = numbers[:coordinates].reshape(-1, 2)  # (points, 2)
    picture = find_picture(root, folder, fields[-1])
    image = name_face(picture, seen)
    attributes = zip(ATTRIBUTES, numbers[coordinates + 4 :], strict=True)
    subsets = get_subsets(part)
    if subsets:
        subsets += tuple(attribute for attribute, value in attributes if value)
    box = tuple(numbers[coordinates : coordinates + 4].tolist())
    return Annotation(image, part, root / picture, None, landmarks, str(picture), subsets, box)
