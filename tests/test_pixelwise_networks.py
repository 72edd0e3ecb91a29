"""The networks of the pixel-wise classification paper: published sizes, shapes, and the parts of the cascade."""

import dataclasses

import cv2
import keras
import numpy as np
import pytest
from gradients import gradient
from keras import ops

from cnn_model import NETWORKS, CNNModel, get_network
from config import ModelArch
from face_datasets.catalogue import get_dataset
from methods import METHODS
from networks import vgg
from networks.weights import load_model
from pixelwise.adversary import build_discriminator
from pixelwise.cascade import MeanFace, Realign, Restore

W300 = get_dataset("300W")
SMALL = dataclasses.replace(get_network(ModelArch.VGG19S), width=1 / 32)


@pytest.fixture
def shallow(monkeypatch):
    """One convolution of few channels in each block."""
    monkeypatch.setattr(vgg, "BLOCKS", tuple((1, channels) for _, channels in vgg.BLOCKS))


def trainable(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


@pytest.fixture
def no_draws(monkeypatch):
    """Weights of zeros: drawing a hundred million numbers takes a while."""
    for name in ("HeNormal", "GlorotUniform"):
        monkeypatch.setattr(
            getattr(keras.initializers, name), "__call__", lambda self, shape, dtype=None, **_: ops.zeros(shape, dtype)
        )


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("pwc", 82_947_658),
        ("heatmap", 82_947_658),
        ("distribution", 82_871_880),
        ("direct", 178_682_440),
        ("cascaded", 35_053_144),
    ],
)
def test_the_networks_are_as_large_as_published(no_draws, method, parameters):
    model = METHODS[method].head.build(get_network(ModelArch.VGG19), W300, 224, 0.9)
    assert trainable(model) == parameters
    if method == "cascaded":
        assert trainable(model.get_layer("stage_1")) == 11_146_312


def test_the_discriminator_is_as_large_as_published():
    assert trainable(build_discriminator(136)) == 34_689


@pytest.mark.parametrize("size", [32, 50, 112])
@pytest.mark.parametrize("method", ["pwc", "distribution"])
def test_maps_are_as_large_as_the_input(shallow, method, size):
    model = METHODS[method].head.build(SMALL, W300, size, 0.9)
    assert model.output_shape == (None, size, size, 68 + (method == "pwc"))


def test_shortcuts_lie_at_an_eighth_and_a_sixteenth_of_the_input():
    for arch, row in NETWORKS.items():
        if arch in (ModelArch.EFNB3, ModelArch.DN121, ModelArch.VGG19, ModelArch.ACE):  # as relatives; no skip layers
            continue
        from cnn_model import backbone

        base = backbone(row, keras.Input((64, 64, 3)), 0.9)
        assert [base.get_layer(name).output.shape[1:3] for name in row.skip_layers] == [(8, 8), (4, 4)], arch


def test_width_scales_every_block(shallow):
    wide, narrow = (
        METHODS["pwc"].head.build(dataclasses.replace(SMALL, width=width), W300, 32, 0.9) for width in (1 / 16, 1 / 32)
    )
    sizes = [
        [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)] for model in (wide, narrow)
    ]
    assert [2 * size for size in sizes[1][:-1]] == sizes[0][:-1] and sizes[0][-1] == 69


def test_a_classifying_network_gives_probabilities(shallow):
    model = METHODS["hybrid"].head.build(SMALL, W300, 32, 0.9)
    maps = np.asarray(model(np.random.default_rng(0).random((2, 32, 32, 3), np.float32)))
    np.testing.assert_allclose(np.exp(maps).sum(axis=-1), 1, rtol=1e-4)


def test_the_image_is_converted_to_grey(shallow):
    model = METHODS["heatmap"].head.build(SMALL, W300, 32, 0.9)
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    np.testing.assert_allclose(model(image), model(image[..., ::-1].copy()), atol=1e-5)


def test_regression_takes_the_same_backbone(shallow, monkeypatch):
    monkeypatch.setitem(NETWORKS, ModelArch.VGG19S, SMALL)
    model = CNNModel().get_model(ModelArch.VGG19S, 136, input_size=32)
    assert model.output_shape == (None, 136)
    assert model.get_layer("pool4").output.shape[1:3] == (2, 2)


def test_direct_regression_starts_at_its_bias(shallow):
    images = np.random.default_rng(1).random((2, 32, 32, 3), np.float32)
    assert not np.asarray(METHODS["direct"].head.build(SMALL, W300, 32, 0.9)(images)).any()


