"""The paired bootstrap against cases whose answer is known."""

import numpy as np
import pytest

from benches.bootstrap import paired_bootstrap


def test_a_constant_difference_is_certain():
    errors = np.random.default_rng(0).uniform(2, 9, 50)
    found = paired_bootstrap(np.stack([errors, errors + 0.5]))
    for array in found:
        np.testing.assert_allclose(array, [[0, -0.5], [0.5, 0]], atol=1e-12)
    np.testing.assert_array_equal(found.real, [[False, True], [True, False]])


def test_two_faces_by_hand():
    """Errors 0 and 1 against 0 and 0: a draw's difference is 0, 1/2 or 1 with shares 1/4, 1/2 and 1/4."""
    found = paired_bootstrap(np.array([[0.0, 1.0], [0.0, 0.0]]))
    assert (found.mean[0, 1], found.low[0, 1], found.high[0, 1]) == (0.5, 0.0, 1.0)
    assert not found.real.any()
    narrow = paired_bootstrap(np.array([[0.0, 1.0], [0.0, 0.0]]), interval=0.4)  # from the share 0.3 to 0.7
    assert (narrow.low[0, 1], narrow.high[0, 1]) == (0.5, 0.5)


def test_many_faces_give_the_interval_of_the_normal_distribution():
    rng = np.random.default_rng(1)
    errors = np.stack([rng.normal(5.0, 1.0, 2000), rng.normal(4.9, 1.5, 2000)])
    found = paired_bootstrap(errors)
    difference = errors[0] - errors[1]
    half = 1.96 * difference.std() / np.sqrt(2000)
    assert found.mean[0, 1] == pytest.approx(difference.mean())
    assert found.low[0, 1] == pytest.approx(difference.mean() - half, abs=0.06 * half)
    assert found.high[0, 1] == pytest.approx(difference.mean() + half, abs=0.06 * half)


def test_what_all_share_does_not_matter():
    """Faces that are hard for everybody widen no interval: that is what pairing is for."""
    rng = np.random.default_rng(2)
    own, shared = rng.normal(0, 0.1, (3, 80)), rng.gamma(2, 5, 80)
    for one, other in zip(paired_bootstrap(own), paired_bootstrap(own + shared), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_row_minus_column():
    found = paired_bootstrap(np.random.default_rng(3).uniform(0, 10, (4, 30)))
    np.testing.assert_allclose(found.mean, -found.mean.T)
    np.testing.assert_allclose(found.low, -found.high.T)
    np.testing.assert_allclose(np.diag(found.low), 0)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Of 300 samples of 60 skewed errors about 95 % of the intervals hold the true difference of zero."""
    rng = np.random.default_rng(4)
    held = 0
    for seed in range(300):
        errors = rng.gamma(2.0, 2.0, (2, 60))
        found = paired_bootstrap(errors, draws=400, seed=seed)
        held += not found.real[0, 1]
    assert 0.90 <= held / 300 <= 0.99


def test_the_same_seed_draws_the_same_faces():
    errors = np.random.default_rng(5).uniform(0, 10, (2, 40))
    one, again, other = (paired_bootstrap(errors, draws=200, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.low, again.low)
    assert one.low[0, 1] != other.low[0, 1]


@pytest.mark.parametrize("errors", [np.zeros((2, 0)), np.zeros(3), np.array([[1.0, np.nan]])])
def test_bad_errors(errors):
    with pytest.raises(ValueError, match="must be finite, .entries, faces.. Received"):
        paired_bootstrap(errors)
