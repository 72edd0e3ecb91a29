"""The table of methods: its rows, and the constants of their losses."""

import inspect
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import ace_net.losses
import acr_loss
import methods
import pixelwise.losses
import pixelwise.targets
from ace_net.losses import ACELoss, terms
from ace_net.outlines import from_landmarks, get_contour_map
from benchmarks.config import STEP_METHODS
from benchmarks.losses import default_methods
from face_datasets.catalogue import get_dataset
from losses import anisotropic, regression
from losses.base import FaceLoss
from methods import METHODS
from pixelwise.cascade import MeanFace
from synthetic_faces.face import get_landmarks
from train import RunConfig

W300 = get_dataset("300W")
POINTS = np.random.default_rng(0).uniform(0, 32, (3, 68, 2))
LOSSES = (acr_loss, anisotropic, regression, pixelwise.losses, pixelwise.targets, ace_net.losses)
FLAT = ("distribution", "heatmap", "adaptive_wing", "pwc", "pwc_disc", "hybrid", "hybrid_disc")  # maps of coordinates
WEAK = {"sigma": 2, "distance": 6.0, "perfect": 4.92, "scale": 1.5, "landmark_weight": 0.1, "line_weight": 0.1}
PACKED = ("CONTOUR_POINTS", "LINE_SAMPLES")  # say how targets lie in their array, not how much they cost


@pytest.fixture(scope="module")
def network():
    """Return a model with every layer that an initialisation changes."""
    image = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(W300.outputs)(keras.layers.Flatten()(image)), MeanFace(W300.outputs, name="mean_face")
    return keras.Model(image, [outputs[0], outputs[1](image)])


@pytest.mark.parametrize("name", METHODS)
def test_an_initialisation_that_needs_all_faces_has_its_property(name, network):
    """A stream has the landmarks of some faces, but no list of all faces."""
    streamed = SimpleNamespace(
        recipe=SimpleNamespace(mean_face=True),
        encode=methods.encode_regression,
        landmarks=POINTS,
        size=32,
        source=SimpleNamespace(dataset=W300),
    )
    if METHODS[name].init_needs_faces:
        with pytest.raises(AttributeError, match="no attribute 'landmarks'"):
            METHODS[name].init(network, streamed)
    else:
        METHODS[name].init(network, streamed)


def test_an_initialisation_that_needs_all_faces_refuses_a_stream(tmp_path):
    with pytest.raises(ValueError, match="Received the method anisotropic_displacement, which needs"):
        RunConfig.from_options("mobileNetV2", "300W", tmp_path, method="anisotropic_displacement", stream=True)
    config = RunConfig.from_options("mobileNetV2", "300W", tmp_path, method="anisotropic_direct", stream=True)
    assert config.stream


@pytest.mark.integration
def test_methods_are_listed_without_keras():
    code = "import methods, sys; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(methods.__file__).parent).returncode == 0


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("anisotropic", {"a": 9.0, "b": 2.0}, {"a": 9.0, "b": 2.0}),
        ("acr", {"lambda_weight": 1.5}, {"lambda_weight": 1.5, "constant": "continuous"}),
        ("ace", {"alpha": 30.0, "power": 1.0}, {"alpha": 30.0, "power": 1.0, "sigma": 2}),
    ],
)
def test_options_replace_constants(method, options, expected):
    assert expected.items() <= METHODS[method].constants("unused", W300, "square", **options).items()


@pytest.mark.parametrize("method", ["acr", "l1", "anisotropic"])
def test_unknown_options_are_named(method):
    with pytest.raises(ValueError, match=f"{method}.*Received 'reduction'"):
        METHODS[method].constants("unused", W300, "square", reduction=1)


@pytest.mark.parametrize(
    ("method", "option"), [("acr", {"unit": "x"}), ("acr", {"constant": 1.0}), ("ace", {"alpha": "x"})]
)
def test_words_and_numbers_are_told_apart(method, option):
    with pytest.raises(ValueError, match=next(iter(option))):
        METHODS[method].constants("unused", W300, "square", **option)


def test_options_of_heatmap_losses_reach_all_of_them():
    coarse, _, fine = METHODS["ace"].loss("unused", W300, "square", alpha=30.0, sigma=3)
    assert coarse.constants["alpha"] == fine.constants["alpha"] == 30 and fine.constants["sigma"] == 3


def test_all_methods_with_the_usual_head_are_compared_by_default():
    compared = set(default_methods())
    assert {"acr", "l2", "wing", "anisotropic"} <= compared
    assert not {"direct", "cascaded", "heatmap", "pwc", "lmk_line", "ace"} & compared


