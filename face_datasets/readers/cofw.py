"""COFW and COFW-68: MATLAB v7.3 files, which are HDF5 with every axis reversed, and MATLAB v5 annotations."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from face_datasets.catalogue import Dataset, Part
from face_datasets.readers.annotation import MATLAB_FIRST, Annotation, SkippedFace, get_subsets
from face_datasets.readers.matlab import find_damaged_mats, load_checked_mat, load_mat, open_mat

COFW68_FOLDERS = (  # as cloned, as unpacked from the benchmark's archive, or its inner folders
    "test_annotations",
    "COFW68_Data/test_annotations",
    "cofw68-benchmark/COFW68_Data/test_annotations",
    "cofw68-benchmark-master/COFW68_Data/test_annotations",
)


def _mat_key(file, start: str) -> str:
    """Return the key that begins with `start`: IsTr in the training file is IsT in the test file."""
    keys = [key for key in (start + "Tr", start + "T") if hasattr(file.get(key), "shape")]  # not a group
    if not keys:
        found = ", ".join(key for key in file if not key.startswith("#")) or "nothing"
        raise ValueError(
            f"{file.filename} has another layout. Received {found}; "
            "COFW has IsTr, phisTr, bboxesTr (training) or IsT, phisT, bboxesT (test)"
        )
    return keys[0]


def _mat_table(file, start: str, columns: int) -> np.ndarray:
    """Return a numeric table of a COFW file, (faces, columns)."""
    key = _mat_key(file, start)
    shape = file[key].shape
    if file[key].dtype.kind not in "fiu":
        raise ValueError(f"{file.filename}: {key} holds {file[key].dtype}. Expected numbers")
    if len(shape) != 2 or shape[0] != columns or shape[1] != file[_mat_key(file, "Is")].size:
        raise ValueError(
            f"{file.filename}: {key} has shape {shape[::-1]}. Expected ({file[_mat_key(file, 'Is')].size}, {columns})"
        )
    return np.asarray(file[key], np.float64).T


def read_mat_image(path: Path, row: int) -> np.ndarray:
    """Return picture `row` (0-based) of a COFW file as uint8 RGB (height, width, 3), grey ones with equal channels.

    Raises:
        ValueError: the picture is damaged, or is not of this form.
    """
    with open_mat(path) as file:
        references = file[_mat_key(file, "Is")]
        try:
            image = np.asarray(file[references[()].ravel()[row]]).T  # (height, width) or (height, width, 3)
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{path}: picture {row + 1} cannot be read ({error})") from error
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f"{path}: picture {row + 1} is {image.dtype} of shape {image.shape}. Expected uint8 (height, width, 3)"
        )
    return np.ascontiguousarray(image)


def _from_matlab_boxes(boxes: np.ndarray) -> list[tuple[float, ...]]:
    """Return MATLAB's (x, y, width, height) of (faces, 4) as 0-based (left, top, right, bottom)."""
    left, top, width, height = np.asarray(boxes, np.float64).T
    left, top = left - MATLAB_FIRST, top - MATLAB_FIRST
    return [tuple(box) for box in np.stack([left, top, left + width, top + height], axis=1).tolist()]


def read_cofw(dataset: Dataset, part: Part, root: Path) -> Iterator[Annotation | SkippedFace]:
    """Read COFW: references to the pictures, and a row of 29 x, 29 y and 29 occlusion flags for each face."""
    points, path = dataset.layout.points, root / part.path
    with open_mat(path) as file:
        table = _mat_table(file, "phis", 3 * points)  # (faces, 3 * points)
        boxes = _from_matlab_boxes(_mat_table(file, "bboxes", 4))
    for row, (numbers, box) in enumerate(zip(table, boxes, strict=True)):
        x, y, occluded = numbers.reshape(3, points)
        yield _annotate(part, path, row, np.stack([x, y], axis=1), occluded, box)


def _annotate(part: Part, path: Path, row: int, landmarks: np.ndarray, occluded, box) -> Annotation:
    """Return the face of one row; its name is the .mat file's and MATLAB's number of the picture."""
    name = f"{part.path}/{row + 1:04d}"
    flags = tuple(int(flag > 0) for flag in np.ravel(occluded))
    return Annotation(name, part, path, row, landmarks - MATLAB_FIRST, name, get_subsets(part), box, flags)


def read_cofw68(dataset: Dataset, part: Part, root: Path) -> Iterator[Annotation | SkippedFace]:
    """Read COFW-68: COFW's test pictures and test_annotations/K_points.mat with Points (68, 2) and Occ (68)."""
    folder = next((root / name for name in COFW68_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise FileNotFoundError(
            f"{root} holds COFW's pictures but no 68-point annotations. Looked for: {', '.join(COFW68_FOLDERS)} "
            "(github.com/golnazghiasi/cofw68-benchmark)"
        )
    path = root / part.path
    with open_mat(path) as file:
        faces = file[_mat_key(file, "Is")].size
    boxes = _cofw68_boxes(folder.parent / "cofw68_test_bboxes.mat", faces)
    annotations = [folder / f"{row + 1}_points.mat" for row in range(faces)]
    damaged = find_damaged_mats(annotations)
    for row, annotation in enumerate(annotations):
        try:
            if annotation in damaged:
                raise ValueError(damaged[annotation])
            landmarks, occluded = cofw68_points(load_checked_mat(annotation), dataset.layout.points)
        except ValueError as error:
            yield SkippedFace(f"{annotation.relative_to(root)}", str(error), part)
            continue
        yield _annotate(part, path, row, landmarks, occluded, boxes[row] if boxes else None)


def cofw68_points(content: dict, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the landmarks (points, 2), 1-based, and occlusion flags (points,) of one annotation's variables."""
    if not {"Points", "Occ"} <= content.keys():
        found = ", ".join(key for key in content if not key.startswith("__")) or "nothing"
        raise ValueError(f"holds {found}; expected Points and Occ")
    landmarks, occluded = np.asarray(content["Points"], np.float64), np.ravel(content["Occ"])
    if landmarks.shape != (points, 2) or len(occluded) != points:
        raise ValueError(f"Points {landmarks.shape} and Occ ({len(occluded)},); expected ({points}, 2) and ({points},)")
    return landmarks, occluded


def _cofw68_boxes(path: Path, faces: int) -> list[tuple[float, ...]] | None:
    """Return the benchmark's face boxes, if the file is there."""
    if not path.is_file():
        return None
    try:
        boxes = np.asarray(load_mat(path).get("bboxes"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if boxes.shape != (faces, 4):
        raise ValueError(f"{path}: bboxes has shape {boxes.shape}. Expected ({faces}, 4)")
    return _from_matlab_boxes(boxes)
