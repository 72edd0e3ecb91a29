"""The spatial soft-argmax head: positions by hand, every input size, and the head in a complete network."""

import dataclasses

import keras
import numpy as np
import pytest

from cnn_model import CNNModel, get_network, linear_head, take_weights
from image_utility import from_targets, to_targets
from networks.spatial_head import MAP_CHANNELS, SoftArgmax
from networks.weights import load_model
from train import RunConfig

SPATIAL = dataclasses.replace(get_network("mobileNetV2"), spatial=True)


def test_one_bright_pixel_is_the_position():
    maps = np.zeros((1, 4, 4, 2), np.float32)
    maps[0, 1, 2, 0] = maps[0, 3, 0, 1] = 100
    points = from_targets(np.asarray(keras.ops.convert_to_numpy(SoftArgmax(32, 8)(maps))), 32)  # (1, 2, 2)
    np.testing.assert_allclose(points[0], [[2.5 * 8 - 0.5, 1.5 * 8 - 0.5], [0.5 * 8 - 0.5, 3.5 * 8 - 0.5]], atol=1e-4)


def test_a_position_is_the_expectation_under_the_softmax():
    maps = np.random.default_rng(1).normal(size=(3, 5, 5, 4)).astype(np.float32)
    found = keras.ops.convert_to_numpy(SoftArgmax(40, 8)(maps))
    probabilities = np.exp(maps) / np.exp(maps).sum(axis=(1, 2), keepdims=True)
    pixels = (np.arange(5) + 0.5) * 8 - 0.5  # of the crop
    x, y = np.einsum("bijp,j->bp", probabilities, pixels), np.einsum("bijp,i->bp", probabilities, pixels)
    np.testing.assert_allclose(found, to_targets(np.stack([x, y], axis=-1), 40), atol=1e-6)


def test_flat_maps_give_the_centre():
    points = from_targets(keras.ops.convert_to_numpy(SoftArgmax(64)(np.zeros((1, 16, 16, 3), np.float32))), 64)
    np.testing.assert_allclose(points, 31.5, atol=1e-4)  # between pixels 31 and 32


@pytest.mark.parametrize("size", [64, 100])
def test_inputs_of_every_size(size):
    model = CNNModel().get_model(SPATIAL, 136, size)
    side = {64: 16, 100: 25}[size]
    assert model.get_layer("maps").output.shape == (None, side, side, 68)
    assert model.output_shape == (None, 136) and model.output.dtype == "float32"
    assert linear_head(model).name == "landmarks"


def test_the_published_network_lies_inside():
    plain, spatial = CNNModel().get_model("mobileNetV2", 136, 64), CNNModel().get_model(SPATIAL, 136, 64)
    assert plain.count_params() == 2_432_200
    skips, mixed = (32 + 96 + 1280), 3 * (9 * MAP_CHANNELS + 4 * MAP_CHANNELS)  # depthwise kernel, its BatchNorm
    convolutions = MAP_CHANNELS * (skips + 3 * MAP_CHANNELS) + 6 * 4 * MAP_CHANNELS  # each with its BatchNorm
    assert spatial.count_params() - plain.count_params() == convolutions + mixed + (MAP_CHANNELS + 1) * 68


def test_inference_is_the_default():
    """A layer of Keras whose own default is training would switch all later layers to training."""
    model = CNNModel().get_model(SPATIAL, 136, 64)
    model(np.random.default_rng(3).random((8, 64, 64, 3), np.float32), training=True)  # statistics move
    images = np.random.default_rng(4).random((2, 64, 64, 3), np.float32)
    np.testing.assert_array_equal(
        *(keras.ops.convert_to_numpy(model(images, **mode)) for mode in ({}, {"training": False}))
    )


def test_weights_go_to_another_size_and_to_other_landmarks(tmp_path, capsys):
    source = CNNModel().get_model(dataclasses.replace(SPATIAL, head_scale=0.5), 136, 64)
    source.save(tmp_path / "source.keras")
    larger = CNNModel().get_model(dataclasses.replace(SPATIAL, head_scale=0.25), 136, 112)
    take_weights(larger, tmp_path / "source.keras")
    kernels = [linear_head(model).get_weights()[0] for model in (source, larger)]
    np.testing.assert_allclose(kernels[1], 2 * kernels[0], rtol=1e-6)  # the scale below it is half as large
    np.testing.assert_array_equal(larger.get_layer("maps").get_weights()[0], source.get_layer("maps").get_weights()[0])
    fewer = CNNModel().get_model(SPATIAL, 58, 64)
    own = fewer.get_layer("maps").get_weights()[0]
    take_weights(fewer, tmp_path / "source.keras")
    np.testing.assert_array_equal(fewer.get_layer("maps").get_weights()[0], own)
    np.testing.assert_array_equal(fewer.get_layer("Conv1").get_weights()[0], source.get_layer("Conv1").get_weights()[0])
    assert "has other outputs" in capsys.readouterr().out
    with pytest.raises(ValueError, match="source.keras does not fit this network. Received 124 layers"):
        take_weights(CNNModel().get_model("mobileNetV2", 136, 64), tmp_path / "source.keras")


def test_a_method_with_a_head_of_its_own_takes_no_other():
    with pytest.raises(ValueError, match="pwc has a head of its own. Received the spatial head"):
        RunConfig.from_options("mobileNetV2", "300W", "runs/none", method="pwc", head="spatial")
    assert RunConfig.from_options("mobileNetV2", "300W", "runs/none", method="l1", head="spatial").network.spatial


def test_a_saved_network_predicts_the_same(tmp_path):
    model = CNNModel().get_model(SPATIAL, 58, 64)
    model.save(tmp_path / "spatial.keras")
    images = np.random.default_rng(2).random((2, 64, 64, 3), np.float32)
    np.testing.assert_allclose(
        load_model(tmp_path / "spatial.keras").predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-6
    )
