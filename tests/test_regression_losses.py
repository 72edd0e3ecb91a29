"""Smooth L1 and Wing against hand-computed values, and the methods of L1 and L2."""

import keras
import numpy as np
import pytest
from keras import ops

from losses.regression import SmoothL1Loss, WingLoss, smooth_l1, wing
from methods import METHODS

NONE = np.zeros((1, 2), np.float32)
LOSSES = (SmoothL1Loss, WingLoss)


def at(loss, pixels, **options):
    """The loss of one coordinate that is so many pixels of 224 off."""
    return float(loss(np.zeros((1, 1), np.float32), np.full((1, 1), pixels / 224, np.float32), **options)[0])


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (smooth_l1, (112 - 0.5 + 56 - 0.5) / 2),
        (wing, 84 - (10 - 10 * np.log(6))),  # x - C, the mean of 112 and 56 pixels
    ],
)
def test_large_errors_by_hand(loss, expected):
    value = loss(NONE, np.array([[0.5, -0.25]], np.float32))
    np.testing.assert_allclose(value, [expected], rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "pixels", "expected"),
    [
        (smooth_l1, 0.5, 0.125),
        (smooth_l1, 1.0, 0.5),
        (smooth_l1, 3.0, 2.5),
        (wing, 2.0, 10 * np.log(2)),
        (wing, 6.0, 10 * np.log(4)),
        (wing, 10.0, 10 * np.log(6)),
        (wing, 15.0, 10 * np.log(6) + 5),
    ],
)
def test_errors_in_pixels_by_hand(loss, pixels, expected):
    assert at(loss, pixels) == pytest.approx(expected, rel=1e-5)
    assert at(loss, -pixels) == pytest.approx(expected, rel=1e-5)


def test_thresholds_follow_the_stated_size():
    """Half the pixels of half the crop are the same fraction of the face."""
    assert at(smooth_l1, 3.0, threshold=4.0) == pytest.approx(2 * at(smooth_l1, 3.0, threshold=2.0, image_size=112))
    assert at(wing, 3.0) == pytest.approx(2 * at(wing, 3.0, width=5.0, curvature=1.0, image_size=112), rel=1e-5)


def test_smooth_l1_is_the_formula():
    rng = np.random.default_rng(0)
    true, predicted = rng.normal(0, 0.02, (2, 5, 20)).astype(np.float32)
    x = 224 * np.abs(true - predicted)
    expected = np.where(x < 3, x**2 / 6, x - 1.5).mean(axis=-1)
    np.testing.assert_allclose(smooth_l1(true, predicted, threshold=3.0), expected, rtol=1e-5)


@pytest.mark.parametrize(("loss", "corner", "kink"), [(smooth_l1, 1.0, 0.0), (wing, 10.0, 1 - 10 / 12)])
def test_branches_meet(loss, corner, kink):
    """Values do; Wing's slope jumps from w / (w + epsilon) to 1."""
    step = 0.01
    below, there, above = (at(loss, corner + move) for move in (-step, 0, step))
    assert (above - there) / step == pytest.approx(1.0, abs=0.01)
    assert (there - below) / step == pytest.approx(1.0 - kink, abs=0.01)


def test_small_errors_count_more_than_with_l1():
    """Wing's slope at an error: w / (epsilon + x)."""
    slopes = [(at(wing, x + 0.01) - at(wing, x)) / 0.01 for x in (0.0, 2.0, 8.0)]
    np.testing.assert_allclose(slopes, [5.0, 2.5, 1.0], rtol=0.01)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="uses TensorFlow's tape")
@pytest.mark.parametrize("loss", [smooth_l1, wing])
def test_gradients_are_finite_everywhere(loss):
    import tensorflow as tf

    predicted = tf.Variable([[0.0, 1e-9, 1 / 224, 10 / 224, 1e6]])
    with tf.GradientTape() as tape:
        value = loss(tf.zeros((1, 5)), predicted)
    slopes = tape.gradient(value, predicted).numpy()
    assert np.isfinite(slopes).all() and slopes[0, 0] == 0 and (slopes[0, 1:] > 0).all()


@pytest.mark.parametrize("kind", LOSSES)
def test_classes_are_the_functions_and_survive_their_configuration(kind):
    rng = np.random.default_rng(1)
    true, predicted = rng.normal(0, 0.02, (2, 5, 20)).astype(np.float32)
    options = {SmoothL1Loss: {"threshold": 2.5}, WingLoss: {"width": 6.0, "curvature": 0.5, "image_size": 256}}
    loss = kind(**options.get(kind, {}))
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    function = {SmoothL1Loss: smooth_l1, WingLoss: wing}[kind]
    expected = ops.mean(function(true, predicted, **options.get(kind, {})))
    np.testing.assert_allclose(loss(true, predicted), expected, rtol=1e-6)
    np.testing.assert_allclose(again(true, predicted), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (SmoothL1Loss, {"threshold": 0.0}, "threshold is a length.*Received 0.0"),
        (WingLoss, {"width": -1.0}, "width is a length.*Received -1.0"),
        (WingLoss, {"curvature": 0.0}, "curvature is a length.*Received 0.0"),
        (WingLoss, {"image_size": float("nan")}, "image_size is a length.*Received nan"),
    ],
)
def test_lengths_must_be_above_zero(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


@pytest.mark.parametrize("name", ["l1", "l2", "smooth_l1", "wing"])
def test_every_loss_is_a_method(name, prepared_300w):
    from face_datasets.catalogue import get_dataset

    loss = METHODS[name].loss(prepared_300w, get_dataset("300W"), "square")
    kinds = (*LOSSES, keras.losses.MeanAbsoluteError, keras.losses.MeanSquaredError)
    assert isinstance(loss, kinds) and loss.name == name
