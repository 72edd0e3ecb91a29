"""The same weights and batch give the same loss and first update on every backend that is installed.

A new MobileNetV2 agrees in its loss alone to 1e-4. Its activations shrink from layer to layer, far below BatchNorm's
epsilon, and rounding grows as it goes back through them: on TensorFlow alone the first update in float32 is 2.5 % of
its largest number from that in float64, so no two backends can agree better.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.integration

BACKENDS = ("tensorflow", "jax", "torch")
INSTALLED = [backend for backend in BACKENDS if importlib.util.find_spec(backend)]
SAME = 1e-4  # relative
ROUNDED = 0.03  # the same of a new MobileNetV2's update


def first_step(backend, data_dir, folder, network, method):
    """Loss and updates of one step in a process with this backend."""
    script, out = Path(__file__).parent / "helpers/backend_step.py", folder / f"{backend}.npz"
    words = [sys.executable, script, data_dir, network, method, folder / "weights.npz", out]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(list(map(str, words)), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(out) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def reference(prepared_300w, tmp_path_factory):
    """From network and method to the step of the first backend there is, and the folder that holds its weights."""
    steps = {}

    def step_of(network, method):
        if (network, method) not in steps:
            folder = tmp_path_factory.mktemp("backends")
            steps[network, method] = first_step(INSTALLED[0], prepared_300w, folder, network, method), folder
        return steps[network, method]

    return step_of


@pytest.mark.parametrize(
    ("network", "method", "tolerance"),
    [
        ("tiny", "acr", SAME),
        ("tiny", "wing", SAME),
        pytest.param("mobileNetV2", "acr", ROUNDED, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_step_is_the_same(backend, network, method, tolerance, prepared_300w, reference):
    if backend not in INSTALLED:
        pytest.skip(f"{backend} is not installed")
    if backend == INSTALLED[0]:
        pytest.skip(f"{backend} is what the others are held against")
    expected, folder = reference(network, method)
    found = first_step(backend, prepared_300w, folder, network, method)
    assert found["loss"] == pytest.approx(expected["loss"], rel=SAME)
    assert found.keys() == expected.keys() and len(found) > 5
    updates = [np.concatenate([step[name].ravel() for name in step if name != "loss"]) for step in (found, expected)]
    scale = np.abs(updates[1]).max()
    assert scale > 0.001
    np.testing.assert_allclose(updates[0] / scale, updates[1] / scale, rtol=0, atol=tolerance)
