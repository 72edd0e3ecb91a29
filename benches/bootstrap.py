"""Which differences are real? A paired bootstrap over seeds and test faces (Efron and Tibshirani 1993, percentiles).

The same seeds and the same faces are drawn for all that is compared, so that what is hard for everybody widens no
interval: a seed is the same order and moves of faces for all methods, and a face is the same face.
"""

from typing import NamedTuple

import numpy as np

from benches.config import BOOTSTRAP_DRAWS, BOOTSTRAP_INTERVAL, SMALLEST_BOOTSTRAP
from config import SEED

DRAWS_AT_ONCE = 500  # they need 8 bytes for each face


class Differences(NamedTuple):
    """Differences of mean errors, row minus column, and what is known of them.

    mean, low, high: (entries, entries), the ends being those of the intervals; with one seed these are of faces alone.
    verdict: (entries, entries) of "yes", "no", "not known". "yes": the interval leaves out zero, and the difference has
        the same sign with every seed. "not known": one seed only, or fewer than SMALLEST_BOOTSTRAP faces.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    verdict: np.ndarray


def paired_bootstrap(
    errors: np.ndarray, draws: int = BOOTSTRAP_DRAWS, interval: float = BOOTSTRAP_INTERVAL, seed: int = SEED
) -> Differences:
    """Differences between the mean errors of several entries on the same faces, with percentile intervals.

    A draw takes as many seeds as there are, with replacement, and then as many faces. Few seeds make the part of the
    interval that is due to them too narrow, by sqrt((n - 1) / n); hence the second condition of a "yes".

    Args:
        errors: (entries, seeds, faces). draws: how often seeds and faces are drawn.
        interval: the share of draws within the interval.

    Raises:
        ValueError: no face, or an error that is not finite.
    """
    errors = np.asarray(errors, np.float64)
    if errors.ndim != 3 or not errors.size or not np.isfinite(errors).all():
        raise ValueError(f"errors must be finite, (entries, seeds, faces). Received an array of shape {errors.shape}")
    entries, seeds, faces = errors.shape
    rng, means = np.random.default_rng(seed), []
    for start in range(0, draws, DRAWS_AT_ONCE):
        count = min(DRAWS_AT_ONCE, draws - start)
        of_seeds = _times(rng, seeds, count)  # (count, seeds)
        of_faces = errors @ _times(rng, faces, count).T  # (entries, seeds, count), sums over the drawn faces
        means.append(np.einsum("ds,esd->de", of_seeds, of_faces) / (seeds * faces))
    means = np.concatenate(means)  # (draws, entries)
    of_seeds = errors.mean(axis=2)  # (entries, seeds)
    mean, low, high = (np.zeros((entries, entries)) for _ in range(3))
    real = np.zeros((entries, entries), bool)
    outside = (1 - interval) / 2
    for entry in range(entries):
        differences = of_seeds[entry] - of_seeds  # (entries, seeds)
        mean[entry] = differences.mean(axis=1)
        low[entry], high[entry] = np.quantile(means[:, [entry]] - means, [outside, 1 - outside], axis=0)
        worse = (low[entry] > 0) & (differences > 0).all(axis=1)
        better = (high[entry] < 0) & (differences < 0).all(axis=1)
        real[entry] = worse | better
    known = seeds > 1 and faces >= SMALLEST_BOOTSTRAP
    verdict = np.where(real, "yes", "no") if known else np.full((entries, entries), "not known")
    return Differences(mean, low, high, verdict)


def _times(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    """How often each of `size` things is drawn when that many are, with replacement: (count, size), float64."""
    return rng.multinomial(size, np.full(size, 1 / size), size=count).astype(np.float64)
