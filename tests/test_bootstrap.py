"""The paired bootstrap against cases whose answer is known."""

import numpy as np
import pytest

from benches.bootstrap import paired_bootstrap
from benches.config import SMALLEST_BOOTSTRAP


def test_a_constant_difference_is_certain():
    errors = np.random.default_rng(0).uniform(2, 9, (2, 50))
    found = paired_bootstrap(np.stack([errors, errors + 0.5]))
    for array in found[:3]:
        np.testing.assert_allclose(array, [[0, -0.5], [0.5, 0]], atol=1e-12)
    np.testing.assert_array_equal(found.verdict, [["no", "yes"], ["yes", "no"]])


def test_two_faces_by_hand():
    """Errors 0 and 1 against 0 and 0: a draw's difference is 0, 1/2 or 1 with shares 1/4, 1/2 and 1/4."""
    errors = np.array([[[0.0, 1.0]], [[0.0, 0.0]]])
    found = paired_bootstrap(errors)
    assert (found.mean[0, 1], found.low[0, 1], found.high[0, 1]) == (0.5, 0.0, 1.0)
    narrow = paired_bootstrap(errors, interval=0.4)  # from the share 0.3 to 0.7
    assert (narrow.low[0, 1], narrow.high[0, 1]) == (0.5, 0.5)


def test_two_seeds_by_hand():
    """Faces that agree, and a difference of 0 with one seed and 1 with the other: the same shares, now of seeds."""
    errors = np.zeros((2, 2, 40))
    errors[0, 1] = 1.0
    found = paired_bootstrap(errors)
    assert (found.mean[0, 1], found.low[0, 1], found.high[0, 1]) == (0.5, 0.0, 1.0)
    assert paired_bootstrap(errors, interval=0.4).verdict[0, 1] == "no"  # one seed shows no difference
    errors[0, 0] = 0.01
    assert paired_bootstrap(errors).verdict[0, 1] == "yes"


def test_many_faces_give_the_interval_of_the_normal_distribution():
    rng = np.random.default_rng(1)
    errors = np.stack([rng.normal(5.0, 1.0, 2000), rng.normal(4.9, 1.5, 2000)])
    found = paired_bootstrap(errors[:, None])
    difference = errors[0] - errors[1]
    half = 1.96 * difference.std() / np.sqrt(2000)
    assert found.mean[0, 1] == pytest.approx(difference.mean())
    assert found.low[0, 1] == pytest.approx(difference.mean() - half, abs=0.06 * half)
    assert found.high[0, 1] == pytest.approx(difference.mean() + half, abs=0.06 * half)


def test_many_seeds_and_faces_add_their_variances():
    rng = np.random.default_rng(6)
    seeds, faces, shape = rng.normal(0, 0.3, 200), rng.normal(0, 1.0, 300), (1, 200, 300)
    errors = np.concatenate([np.zeros(shape), (seeds[:, None] + faces)[None]])
    found = paired_bootstrap(errors, draws=4000)
    half = 1.96 * np.sqrt(seeds.var() / 200 + faces.var() / 300)
    assert found.high[1, 0] - found.low[1, 0] == pytest.approx(2 * half, rel=0.06)


def test_what_all_share_does_not_matter():
    """Faces and seeds that are hard for everybody widen no interval: that is what pairing is for."""
    rng = np.random.default_rng(2)
    own, shared = rng.normal(0, 0.1, (3, 2, 80)), rng.gamma(2, 5, 80) + np.array([[0.0], [3.0]])  # (seeds, faces)
    one, other = paired_bootstrap(own), paired_bootstrap(own + shared)
    for array, same in zip(one[:3], other[:3], strict=True):
        np.testing.assert_allclose(array, same, atol=1e-9)
    np.testing.assert_array_equal(one.verdict, other.verdict)


def test_row_minus_column():
    found = paired_bootstrap(np.random.default_rng(3).uniform(0, 10, (4, 2, 30)))
    np.testing.assert_allclose(found.mean, -found.mean.T)
    np.testing.assert_allclose(found.low, -found.high.T)
    np.testing.assert_allclose(np.diag(found.low), 0)
    np.testing.assert_array_equal(found.verdict, found.verdict.T)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Of 300 samples of 60 skewed errors about 95 % of the intervals hold the true difference of zero."""
    rng = np.random.default_rng(4)
    held = 0
    for seed in range(300):
        found = paired_bootstrap(rng.gamma(2.0, 2.0, (2, 1, 60)), draws=400, seed=seed)
        held += found.low[0, 1] <= 0 <= found.high[0, 1]
    assert 0.90 <= held / 300 <= 0.99


def test_seeds_that_differ_make_no_verdict():
    """One method twice, 165 faces, seeds that differ by 0.1: resampling faces alone calls about half of it real."""
    rng = np.random.default_rng(7)
    yes = {2: 0, 5: 0}
    for trial in range(100):
        for seeds in yes:
            errors = rng.normal(0, 0.56, (2, seeds, 165)) + rng.normal(0, 0.1, (2, seeds, 1))
            yes[seeds] += paired_bootstrap(errors, draws=400, seed=trial).verdict[0, 1] == "yes"
    assert yes[2] / 100 < 0.3 and yes[5] / 100 < 0.15


@pytest.mark.parametrize("seeds, faces", [(1, 200), (2, SMALLEST_BOOTSTRAP - 1)])
def test_one_seed_or_few_faces_make_no_verdict(seeds, faces):
    errors = np.zeros((2, seeds, faces))
    errors[0] = 1.0
    assert (paired_bootstrap(errors).verdict == "not known").all()


def test_the_same_seed_draws_the_same_faces():
    errors = np.random.default_rng(5).uniform(0, 10, (2, 2, 40))
    one, again, other = (paired_bootstrap(errors, draws=200, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.low, again.low)
    assert one.low[0, 1] != other.low[0, 1]


@pytest.mark.parametrize("errors", [np.zeros((2, 1, 0)), np.zeros((2, 3)), np.array([[[1.0, np.nan]]])])
def test_bad_errors(errors):
    with pytest.raises(ValueError, match="must be finite, .entries, seeds, faces.. Received"):
        paired_bootstrap(errors)
