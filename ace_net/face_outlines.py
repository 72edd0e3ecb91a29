"""The anchors and contours of prepared faces: drawn through landmarks, exact where the faces are rendered."""

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
    """All that is known of the anchors and contours of prepared faces.

    Args:
        sparse: only the 36 landmarks of SPARSE_LANDMARKS are taken as known; for faces with 68 landmarks.

    Returns:
        (faces, OUTLINE, 2) in pixels of the image as the set ships it: of rendered faces exactly, of others at their
        landmarks.

    Raises:
        ValueError: the data set's landmarks draw no contours.
    """
    if faces.dataset.rendered:
        size = read_index(data_dir, faces.dataset)["options"]["size"]
        return _rendered(faces, Path(data_dir)) * size - 0.5
    contour_map = get_contour_map(faces.dataset.layout)
    return from_landmarks(faces.landmarks, contour_map.sparse(SPARSE_LANDMARKS) if sparse else contour_map)


def _rendered(faces: FaceDataset, data_dir: Path) -> np.ndarray:
    """Outlines of rendered faces in sides of their pictures, from their seeds; kept beside the index, since they take
    12 ms a face."""
    seeds = [get_seed(name) for name in faces.names]
    key = f"{renderer_digest()} {CONTOUR_POINTS}"
    path = data_dir / faces.dataset.name / "outlines" / f"{faces.split}.npz"
    stored = _read(path, key)
    if not stored.keys() >= set(seeds):
        with folder_lock(path.parent):  # every worker and every seed of a training comes by
            stored = _read(path, key)
            missing = [seed for seed in seeds if seed not in stored]
            if missing:
                stored |= dict(zip(missing, _draw_all(missing), strict=True))
                _write(path, key, stored)
    return np.stack([stored[seed] for seed in seeds]).astype(np.float64)


def get_seed(name: str) -> int:
    """The seed of a rendered face, from its name in the data set."""
    part, number = name.split("/")
    return SYNTHETIC_SEEDS[part] + int(number)


def _read(path: Path, key: str) -> dict[int, np.ndarray]:
    """Stored outlines by seed; none where the file is of another renderer, or broken."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) == key:
                return dict(zip(file["seeds"].tolist(), file["outlines"], strict=True))
    except Exception:  # a file cut short can make zipfile and NumPy raise anything; it is written anew
        pass
    return {}


def _write(path: Path, key: str, stored: dict[int, np.ndarray]) -> None:
    """Stores outlines by seed, for `_read`."""
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, key=key, seeds=np.array(list(stored)), outlines=np.stack(list(stored.values())))


def _draw_all(seeds: Sequence[int]) -> list[np.ndarray]:
    bar = tqdm(seeds, "contours of rendered faces", unit="face", disable=None)
    return [rendered_outline(seed).astype(np.float32) for seed in bar]


def rendered_outline(seed: int) -> np.ndarray:
    """The exact outline (OUTLINE, 2) of a rendered face, in sides of its picture."""
    from synthetic_faces.face import get_outline

    anchors, contours = get_outline(seed)
    return np.concatenate([anchors, *(resample(contours[name]) for name in CONTOURS)])
