"""AFLW with the annotation of Zhu et al. (CVPR 2016): one MATLAB v5 file with 19 landmarks of every face."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from face_datasets.catalogue import Dataset, Part
from face_datasets.readers.annotation import (
    MATLAB_FIRST,
    Annotation,
    SkippedFace,
    find_picture,
    find_picture_folder,
    get_subsets,
    name_face,
)
from face_datasets.readers.matlab import load_mat

IMAGE_FOLDERS = ("data/flickr", "flickr", "aflw/data/flickr", "images")  # as unpacked, and other places in use
KEYS = ("nameList", "bbox", "data", "mask_new", "ra")


def read_aflw(dataset: Dataset, part: Part, root: Path) -> Iterator[Annotation | SkippedFace]:
    """Read AFLWinfo_release.mat, which holds for every face:

        nameList    the picture's name below flickr/
        data        19 x, then 19 y, of all landmarks, visible or not
        bbox        left, right, top, bottom
        mask_new    1 where a landmark is visible
        ra          an order of the faces, counted from 1, whose first 20,000 are the training faces

    Test faces that show all landmarks are "frontal".
    """
    points, path = dataset.layout.points, root / part.path
    folder = find_picture_folder(root, IMAGE_FOLDERS)
    names, boxes, landmarks, visible, order = _read_tables(path, points)
    first_test = next(other.count for other in dataset.parts if other.split == "train")
    rows = set((order[:first_test] if part.split == "train" else order[first_test:]).tolist())
    seen = Counter()
    for row, name in enumerate(names):
        try:
            picture = find_picture(root, folder, name)
            image = name_face(picture, seen)  # counted over both parts, so that a face has one name
        except ValueError as error:
            if row in rows:
                yield SkippedFace(f"{part.path}: {name}, row {row + 1}", str(error), part)
            continue
        if row in rows:
            subsets = get_subsets(part)
            subsets += ("frontal",) if subsets and visible[row].all() else ()
            flags = tuple((~visible[row]).astype(int).tolist())
            box = tuple(boxes[row].tolist())
            yield Annotation(image, part, root / picture, None, landmarks[row], str(picture), subsets, box, flags)


def _read_tables(path: Path, points: int) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return names, boxes (n, 4), landmarks (n, points, 2), visible (n, points) and order (n,) of all faces.

    Raises:
        ValueError: the file has another layout.
    """
    try:
        content = load_mat(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not set(KEYS) <= content.keys():
        found = ", ".join(key for key in content if not key.startswith("__")) or "nothing"
        raise ValueError(f"{path} has another layout. Received {found}; AFLW has {', '.join(KEYS)}")
    names = [str(np.ravel(name)[0]) if np.size(name) else "" for name in np.ravel(content["nameList"])]
    count, arrays = len(names), {}
    shapes = {"bbox": (count, 4), "data": (count, 2 * points), "mask_new": (count, points), "ra": (count,)}
    for key, shape in shapes.items():
        array = np.ravel(content[key]) if key == "ra" else np.asarray(content[key])
        if array.dtype.kind not in "fiub" or array.shape != shape:
            raise ValueError(
                f"{path}: {key} is {array.dtype} of shape {array.shape}. Expected numbers of shape {shape}"
            )
        arrays[key] = array.astype(np.float64)
    order = arrays["ra"] - MATLAB_FIRST
    if not np.array_equal(np.sort(order), np.arange(count)):
        raise ValueError(f"{path}: ra must hold every number from 1 to {count} once. Received another list")
    boxes = arrays["bbox"][:, [0, 2, 1, 3]]
    landmarks = arrays["data"].reshape(count, 2, points).transpose(0, 2, 1)
    return names, boxes, np.ascontiguousarray(landmarks), arrays["mask_new"] == 1, order.astype(int)
