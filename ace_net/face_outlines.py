"""Outlines of the faces of a data set: known at landmarks, or exactly where the faces are rendered."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ace_net.config import CONTOUR_POINTS
from ace_net.outlines import from_landmarks, get_contour_map, resample
from config import CONTOURS
from face_datasets.catalogue import SYNTHETIC_SEEDS
from face_datasets.face_dataset import FaceDataset, read_index
from face_datasets.layouts import SPARSE_LANDMARKS
from face_datasets.readers.synthetic import renderer_digest
from utils.files import atomic_write, folder_lock


def get_outlines(faces: FaceDataset, data_dir: str | os.PathLike, sparse: bool = False) -> np.ndarray:
    """Return the outlines of prepared faces.

    Args:
        faces: a prepared split.
        data_dir: the data root, which holds the outlines of rendered faces.
        sparse: use the 36 landmarks of SPARSE_LANDMARKS only, of faces with 68 landmarks; default: all.

    Returns:
        (faces, OUTLINE, 2) in pixels of the image as the data set ships it; exact for rendered faces, known at
        landmarks only for others

    Raises:
        ValueError: the data set's landmarks define no contours.
    """
    if faces.dataset.rendered:
        size = read_index(data_dir, faces.dataset)["options"]["size"]
        return _rendered_outlines(faces, Path(data_dir)) * size - 0.5
    contour_map = get_contour_map(faces.dataset.layout)
    return from_landmarks(faces.landmarks, contour_map.sparse(SPARSE_LANDMARKS) if sparse else contour_map)


def _rendered_outlines(faces: FaceDataset, data_dir: Path) -> np.ndarray:
    """Return exact outlines of rendered faces as fractions of the image size.

    They are drawn from the faces' seeds, which takes 12 ms a face, and stored beside the index.
    """
    seeds = [get_seed(name) for name in faces.names]
    key = f"{renderer_digest()} {CONTOUR_POINTS}"
    path = data_dir / faces.dataset.name / "outlines" / f"{faces.split}.npz"
    stored = _read(path, key)
    if not stored.keys() >= set(seeds):
        with folder_lock(path.parent):  # parallel trainings need the same outlines
            stored = _read(path, key)
            missing = [seed for seed in seeds if seed not in stored]
            if missing:
                stored |= dict(zip(missing, _draw_all(missing), strict=True))
                _write(path, key, stored)
    return np.stack([stored[seed] for seed in seeds]).astype(np.float64)


def get_seed(name: str) -> int:
    """Return the seed of a rendered face, from its name in the data set."""
    part, number = name.split("/")
    return SYNTHETIC_SEEDS[part] + int(number)


def _read(path: Path, key: str) -> dict[int, np.ndarray]:
    """Return stored outlines by seed; none if the file is missing, broken or of another renderer."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) == key:
                return dict(zip(file["seeds"].tolist(), file["outlines"], strict=True))
    except Exception:  # zipfile and NumPy raise many errors on a truncated file; it is written again
        pass
    return {}


def _write(path: Path, key: str, stored: dict[int, np.ndarray]) -> None:
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, key=key, seeds=np.array(list(stored)), outlines=np.stack(list(stored.values())))


def _draw_all(seeds: Sequence[int]) -> list[np.ndarray]:
    bar = tqdm(seeds, "contours of rendered faces", unit="face", disable=None)
    return [rendered_outline(seed).astype(np.float32) for seed in bar]


def rendered_outline(seed: int) -> np.ndarray:
    """Return the exact outline (OUTLINE, 2) of a rendered face, as fractions of the image size."""
    from synthetic_faces.face import get_outline

    anchors, contours = get_outline(seed)
    return np.concatenate([anchors, *(resample(contours[name]) for name in CONTOURS)])
