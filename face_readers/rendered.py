"""Faces the project renders itself."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from config import SYNTHETIC_SEEDS, Dataset, Part
from face_readers.face_record import FaceRecord, subsets_of


def read_synthetic(dataset: Dataset, part: Part, root: Path) -> Iterator[FaceRecord]:
    """Rendered faces: the picture and its landmarks follow from a seed, and the parts' seeds never meet."""
    for index in range(part.count):
        yield rendered_record(dataset, part, index)


def rendered_record(dataset: Dataset, part: Part, index: int) -> FaceRecord:
    """The face of this number of a rendered part."""
    name, seed = f"{part.path}/{index:06d}", SYNTHETIC_SEEDS[part.path] + index
    return FaceRecord(name, part, None, seed, None, name, subsets_of(part), size=dataset.render_size)


def render(record: FaceRecord) -> tuple[np.ndarray, FaceRecord]:
    """The picture of a rendered face, and its record with all that is known once it is rendered."""
    from synthetic_faces import render_face

    face = render_face(record.row, record.size)
    subsets = record.subsets + (face.subsets if record.subsets else ())
    hidden = tuple((~face.visible()).astype(int).tolist())
    return face.image, replace(record, landmarks=face.landmarks(), subsets=subsets, occluded=hidden)
