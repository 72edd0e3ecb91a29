"""Faces the project renders itself."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from config import SYNTHETIC_SEEDS, Dataset, Part
from face_readers.raw_face import RawFace, subsets_of


def read_synthetic(dataset: Dataset, part: Part, root: Path) -> Iterator[RawFace]:
    """Rendered faces: the picture and its landmarks follow from a seed, and the parts' seeds never meet."""
    for index in range(part.count):
        yield rendered_face(dataset, part, index)


def rendered_face(dataset: Dataset, part: Part, index: int) -> RawFace:
    """The face of this number of a rendered part."""
    name, seed = f"{part.path}/{index:06d}", SYNTHETIC_SEEDS[part.path] + index
    return RawFace(name, part, None, seed, None, name, subsets_of(part), size=dataset.render_size)


def render(raw: RawFace) -> tuple[np.ndarray, RawFace]:
    """The picture of a rendered face, and the face with all that is known once it is rendered."""
    from synthetic_faces import render_face

    face = render_face(raw.row, raw.size)
    subsets = raw.subsets + (face.subsets if raw.subsets else ())
    hidden = tuple((~face.visible()).astype(int).tolist())
    return face.image, replace(raw, landmarks=face.landmarks(), subsets=subsets, occluded=hidden)
