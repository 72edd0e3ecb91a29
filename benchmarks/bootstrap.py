"""Intervals of differences between methods, over seeds and test faces.

The comparison is paired: all methods have the same seeds and faces, so what is difficult for all of them widens no
interval. Faces are many and their errors skewed: they get a percentile bootstrap (Efron and Tibshirani 1993). Seeds
are few: they get Student's t interval. Its standard deviation is pooled over all entries (the residuals of a two-way
analysis of variance, entries and seeds), because a single pair with two seeds has one degree of freedom. Where a few
entries vary ten times as much as the rest, up to a third of the zero differences with them look significant, and fewer
of the others; in the mean over all pairs it is about one in twenty (a test checks that). The two parts are independent,
so the distances from the mean to their ends add as the squares of standard deviations do (Zou and Donner, Statistics in
Medicine 2008).
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import t

from benchmarks.config import BOOTSTRAP_DRAWS, BOOTSTRAP_INTERVAL, MIN_BOOTSTRAP_FACES
from config import SEED

DRAWS_AT_ONCE = 500  # each needs 8 bytes for each face


class Differences(NamedTuple):
    """Differences of mean errors, row minus column, and their intervals.

    Attributes:
        mean: (entries, entries).
        low: lower ends of the intervals, (entries, entries); with one seed these are over faces alone.
        high: upper ends, (entries, entries).
        verdict: (entries, entries) of "yes": the interval excludes zero; "not shown": it does not; "not known": one
            seed only, or fewer than MIN_BOOTSTRAP_FACES faces.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    verdict: np.ndarray


def paired_differences(
    errors: np.ndarray, draws: int = BOOTSTRAP_DRAWS, interval: float = BOOTSTRAP_INTERVAL, seed: int = SEED
) -> Differences:
    """Return the differences between the mean errors of several entries on the same seeds and faces.

    Args:
        errors: (entries, seeds, faces).
        draws: bootstrap samples of the faces; default: BOOTSTRAP_DRAWS.
        interval: coverage of the intervals; default: BOOTSTRAP_INTERVAL.
        seed: random seed; default: SEED.

    Raises:
        ValueError: no face, or an error that is not finite.
    """
    errors = np.asarray(errors, np.float64)
    if errors.ndim != 3 or not errors.size or not np.isfinite(errors).all():
        raise ValueError(f"errors must be finite, (entries, seeds, faces). Received an array of shape {errors.shape}")
    entries, seeds, faces = errors.shape
    of_seeds, drawn = errors.mean(axis=2), _drawn_means(errors.mean(axis=1), draws, seed)  # (entries, seeds or draws)
    ends = np.array([(1 - interval) / 2, (1 + interval) / 2])
    mean, low, high = (np.zeros((entries, entries)) for _ in range(3))
    half_width = _seed_half_width(of_seeds, ends[1])
    for entry in range(entries):
        mean[entry] = (of_seeds[entry] - of_seeds).mean(axis=1)
        lower, upper = np.quantile(drawn[entry] - drawn, ends, axis=1)  # over faces
        low[entry] = mean[entry] - np.hypot(mean[entry] - lower, half_width)
        high[entry] = mean[entry] + np.hypot(upper - mean[entry], half_width)
    for array in (low, high):
        np.fill_diagonal(array, 0.0)
    verdict = np.where((low > 0) | (high < 0), "yes", "not shown")
    if seeds == 1 or faces < MIN_BOOTSTRAP_FACES:
        verdict = np.full_like(verdict, "not known")
    return Differences(mean, low, high, verdict)


def _drawn_means(errors: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Return means of errors (entries, faces) over faces drawn with replacement: (entries, draws)."""
    faces, rng, means = errors.shape[1], np.random.default_rng(seed), []
    for start in range(0, draws, DRAWS_AT_ONCE):
        count = min(DRAWS_AT_ONCE, draws - start)
        times = rng.multinomial(faces, np.full(faces, 1 / faces), size=count)  # (count, faces)
        means.append(errors @ times.T.astype(np.float64) / faces)
    return np.concatenate(means, axis=1)


def _seed_half_width(errors: np.ndarray, end: float) -> float:
    """Return half the width of the t interval over seeds, the same for every pair; 0 for one seed or one entry.

    Args:
        errors: mean errors, (entries, seeds).
        end: quantile of the upper end.
    """
    freedom = (errors.shape[0] - 1) * (errors.shape[1] - 1)
    if not freedom:
        return 0.0
    residuals = errors - errors.mean(axis=1, keepdims=True) - errors.mean(axis=0) + errors.mean()  # (entries, seeds)
    return float(t.ppf(end, freedom) * np.sqrt(2 * np.sum(residuals**2) / freedom / errors.shape[1]))
