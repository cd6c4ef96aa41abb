"""Intervals of a single proportion, trustworthy for a handful of images."""

from statistics import NormalDist

import numpy as np


def wilson_interval(successes: np.ndarray, trials: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson score interval (Wilson 1927) for `successes` out of `trials`; NaN where there are no trials."""
    z2 = NormalDist().inv_cdf(0.5 + level / 2.0) ** 2
    k, n = np.asarray(successes, float), np.asarray(trials, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (k + z2 / 2.0) / (n + z2)
        half = np.sqrt(z2 * (k * (n - k) / n + z2 / 4.0)) / (n + z2)
    return centre - half, centre + half
