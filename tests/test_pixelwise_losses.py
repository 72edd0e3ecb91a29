"""The losses on maps against dense arrays and formulas written out in NumPy, and maps back to landmarks."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.ndimage import grey_dilation

from config import LOSS_REFERENCE_SIZE
from image_utility import from_targets, to_targets
from networks.heatmap_ops import soft_argmax
from pixelwise import losses
from pixelwise.config import MAP_SIGMA
from pixelwise.decode import decode_last_stage, map_decoders, window_radius
from pixelwise.losses import ADAPTIVE_WING, HYBRID_BETA, SHARPNESS
from pixelwise.targets import first_of_pixel, from_pixels, pixel_indices, to_pixels

SIDE, POINTS = 28, 5
SIGMA = MAP_SIGMA * SIDE / LOSS_REFERENCE_SIZE


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def random_landmarks(rng, low=2.0, high=SIDE - 3.0):
    return rng.uniform(low, high, (2, POINTS, 2))


def make_targets(landmarks):
    return to_targets(landmarks, SIDE).astype(np.float32)


def dense_log_gaussians(landmarks, side=SIDE, sigma=SIGMA):
    """(batch, side, side, points), one pixel at a time."""
    rows, columns = np.mgrid[:side, :side]
    x, y = landmarks[:, None, None, :, 0], landmarks[:, None, None, :, 1]
    return -((columns[..., None] - x) ** 2 + (rows[..., None] - y) ** 2) / (2 * sigma**2)


def dense_gaussians(landmarks):
    """(batch, side, side, points) of height 1."""
    return np.exp(dense_log_gaussians(landmarks))


def log_softmax(values, axis):
    values = values - values.max(axis=axis, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=axis, keepdims=True))


def test_pixels_are_those_of_the_crop(rng):
    landmarks = random_landmarks(rng)
    targets = make_targets(landmarks)
    pixels = to_pixels(ops.convert_to_tensor(targets), SIDE)
    np.testing.assert_allclose(pixels, from_targets(targets, SIDE), atol=1e-4)
    np.testing.assert_allclose(from_pixels(pixels, SIDE), targets, atol=1e-6)


def test_pixel_indices_by_hand():
    landmarks = ops.convert_to_tensor([[[3.4, 1.6], [-0.4, 0.0], [-0.6, 0.0], [27.4, 27.4], [27.6, 5.0], [3.0, 2.2]]])
    indices, inside = pixel_indices(landmarks, SIDE)
    assert np.asarray(inside).tolist() == [[True, True, False, True, False, True]]
    assert np.asarray(indices)[0, [0, 1, 3, 5]].tolist() == [2 * 28 + 3, 0, 27 * 28 + 27, 2 * 28 + 3]
    assert np.asarray(first_of_pixel(indices, inside)).tolist() == [[True, True, False, True, False, False]]


def test_distribution_is_the_dense_divergence(rng):
    landmarks, logits = (
        random_landmarks(rng, -3, SIDE + 2),
        rng.normal(0, 2, (2, SIDE, SIDE, POINTS)).astype(np.float32),
    )
    truth = dense_gaussians(landmarks)
    truth /= truth.sum(axis=(1, 2), keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(truth > 0, truth * (np.log(truth) - log_softmax(logits.astype(np.float64), (1, 2))), 0)
    value = losses.distribution(make_targets(landmarks), logits)
    np.testing.assert_allclose(value, parts.sum(axis=(1, 2, 3)), rtol=1e-4)


def test_distribution_is_zero_at_the_truth(rng):
    landmarks = random_landmarks(rng)
    logits = dense_log_gaussians(landmarks).astype(np.float32) + 7
    np.testing.assert_allclose(losses.distribution(make_targets(landmarks), logits), 0, atol=1e-3)


def test_heatmap_is_the_dense_sum(rng):
    landmarks, maps = random_landmarks(rng), rng.normal(0, 1, (2, SIDE, SIDE, POINTS + 1)).astype(np.float32)
    truth = dense_gaussians(landmarks)
    truth = np.concatenate([truth, 1 - truth.max(axis=-1, keepdims=True)], axis=-1)
    value = losses.heatmap(make_targets(landmarks), maps)
    np.testing.assert_allclose(value, ((truth - maps) ** 2).sum(axis=(1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(losses.heatmap(make_targets(landmarks), truth.astype(np.float32)), 0, atol=1e-6)


def numpy_adaptive_wing(y, error):
    """One pixel, from the paper's formula."""
    omega, theta, epsilon, alpha = (ADAPTIVE_WING[name] for name in ("omega", "theta", "epsilon", "alpha"))
    ratio = theta / epsilon
    a = omega * (1 / (1 + ratio ** (alpha - y))) * (alpha - y) * ratio ** (alpha - y - 1) / epsilon
    c = theta * a - omega * np.log(1 + ratio ** (alpha - y))
    return np.where(error < theta, omega * np.log(1 + (error / epsilon) ** (alpha - y)), a * error - c)


