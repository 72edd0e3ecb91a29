"""The networks, and finding files of weights."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from small_networks import TOLERANCE, images_for, predict, randomise

from cnn_model import NETWORKS, CNNModel, head_scale
from config import ModelArch
from networks import weights
from networks.weights import LEGACY_SETTINGS, find_weights, get_settings, load_model

# --------------------------------------------------------------------------------------------------------------------
# The networks
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arch, output_len, parameters",
    [
        (ModelArch.MNV2, 136, 2_432_200),
        (ModelArch.MNV2, 58, 2_332_282),
        (ModelArch.EFNB0, 136, 4_049_564 + 174_216),
        (ModelArch.EFNB3, 136, 10_783_528 + 209_032),
        (ModelArch.RN50, 136, 23_587_712 + 2049 * 136),
        (ModelArch.DN121, 38, 7_037_504 + 1025 * 38),
    ],
)
def test_parameters_and_head(arch, output_len, parameters):
    """Numbers of parameters without a head are those that Keras lists for its applications without top."""
    model = CNNModel().get_model(str(arch), output_len)
    assert model.count_params() == parameters
    assert model.input_shape == (None, 224, 224, 3) and model.output_shape == (None, output_len)
    assert [layer.name for layer in model.layers[-3:]] == ["pool", "dropout", "landmarks"]
    assert model.get_layer("dropout").rate == NETWORKS[arch].dropout
    kernel = model.get_layer("landmarks").kernel.numpy()
    he_uniform = np.sqrt(6 / len(kernel))
    assert 0.95 * he_uniform < np.abs(kernel).max() <= he_uniform
    kinds = {type(layer).__name__ for layer in model.layers}
    assert not kinds & {"Rescaling", "Normalization"}


def test_a_row_of_its_own_changes_the_head():
    network = dataclasses.replace(NETWORKS[ModelArch.MNV2], dropout=0.3, head_scale=0.1)
    model = CNNModel().get_model(network, 136, input_size=64)
    assert model.get_layer("dropout").rate == 0.3
    plain = CNNModel().get_model(ModelArch.MNV2, 136, input_size=64)
    assert (head_scale(model), head_scale(plain)) == (0.1, 1.0)
    *backbone, kernel, bias = model.get_weights()
    plain.set_weights([*backbone, 0.1 * kernel, bias])
    images = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    np.testing.assert_allclose(plain.predict_on_batch(images), model.predict_on_batch(images), atol=1e-5)


@pytest.mark.parametrize("arch", [ModelArch.RN50, ModelArch.DN121])
def test_features_are_those_of_keras_own_application(arch):
    model = randomise(CNNModel().get_model(arch, 38, input_size=64, bn_momentum=0.9))
    application = getattr(keras.applications, NETWORKS[arch].application)
    original = application(include_top=False, weights=None, input_shape=(64, 64, 3), pooling="avg")
    assert model.count_params() == original.count_params() + (original.output_shape[1] + 1) * 38
    original.set_weights(model.get_weights()[:-2])  # all but the head's kernel and bias
    features = keras.Model(model.input, model.get_layer("pool").output)
    expected = predict(original, images_for(model))
    np.testing.assert_allclose(predict(features, images_for(model)), expected, rtol=1e-4, atol=1e-4)
    assert predict(model, images_for(model)).shape == (2, 38)


@pytest.mark.parametrize("arch", [ModelArch.MNV2, ModelArch.EFNB0, ModelArch.RN50, ModelArch.DN121])
def test_momentum_size_and_outputs_survive_saving(tmp_path, arch):
    model = randomise(CNNModel().get_model(arch, 58, input_size=64, bn_momentum=0.9))
    model.compile("adam", "mse")
    model.save(tmp_path / "x.keras")
    loaded = load_model(tmp_path / "x.keras")
    norms = [layer for layer in loaded.layers if isinstance(layer, layers.BatchNormalization)]
    assert len(norms) > 40 and {layer.momentum for layer in norms} == {0.9}
    assert not loaded.compiled and loaded.input_shape == (None, 64, 64, 3)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    np.testing.assert_allclose(predict(loaded, images_for(model)), predict(model, images_for(model)), atol=TOLERANCE)


def test_output_is_float32_in_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = CNNModel().get_model(ModelArch.MNV2, 58, input_size=64)
    finally:
        keras.config.set_dtype_policy(policy)
    assert model.get_layer("Conv1").compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"


def test_unknown_network():
    with pytest.raises(ValueError, match="'resnet'.*mobileNetV2"):
        CNNModel().get_model("resnet", 136)


# --------------------------------------------------------------------------------------------------------------------
# Finding weights and their settings
# --------------------------------------------------------------------------------------------------------------------


def test_find_weights_with_and_without_the_folder(tmp_path):
    short, long = tmp_path / "300w/EF_3/x.h5", tmp_path / "ACRLoss/300w/mnv2/y.h5"
    for path in (short, long):
        path.parent.mkdir(parents=True)
        path.touch()
    assert find_weights(short) == short
    assert find_weights(tmp_path / "ACRLoss/300w/EF_3/x.h5") == short
    assert find_weights(tmp_path / "300w/mnv2/y.h5") == long


def test_find_weights_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ACRLoss").mkdir()
    (tmp_path / "ACRLoss/x.h5").touch()
    assert find_weights("./x.h5") == Path("ACRLoss/x.h5")


def test_find_weights_takes_the_keras_file_and_says_so(tmp_path):
    (tmp_path / "300w").mkdir()
    (tmp_path / "300w/x.keras").touch()
    with pytest.warns(UserWarning, match=r"x\.h5 does not exist.*x\.keras"):
        assert find_weights(tmp_path / "ACRLoss/300w/x.h5") == tmp_path / "300w/x.keras"


def test_missing_weights_are_listed(tmp_path):
    (tmp_path / "300w/mnv2").mkdir(parents=True)
    (tmp_path / "300w/mnv2/y.keras").touch()
    with pytest.raises(FileNotFoundError, match=r"x\.h5.*there are: .*y\.keras"):
        load_model(tmp_path / "ACRLoss/300w/EF_3/x.h5")


def test_missing_weights_where_there_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "WEIGHTS_DIR", tmp_path)
    with pytest.raises(FileNotFoundError, match="none"):
        find_weights("x.keras")


def test_settings(tmp_path):
    for name in ("x.keras", "y.keras", "z.h5"):
        (tmp_path / name).touch()
    assert get_settings(tmp_path / "x.keras") == {}  # nothing is known of it

    def written(name, method):
        (tmp_path / name).write_text(json.dumps({"settings": {"method": method, "crop": "square"}, "seed": 7}))

    written("settings.json", "acr")
    written("y.json", "anisotropic")
    assert get_settings(tmp_path / "x.keras") == {"method": "acr", "crop": "square"}
    assert get_settings(tmp_path / "y.keras")["method"] == "anisotropic"
    assert get_settings(tmp_path / "z.h5") == LEGACY_SETTINGS  # settings.json is of the .keras files
    written("z.json", "l2")
    assert get_settings(tmp_path / "z.h5")["crop"] == "square"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"settings": []}', '{"settings": {"method": "l2", "crop": "none"}}', "\udcff"]
    + ['{"settings": {"method": "l2", "crop": {}}}', "[" * 100_000],
)
def test_broken_settings(tmp_path, text):
    (tmp_path / "x.keras").touch()
    (tmp_path / "x.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match="x.json.*Received"):
        get_settings(tmp_path / "x.keras")
