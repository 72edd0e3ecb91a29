"""Which differences are real? A paired bootstrap over test faces (Efron and Tibshirani 1993, percentile intervals).

The same faces are drawn for all that is compared, so that a face which is hard for everybody widens no interval.
"""

from typing import NamedTuple

import numpy as np

from config import BOOTSTRAP_DRAWS, BOOTSTRAP_INTERVAL, SEED

DRAWS_AT_ONCE = 500  # they need 8 bytes for each face


class Differences(NamedTuple):
    """Differences of mean errors, row minus column, each (entries, entries), and the ends of their intervals."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def real(self) -> np.ndarray:
        """Where the interval leaves out zero: (entries, entries), bool."""
        return (self.low > 0) | (self.high < 0)


def paired_bootstrap(
    errors: np.ndarray, draws: int = BOOTSTRAP_DRAWS, interval: float = BOOTSTRAP_INTERVAL, seed: int = SEED
) -> Differences:
    """Differences between the mean errors of several entries on the same faces, with percentile intervals.

    Args:
        errors: (entries, faces), of every face; where an entry was trained with several seeds, their mean.
        draws: how often as many faces are drawn with replacement. interval: the share of draws within the interval.

    Raises:
        ValueError: no face, or an error that is not finite.
    """
    errors = np.asarray(errors, np.float64)
    if errors.ndim != 2 or not errors.size or not np.isfinite(errors).all():
        raise ValueError(f"errors must be finite, (entries, faces). Received an array of shape {errors.shape}")
    entries, faces = errors.shape
    rng, means = np.random.default_rng(seed), []
    for start in range(0, draws, DRAWS_AT_ONCE):
        count = min(DRAWS_AT_ONCE, draws - start)
        times = rng.multinomial(faces, np.full(faces, 1 / faces), size=count)  # (count, faces), how often each is drawn
        means.append(times @ errors.T / faces)  # (count, entries)
    means = np.concatenate(means)  # (draws, entries)
    mean, low, high = (np.zeros((entries, entries)) for _ in range(3))
    outside = (1 - interval) / 2
    for entry in range(entries):
        mean[entry] = (errors[entry] - errors).mean(axis=1)
        low[entry], high[entry] = np.quantile(means[:, [entry]] - means, [outside, 1 - outside], axis=0)
    return Differences(mean, low, high)
