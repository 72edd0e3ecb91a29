"""Which differences are real? Intervals over seeds and test faces, of differences on the same seeds and faces.

The same faces are drawn for all that is compared, so that what is hard for everybody widens no interval: a face is the
same face for all methods, and a seed the same order and moves of faces. Faces are many and their errors skewed: they
are drawn again (percentile bootstrap, Efron and Tibshirani 1993). Seeds are few, and no drawing of two of them reaches
beyond the two: theirs is Student's t interval. How much a method differs from seed to seed, beside what a seed does to
all, is taken to be the same for all that is compared, so that all of it tells of the spread (the residuals of a two-way
analysis of variance, entries and seeds): of one pair and two seeds hardly anything would be known. Where a few entries
vary ten times as much as the rest, up to a third of the differences with them that are none look real, and fewer of the
others; in the mean over all pairs it is about one in twenty (a test holds that). The two parts are independent, so the
distances from the mean to their ends add as the squares of standard deviations do (Zou and Donner, Statistics in
Medicine 2008).
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import t

from benchmarks.config import BOOTSTRAP_DRAWS, BOOTSTRAP_INTERVAL, SMALLEST_BOOTSTRAP
from config import SEED

DRAWS_AT_ONCE = 500  # they need 8 bytes for each face


class Differences(NamedTuple):
    """Differences of mean errors, row minus column, and what is known of them.

    mean, low, high: (entries, entries), the ends being those of the intervals; with one seed these are of faces alone.
    verdict: (entries, entries) of "yes", "not shown", "not known". "yes": the interval leaves out zero, "not shown": it
        does not. "not known": one seed only, or fewer than SMALLEST_BOOTSTRAP faces.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    verdict: np.ndarray


def paired_differences(
    errors: np.ndarray, draws: int = BOOTSTRAP_DRAWS, interval: float = BOOTSTRAP_INTERVAL, seed: int = SEED
) -> Differences:
    """Differences between the mean errors of several entries on the same seeds and faces, with their intervals.

    Args:
        errors: (entries, seeds, faces). draws: how often faces are drawn.
        interval: how often an interval shall hold the true difference.

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
    reach = _reach_of_seeds(of_seeds, ends[1])
    for entry in range(entries):
        mean[entry] = (of_seeds[entry] - of_seeds).mean(axis=1)
        least, most = np.quantile(drawn[entry] - drawn, ends, axis=1)  # over faces
        low[entry] = mean[entry] - np.hypot(mean[entry] - least, reach)
        high[entry] = mean[entry] + np.hypot(most - mean[entry], reach)
    for array in (low, high):
        np.fill_diagonal(array, 0.0)
    verdict = np.where((low > 0) | (high < 0), "yes", "not shown")
    if seeds == 1 or faces < SMALLEST_BOOTSTRAP:
        verdict = np.full_like(verdict, "not known")
    return Differences(mean, low, high, verdict)


def _drawn_means(errors: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Means of errors (entries, faces) over as many faces, drawn with replacement: (entries, draws)."""
    faces, rng, means = errors.shape[1], np.random.default_rng(seed), []
    for start in range(0, draws, DRAWS_AT_ONCE):
        count = min(DRAWS_AT_ONCE, draws - start)
        times = rng.multinomial(faces, np.full(faces, 1 / faces), size=count)  # (count, faces)
        means.append(errors @ times.T.astype(np.float64) / faces)
    return np.concatenate(means, axis=1)


def _reach_of_seeds(errors: np.ndarray, end: float) -> float:
    """From the mean difference of two of these entries, mean errors (entries, seeds), to the end of its t interval over
    seeds, the same for every two; 0 for one seed or one entry."""
    free = (errors.shape[0] - 1) * (errors.shape[1] - 1)
    if not free:
        return 0.0
    own = errors - errors.mean(axis=1, keepdims=True) - errors.mean(axis=0) + errors.mean()  # (entries, seeds)
    return float(t.ppf(end, free) * np.sqrt(2 * np.sum(own**2) / free / errors.shape[1]))
