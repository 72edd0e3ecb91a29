"""A tiny 300W, drawn by the project itself, raw and prepared, for tests of whole paths."""

import os
from pathlib import Path
from unittest import mock

import cv2
import pytest

import data_helper
from config import dataset_of
from pca_utility import fit_eigenbases
from synthetic_faces import render_face

PARTS = {"afw": 6, "helen/trainset": 12, "helen/testset": 4, "ibug": 2}


def write_face(folder: Path, stem: str, seed: int, size: int = 120) -> None:
    """A rendered face as 300W stores one: NAME.jpg beside NAME.pts, 1-based."""
    folder.mkdir(parents=True, exist_ok=True)
    face = render_face(seed, size)
    cv2.imwrite(str(folder / f"{stem}.jpg"), cv2.cvtColor(face.image, cv2.COLOR_RGB2BGR))
    rows = "\n".join(f"{x:.3f} {y:.3f}" for x, y in face.landmarks() + 1)
    (folder / f"{stem}.pts").write_text(f"version: 1\nn_points:  68\n{{\n{rows}\n}}\n")


@pytest.fixture(autouse=True)
def environment():
    """Commands may set variables for the libraries of their process; no test sees those of another."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="session")
def raw_300w(tmp_path_factory) -> Path:
    """A folder laid out as 300W is, with 24 rendered faces."""
    root = tmp_path_factory.mktemp("raw") / "300W"
    seeds = iter(range(1000))
    for part, count in PARTS.items():
        for number in range(count):
            write_face(root / part, f"{next(seeds) + 7000}_1", number + 100 * len(part))
    return root


@pytest.fixture(scope="session")
def prepared_300w(raw_300w, tmp_path_factory) -> Path:
    """A data root with that 300W prepared and its eigenbases fitted. Tests must not write to it."""
    data_dir = tmp_path_factory.mktemp("data")
    data_helper.prepare("300W", raw_300w, data_dir, workers=1)
    fit_eigenbases(data_dir / "w300" / "normalized_labels", dataset_of("300W"))
    return data_dir
