"""Faces that the project renders itself."""

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from face_datasets.catalogue import SYNTHETIC_SEEDS, Dataset, Part
from face_datasets.readers.annotation import Annotation, get_subsets


def read_synthetic(dataset: Dataset, part: Part, root: Path) -> Iterator[Annotation]:
    """Yield the faces of a rendered part; each follows from its seed, and no two parts share a seed."""
    for index in range(part.count):
        yield annotate_rendered(dataset, part, index)


def annotate_rendered(dataset: Dataset, part: Part, index: int) -> Annotation:
    """Return face `index` of a rendered part, not rendered yet."""
    name, seed = f"{part.path}/{index:06d}", SYNTHETIC_SEEDS[part.path] + index
    return Annotation(name, part, None, seed, None, name, get_subsets(part), size=dataset.render_size)


def render(annotation: Annotation) -> tuple[np.ndarray, Annotation]:
    """Render a face.

    Returns:
        The picture, uint8 RGB (size, size, 3), and the annotation completed with landmarks, subsets and occlusion.
    """
    from synthetic_faces import render_face

    face = render_face(annotation.row, annotation.size)
    subsets = annotation.subsets + (face.subsets if annotation.subsets else ())
    occluded = tuple((~face.visible()).astype(int).tolist())
    return face.image, replace(annotation, landmarks=face.landmarks(), subsets=subsets, occluded=occluded)


@functools.cache
def renderer_digest() -> str:
    """Return a digest of the renderer's code and its libraries; faces of another renderer are out of date."""
    import synthetic_faces

    code = sorted(Path(synthetic_faces.__file__).parent.glob("*.py"))
    made_by = f"{cv2.__version__} {np.__version__}".encode()
    return hashlib.sha256(b"".join([made_by, *(path.read_bytes() for path in code)])).hexdigest()