def test_adaptive_wing_is_the_formula_at_every_pixel(rng):
    landmarks, maps = random_landmarks(rng), rng.normal(0.3, 0.5, (2, SIDE, SIDE, POINTS)).astype(np.float32)
    truth = dense_gaussians(landmarks)
    near = grey_dilation(truth, (1, 3, 3, 1)) >= 0.2
    expected = (numpy_adaptive_wing(truth, np.abs(truth - maps)) * (1 + 10 * near)).mean(axis=(1, 2, 3))
    value = losses.adaptive_wing(make_targets(landmarks), maps, **ADAPTIVE_WING)
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_adaptive_wing_by_hand():
    """A crop of one landmark far away has height 0 everywhere: 14 ln(1 + d^2.1)."""
    far, maps = np.full((1, 2), 50.0, np.float32), np.full((1, SIDE, SIDE, 1), 0.25, np.float32)
    value = losses.adaptive_wing(far, maps, **ADAPTIVE_WING)
    assert float(value[0]) == pytest.approx(14 * np.log(1 + 0.25**2.1), rel=1e-5)
    assert numpy_adaptive_wing(0.7, 0.5 - 1e-9) == pytest.approx(numpy_adaptive_wing(0.7, 0.5), rel=1e-6)


def test_pixelwise_pixel_by_pixel(rng):
    """Two landmarks fall on one pixel, one lies outside; every pixel is computed."""
    landmarks = random_landmarks(rng)
    landmarks[0, 1] = landmarks[0, 0].round() + 0.2
    landmarks[0, 0] = landmarks[0, 0].round()
    landmarks[1, 2] = (SIDE + 3, 4)
    log_probabilities = log_softmax(rng.normal(0, 2, (2, SIDE, SIDE, POINTS + 1)), -1).astype(np.float32)
    for face in range(2):
        taken, own = {}, []
        for point, (x, y) in enumerate(landmarks[face]):
            column, row = round(x), round(y)
            if 0 <= column < SIDE and 0 <= row < SIDE:
                taken[row, column] = True
                own.append(-log_probabilities[face, row, column, point])
        others = [-log_probabilities[face, r, c, -1] for r in range(SIDE) for c in range(SIDE) if (r, c) not in taken]
        value = losses.pixelwise(make_targets(landmarks), log_probabilities)[face]
        assert float(value) == pytest.approx((np.mean(own) + np.mean(others)) / 2, rel=1e-5)


def test_background_alone_has_a_large_loss(rng):
    """A plain mean would be small: 5 of 784 pixels are landmarks."""
    probabilities = np.full((1, SIDE, SIDE, POINTS + 1), 1e-6 / POINTS, np.float32)
    probabilities[..., -1] = 1 - 1e-6
    assert float(losses.pixelwise(make_targets(random_landmarks(rng))[:1], np.log(probabilities))[0]) > 5