def test_the_timed_methods_exist():
    assert set(STEP_METHODS) <= set(METHODS)


# ------------------------------------------------------------------------------------------- constants of the losses


def loss_of(name: str, data_dir) -> keras.losses.Loss:
    """Return the loss whose constants are recorded: the last of several."""
    loss = METHODS[name].loss(data_dir, W300, "square")
    return loss[-1] if isinstance(loss, list) else loss


def example(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return targets of the last output and predictions near them, for faces in crops of 64."""
    method, rng = METHODS[name], np.random.default_rng(1)
    landmarks = get_landmarks(3)[None] * 64 + rng.normal(0, 0.5, (2, 68, 2))
    outlines = from_landmarks(landmarks, get_contour_map(W300.layout))
    targets = method.codec.encode(outlines if method.codec.map_names else landmarks, 64)
    targets = targets[-1] if isinstance(targets, tuple) else targets
    if method.head.kind != "heatmaps":
        stages = (3,) if name == "cascaded" else ()
        truth = targets[:, None] if stages else targets
        return targets, (truth + rng.normal(0, 0.03, (2, *stages, 136))).astype(np.float32)
    if name in FLAT:
        shape = (2, 64, 64, 68 + (name not in ("distribution", "adaptive_wing")))
    else:
        shape = (2, 32, 32, 25 if method.codec.map_names else 68)
    return targets, np.log(rng.dirichlet(np.ones(shape[-1]), shape[:-1])).astype(np.float32) / 10 + 0.5


def value_of(loss: keras.losses.Loss, name: str) -> np.ndarray:
    return keras.ops.convert_to_numpy(loss.call(*map(keras.ops.convert_to_tensor, example(name))))


@pytest.mark.parametrize("name", METHODS)
def test_a_loss_uses_no_number_that_its_constants_lack(name, prepared_300w, monkeypatch):
    """Changing the numbers of modules does not change a loss that was built with its recorded constants."""
    loss = loss_of(name, prepared_300w)
    before = value_of(loss, name)
    for module in LOSSES:
        for key, value in vars(module).copy().items():
            if key.isupper() and key not in PACKED and not isinstance(value, bool | str):
                if isinstance(value, int | float):
                    monkeypatch.setattr(module, key, 1.5 * value)
                elif isinstance(value, Mapping):
                    monkeypatch.setattr(module, key, {one: 1.5 * number for one, number in value.items()})
    np.testing.assert_array_equal(value_of(loss, name), before)


@pytest.mark.parametrize("name", METHODS)
def test_every_default_of_a_loss_function_is_recorded(name, prepared_300w):
    """Defaults are bound at import, where the test above cannot change them."""
    loss = loss_of(name, prepared_300w)
    if isinstance(loss, FaceLoss):
        functions = [type(loss).function, *([terms] if isinstance(loss, ACELoss) else [])]
        parameters = [item for function in functions for item in inspect.signature(function).parameters.values()]
        assert {item.name for item in parameters if item.default is not item.empty} <= set(loss.constants)


@pytest.mark.parametrize("name", METHODS)
def test_every_recorded_number_counts(name, prepared_300w):
    loss = loss_of(name, prepared_300w)
    config, before = loss.get_config(), value_of(loss, name)
    recorded = METHODS[name].constants(prepared_300w, W300, "square")
    for key, value in recorded.items():
        if isinstance(value, int | float):
            assert config[key] == value
            other = type(loss).from_config(config | {key: value * (0.8 if key == "b" else 1.5)})  # b is not above a
            assert not np.array_equal(value_of(other, name), before), key


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("distance", {"image_size": 224}),
        ("distribution", {"sigma": 3.0, "image_size": 224}),
        ("heatmap", {"sigma": 3.0, "image_size": 224}),
        ("hybrid", {"beta": 0.25, "image_size": 224, "sharpness": 2.0}),
        ("line", {"alpha": 10.0, "power": 0.5}),
        (
            "adaptive_wing",
            {"omega": 14.0, "theta": 0.5, "epsilon": 1.0, "alpha": 2.1, "weight": 10.0, "mask": 0.2}
            | {"sigma": 3.0, "image_size": 224},
        ),
        ("ace", {"alpha": 10.0, "power": 0.5, **WEAK}),
    ],
)
def test_constants_of_losses_on_maps_are_recorded(name, expected):
    recorded = METHODS[{"distance": "direct"}.get(name, name)].constants("unused", W300, "square")
    assert {key: value for key, value in recorded.items() if key not in ("name", "reduction")} == expected