@pytest.mark.parametrize("method", ["direct", "cascaded", "hybrid"])
def test_a_saved_network_is_the_same(shallow, tmp_path, method):
    model = METHODS[method].head.build(SMALL, W300, 32, 0.9)
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(0.1, 0.05, weight.shape) ** 2 for weight in model.get_weights()])
    model.save(tmp_path / "network.keras")
    images = rng.random((2, 32, 32, 3), np.float32)
    np.testing.assert_allclose(load_model(tmp_path / "network.keras")(images), model(images), rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------------------- the cascade


def similarity(points, angle, scale, shift):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T + shift


def test_a_transformed_mean_face_comes_back_upright():
    rng = np.random.default_rng(2)
    mean = rng.uniform(-0.3, 0.3, (5, 2))
    faces = np.stack([similarity(mean, 0.4, 0.8, (0.1, -0.05)), similarity(mean, -1.0, 1.2, (0, 0.02))])
    image = rng.random((2, 24, 24, 1)).astype(np.float32)
    flat = faces.reshape(2, -1).astype(np.float32)
    _, _, there, pose = Realign(24)([image, flat, np.tile(mean.reshape(1, -1), (2, 1)).astype(np.float32)])
    np.testing.assert_allclose(np.asarray(there).reshape(2, 5, 2), np.tile(mean, (2, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(Restore()([there, pose]), flat, atol=1e-5)


def test_the_image_is_warped_as_opencv_warps_it():
    rng, side = np.random.default_rng(4), 24
    image = cv2.GaussianBlur(rng.random((side, side)).astype(np.float32), (0, 0), 2)
    mean = rng.uniform(-0.3, 0.3, (5, 2))
    found = similarity(mean, 0.3, 0.9, (0.04, -0.03))
    warped, near, there, _ = Realign(side)(
        [image[None, ..., None], found.reshape(1, -1).astype(np.float32), mean.reshape(1, -1).astype(np.float32)]
    )
    before, after = (side / 2 - side * points for points in (found, mean))  # pixels
    matrix, _ = cv2.estimateAffinePartial2D(before, after)
    expected = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(np.asarray(warped)[0, ..., 0], expected, atol=0.01)
    rows, columns = np.mgrid[:side, :side]
    far = np.hypot(columns[..., None] - after[:, 0], rows[..., None] - after[:, 1]).min(axis=-1)
    np.testing.assert_allclose(np.asarray(near)[0, ..., 0], 1 / (1 + far), rtol=1e-3)


def test_a_resized_image_stays_aligned_with_its_landmarks():
    """A face that lies on the mean face stays in place; near landmarks the map is that of the shrunk pixels."""
    side, size = 12, 24
    mean = np.array([[6.5, 8.5], [14.5, 4.5], [10.5, 16.5]])  # pixels of the input, each in the middle of four
    flat = ((size / 2 - mean) / size).reshape(1, -1).astype(np.float32)
    image = np.random.default_rng(7).random((1, size, size, 1)).astype(np.float32)
    shrunk = np.asarray(keras.layers.Resizing(side, side)(image))
    np.testing.assert_allclose(shrunk[0, 4, 3, 0], image[0, 8:10, 6:8, 0].mean(), rtol=1e-5)
    warped, near, _, _ = Realign(size)([shrunk, flat, flat])
    np.testing.assert_allclose(warped, shrunk, atol=1e-4)
    near = np.asarray(near)[0, ..., 0]
    rows, columns = np.mgrid[:side, :side]
    far = np.hypot(columns[..., None] - [3, 7, 5], rows[..., None] - [4, 2, 8]).min(axis=-1)  # pixels of the shrunk one
    np.testing.assert_allclose(near, 1 / (1 + far), rtol=1e-3)


def test_the_previous_landmarks_are_a_constant_to_a_stage():
    """The second stage's output, with a displacement that depends on all its inputs."""
    side, rng = 12, np.random.default_rng(8)
    image = rng.random((2, side, side, 1)).astype(np.float32)
    mean, landmarks = rng.uniform(-0.3, 0.3, (2, 2, 10)).astype(np.float32)

    def second_stage(before):
        aligned, near, there, pose = Realign(side)([image, before, mean])
        displacement = ops.mean(aligned * near, axis=(1, 2))  # (batch, 1)
        return Restore()([there + displacement, pose]) * np.arange(1.0, 11, dtype=np.float32)

    there = ops.convert_to_numpy(second_stage(landmarks))
    assert np.abs(ops.convert_to_numpy(second_stage(landmarks + 0.01 * mean)) - there).max() > 1e-3  # it does depend
    assert not gradient(second_stage, landmarks).any()


def test_the_cascade_starts_at_the_mean_face(shallow):
    model = METHODS["cascaded"].head.build(SMALL, W300, 32, 0.9)
    mean = np.random.default_rng(5).uniform(-0.3, 0.3, 136).astype(np.float32)
    layer = model.get_layer("mean_face")
    assert isinstance(layer, MeanFace) and not layer.trainable_variables
    layer.face.assign(mean)
    stages = model(np.random.default_rng(6).random((2, 32, 32, 3), np.float32))
    np.testing.assert_allclose(stages, np.tile(mean, (2, 3, 1)), atol=1e-5)