def test_soft_argmax_finds_the_middle_of_a_gaussian(rng):
    landmarks = rng.uniform(8, SIDE - 9, (2, POINTS, 2))
    log_weights = dense_log_gaussians(landmarks, sigma=1.5).astype(np.float32) - 100
    np.testing.assert_allclose(soft_argmax(log_weights), landmarks, atol=1e-3)


def test_a_thin_background_does_not_move_a_peak():
    """A peak of 0.8 at (30, 80) of 112 x 112, and 1e-4 everywhere else."""
    probabilities = np.full((1, 112, 112, 2), 1e-4, np.float32)
    probabilities[0, 80, 30, 0] = 0.8
    log_probabilities = np.log(probabilities)
    np.testing.assert_allclose(losses.class_soft_argmax(log_probabilities), [[[30, 80]]], atol=0.02)
    plain = np.asarray(losses.class_soft_argmax(log_probabilities, sharpness=1.0))
    fraction = 12543e-4 / (12543e-4 + 0.8)  # of the background, whose mean is nearly the middle
    np.testing.assert_allclose(plain[0, 0], [30 + fraction * 25.5, 80 - fraction * 24.5], atol=0.02)


def test_hybrid_is_cross_entropy_and_distance_in_pixels_of_224(rng):
    landmarks = random_landmarks(rng)
    log_probabilities = log_softmax(rng.normal(0, 2, (2, SIDE, SIDE, POINTS + 1)), -1).astype(np.float32)
    weights = np.exp(log_probabilities[..., :-1].astype(np.float64)) ** SHARPNESS
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    points = np.stack([(weights.sum(axis) * np.arange(SIDE)[:, None]).sum(1) for axis in (1, 2)], axis=-1)
    distance = np.linalg.norm(points - landmarks, axis=-1).mean(axis=1) * LOSS_REFERENCE_SIZE / SIDE
    expected = np.asarray(losses.pixelwise(make_targets(landmarks), log_probabilities)) + HYBRID_BETA * distance
    np.testing.assert_allclose(losses.hybrid(make_targets(landmarks), log_probabilities), expected, rtol=1e-4)


def test_distance_by_hand():
    truth = np.zeros((1, 4), np.float32)
    found = np.array([[3, 4, 0, 0]], np.float32) / LOSS_REFERENCE_SIZE
    assert float(losses.distance(truth, found)[0]) == pytest.approx(2.5, rel=1e-5)
    stages = np.stack([found, 3 * found], axis=1)  # (1, 2, 4)
    assert float(losses.distance(truth, stages)[0]) == pytest.approx(5, rel=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="uses TensorFlow's tape")
@pytest.mark.parametrize("name", ["distribution", "heatmap", "adaptive_wing", "pixelwise", "hybrid", "distance"])
def test_gradients_are_finite_and_there(rng, name):
    import tensorflow as tf

    landmarks = random_landmarks(rng, -2, SIDE + 1)
    landmarks[0, 0] = (5.0, 6.0)
    truth = make_targets(landmarks)
    if name == "distance":
        start = truth.copy()
        start[1] += 0.1
    elif name in ("distribution", "adaptive_wing"):
        start = dense_gaussians(landmarks).astype(np.float32)
    else:
        start = np.concatenate([dense_gaussians(landmarks), np.ones((2, SIDE, SIDE, 1))], axis=-1).astype(np.float32)
    options = ADAPTIVE_WING if name == "adaptive_wing" else {}
    with tf.GradientTape() as tape:
        tape.watch(found := tf.constant(start) * 0.9)
        maps = ops.log_softmax(found, axis=-1) if name in ("pixelwise", "hybrid") else found
        value = getattr(losses, name)(truth, maps, **options)
    slopes = tape.gradient(value, found).numpy()
    assert np.isfinite(slopes).all() and np.abs(slopes).max() > 0


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="uses TensorFlow's tape")
def test_the_distance_of_hybrid_has_a_gradient(rng):
    """Through an argmax it would have none, and beta would change nothing."""
    import tensorflow as tf

    truth = make_targets(random_landmarks(rng))
    maps = tf.constant(rng.normal(0, 1, (2, SIDE, SIDE, POINTS + 1)).astype(np.float32))
    slopes = []
    for beta in (0.0, 1.0):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            value = losses.hybrid(truth, ops.log_softmax(maps, axis=-1), beta=beta)
        slopes.append(tape.gradient(value, maps).numpy())
    assert np.abs(slopes[1] - slopes[0]).max() > 1e-4


