"""Operations on heatmaps, by hand."""

import numpy as np
import pytest
from gradients import gradient
from keras import ops

from networks.heatmap_ops import bilinear_sample, crop_to, masked_mean, safe_sqrt, soft_argmax


def test_a_root_without_an_infinite_slope():
    x = np.array([0.0, -1.0, 4.0, 1e-30], np.float32)
    np.testing.assert_allclose(ops.convert_to_numpy(safe_sqrt(x)), [0, 0, 2, 1e-15], rtol=1e-6)
    np.testing.assert_allclose(gradient(safe_sqrt, x), [0, 0, 0.25, 0.5e15], rtol=1e-6)


def test_a_mean_of_nothing_is_zero():
    values, weights = np.array([[1.0, 5, 9], [7, 7, 7]], np.float32), np.array([[1.0, 0, 1], [0, 0, 0]], np.float32)
    assert ops.convert_to_numpy(masked_mean(values, weights)).tolist() == [5, 0]


def test_sampling_is_bilinear():
    maps = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    points = np.array([[[[1, 1], [0.5, 0], [3, 2], [1.25, 0.5], [-7, 9]]]], np.float32)
    np.testing.assert_allclose(ops.convert_to_numpy(bilinear_sample(maps, points))[0, 0], [5, 0.5, 11, 3.25, 8])


def test_edges_are_where_the_values_end():
    """The last row and column are reached, in maps of every shape."""
    maps = np.random.default_rng(0).random((2, 3, 4, 7)).astype(np.float32)
    rows, columns = np.mgrid[:4, :7]
    points = np.tile(np.stack([columns, rows], axis=-1).reshape(1, 1, 28, 2), (2, 3, 1, 1)).astype(np.float32)
    np.testing.assert_array_equal(ops.convert_to_numpy(bilinear_sample(maps, points)), maps.reshape(2, 3, 28))


def test_soft_argmax_is_the_mean_under_the_softmax():
    log_weights = np.random.default_rng(1).normal(0, 2, (3, 6, 6, 4)).astype(np.float32) - 100
    weights = np.exp(log_weights + 100.0)
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    for line, given in ((np.arange(6), {}), (0.3 - np.arange(6) / 7, {"line": np.float32(0.3 - np.arange(6) / 7)})):
        x, y = np.einsum("bijp,j->bp", weights, line), np.einsum("bijp,i->bp", weights, line)
        np.testing.assert_allclose(
            ops.convert_to_numpy(soft_argmax(log_weights, **given)), np.stack([x, y], axis=-1), rtol=1e-5
        )


@pytest.mark.parametrize("side", [5, 4, 1])
def test_the_first_rows_and_columns_remain(side):
    features = np.random.default_rng(2).random((2, 5, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(ops.convert_to_numpy(crop_to(features, side)), features[:, :side, :side])
