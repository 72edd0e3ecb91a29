"""Faces the project renders itself."""

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from face_datasets.catalogue import SYNTHETIC_SEEDS, Dataset, Part
from face_datasets.readers.annotation import Annotation, subsets_of


def read_synthetic(dataset: Dataset, part: Part, root: Path) -> Iterator[Annotation]:
    """Rendered faces: the picture and its landmarks follow from a seed, and the parts' seeds never meet."""
    for index in range(part.count):
        yield rendered_face(dataset, part, index)


def rendered_face(dataset: Dataset, part: Part, index: int) -> Annotation:
    """The face of this number of a rendered part."""
    name, seed = f"{part.path}/{index:06d}", SYNTHETIC_SEEDS[part.path] + index
    return Annotation(name, part, None, seed, None, name, subsets_of(part), size=dataset.render_size)


def render(raw: Annotation) -> tuple[np.ndarray, Annotation]:
    """The picture of a rendered face, and the face with all that is known once it is rendered."""
    from synthetic_faces import render_face

    face = render_face(raw.row, raw.size)
    subsets = raw.subsets + (face.subsets if raw.subsets else ())
    hidden = tuple((~face.visible()).astype(int).tolist())
    return face.image, replace(raw, landmarks=face.landmarks(), subsets=subsets, occluded=hidden)


@functools.cache
def renderer_digest() -> str:
    """A digest of the renderer's code and of what it draws with: faces that others rendered are out of date."""
    import synthetic_faces

    code = sorted(Path(synthetic_faces.__file__).parent.glob("*.py"))
    made_by = f"{cv2.__version__} {np.__version__}".encode()
    return hashlib.sha256(b"".join([made_by, *(path.read_bytes() for path in code)])).hexdigest()
