"""A tiny 300W, drawn by the project itself, raw and prepared, and tiny networks, for tests of whole paths."""

import os
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from annotation_files import write_rendered_face

import data_helper
from config import CROPS
from face_datasets.catalogue import get_dataset
from image_utility import crop_matrix, to_targets, transform
from pca_utility import fit_eigenbases
from synthetic_faces import render_face
from utils.files import write_json

if "PYTEST_XDIST_WORKER" in os.environ:  # test processes share the cores: one thread each, set before TensorFlow loads
    for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(variable, "1")

PARTS = {"afw": 6, "helen/trainset": 12, "helen/testset": 4, "ibug": 2}


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
            write_rendered_face(root / part, f"{next(seeds) + 7000}_1", number + 100 * len(part))
    return root


@pytest.fixture(scope="session")
def prepared_300w(raw_300w, tmp_path_factory) -> Path:
    """A data root with that 300W prepared and its eigenbases fitted. Tests must not write to it."""
    data_dir = tmp_path_factory.mktemp("data")
    data_helper.prepare("300W", raw_300w, data_dir, workers=1)
    fit_eigenbases(data_dir / "w300" / "normalized_labels", get_dataset("300W"))
    return data_dir


@pytest.fixture
def tiny(monkeypatch) -> None:
    """Every method builds the tiny network."""
    import methods
    from tests.robustness.tiny_network import build_tiny, with_build

    for name, method in methods.METHODS.items():
        monkeypatch.setitem(methods.METHODS, name, with_build(method, build_tiny))


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A tiny network that predicts about the mean of rendered faces, with its settings beside it.

    Tests must not write there. Keras is imported only where a test needs it.
    """
    import keras

    from tests.robustness.tiny_network import build_tiny

    keras.utils.set_random_seed(3)
    side = 32
    folder = tmp_path_factory.mktemp("weights")
    dataset = get_dataset("300W")
    model = build_tiny(None, dataset, side, 0.99)
    dense = model.layers[-1]
    kernel, _ = dense.get_weights()
    shapes = np.stack([render_face(seed).landmarks() for seed in range(20)])
    matrices = np.stack([crop_matrix(CROPS["square"], shape, side) for shape in shapes])
    dense.set_weights([kernel * 0.02, to_targets(transform(shapes, matrices), side).mean(axis=0)])
    model.save(folder / "tiny.keras")
    settings = {"method": "l2", "crop": "square", "dataset": "300W"}
    write_json(folder / "tiny.json", {"settings": settings, "validation": {"nme": 30.0}})
    return folder / "tiny.keras"
