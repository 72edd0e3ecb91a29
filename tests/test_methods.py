"""The rows of the table of methods say of themselves what training asks of them."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

import benchmark
import methods
from config import dataset_of
from methods import METHODS
from pixelwise.cascade import MeanFace
from train import Train

W300 = dataset_of("300W")
POINTS = np.random.default_rng(0).uniform(0, 32, (3, 68, 2))


@pytest.fixture(scope="module")
def network():
    """Every layer that a start asks for."""
    image = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(W300.outputs)(keras.layers.Flatten()(image)), MeanFace(W300.outputs, name="mean_face")
    return keras.Model(image, [outputs[0], outputs[1](image)])


@pytest.mark.parametrize("name", METHODS)
def test_a_start_that_asks_for_all_faces_says_so(name, network):
    """A stream of faces has the landmarks of some, and no list of all."""
    streamed = SimpleNamespace(
        recipe=SimpleNamespace(mean_face=True),
        encode=methods.encode_regression,
        landmarks=POINTS,
        size=32,
        faces=SimpleNamespace(dataset=W300),
    )
    if METHODS[name].start_needs_faces:
        with pytest.raises(AttributeError, match="no attribute 'landmarks'"):
            METHODS[name].start(network, streamed)
    else:
        METHODS[name].start(network, streamed)


def test_a_start_that_asks_for_all_faces_takes_no_stream(tmp_path):
    with pytest.raises(ValueError, match="Received the method anisotropic_displacement, which needs the faces in mem"):
        Train("mobileNetV2", "300W", tmp_path, "anisotropic_displacement", records=True)
    assert Train("mobileNetV2", "300W", tmp_path, "anisotropic_direct", records=True).records


@pytest.mark.parametrize("name", METHODS)
def test_a_head_of_its_own_is_told(name):
    assert METHODS[name].own_head == (METHODS[name].build is not methods.build_regression)


@pytest.mark.parametrize("table", ["steps", "losses"])
def test_all_that_regress_are_benched_by_default(table, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(benchmark, "losses" if table == "losses" else "step_times", asked.append)
    assert benchmark.main([table, *(["--out", str(tmp_path)] if table == "losses" else [])]) == 0
    assert {"acr", "l2", "wing", "anisotropic"} <= set(asked[0].methods)
    assert not {"direct", "cascaded", "heatmap", "pwc", "lmk_line", "ace"} & set(asked[0].methods)