# ------------------------------------------------------------------------------------------------------------ decode


def test_argmax_is_the_highest_pixel(rng):
    maps = rng.normal(0, 1, (2, SIDE, SIDE, POINTS + 1)).astype(np.float32)
    maps[0, 20, 3, 1], maps[1, 0, 27, 4] = 9, 9
    maps[..., -1] = 50  # the background's, which is no landmark
    found = map_decoders(background=True, logarithms=False)["argmax"](maps, SIDE)
    assert found.shape == (2, POINTS, 2)
    assert found[0, 1].tolist() == [3, 20] and found[1, 4].tolist() == [27, 0]


@pytest.mark.parametrize("logarithms", [True, False])
def test_subpixel_finds_what_lies_between_pixels(rng, logarithms):
    side = 112
    landmarks = rng.uniform(6, side - 7, (2, POINTS, 2))
    maps = dense_log_gaussians(landmarks, side, MAP_SIGMA * side / LOSS_REFERENCE_SIZE).astype(np.float32)
    decoders = map_decoders(background=False, logarithms=logarithms)
    maps = maps if logarithms else np.exp(maps)
    np.testing.assert_allclose(decoders["subpixel"](maps, side), landmarks, atol=0.06)
    assert np.abs(decoders["argmax"](maps, side) - landmarks).max() > 0.2


def test_subpixel_uses_its_window_only():
    """A second mode beyond the window does not shift the landmark, one at the border of the map does not fall out."""
    maps = np.zeros((1, 56, 56, 2), np.float32)
    maps[0, 10, 10, 0], maps[0, 10, 11, 0], maps[0, 40, 40, 0] = 1, 1 / 3, 0.9
    maps[0, 0, 55, 1] = 1
    found = map_decoders(background=False, logarithms=False)["subpixel"](maps, 56)
    np.testing.assert_allclose(found, [[[10.25, 10], [55, 0]]])


@pytest.mark.parametrize(("side", "radius"), [(224, 9), (112, 5), (64, 3), (28, 2)])
def test_the_window_has_its_radius_at_every_size(side, radius):
    """Three sigma are 4.5 pixels of 112: a pixel at 4.5 belongs to the Gaussian."""
    assert window_radius(side) == radius
    maps = np.zeros((1, side, side, 2), np.float32)
    maps[0, 12, 12], maps[0, 12, 12 + radius, 0], maps[0, 12, 12 + radius + 1, 1] = 1, 0.5, 0.5
    found = map_decoders(background=False, logarithms=False)["subpixel"](maps, side)
    np.testing.assert_allclose(found, [[[12 + radius / 3, 12], [12, 12]]])


def test_maps_below_zero_give_their_argmax():
    maps = -np.ones((1, SIDE, SIDE, 2), np.float32)
    maps[0, 4, 5] = -0.5
    found = map_decoders(background=False, logarithms=False)["subpixel"](maps, SIDE)
    np.testing.assert_allclose(found, [[[5, 4], [5, 4]]])


def test_flat_predictions_are_no_maps():
    with pytest.raises(ValueError, match=r"maps of landmarks.*Received \(4, 136\)"):
        map_decoders(background=True, logarithms=True)["argmax"](np.zeros((4, 136)), 112)


def test_a_cascade_predicts_its_last_stage(rng):
    landmarks = random_landmarks(rng)
    stages = np.stack([np.zeros((2, 2 * POINTS)), make_targets(landmarks)], axis=1)
    np.testing.assert_allclose(decode_last_stage(stages, SIDE), landmarks, atol=1e-4)
