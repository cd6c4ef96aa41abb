"""Intervals of a single proportion: Wilson for a handful of images, Clopper-Pearson for rare events."""

from statistics import NormalDist

import numpy as np
from scipy.special import betaincinv


def wilson_interval(successes: np.ndarray, trials: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson score interval (Wilson 1927) for `successes` out of `trials`; NaN where there are no trials.

    >>> low, high = wilson_interval([8, 0], [10, 10])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.49, 0.0], [0.943, 0.278])
    """
    z2 = NormalDist().inv_cdf(0.5 + level / 2.0) ** 2
    k, n = np.asarray(successes, float), np.asarray(trials, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (k + z2 / 2.0) / (n + z2)
        half = np.sqrt(z2 * (k * (n - k) / n + z2 / 4.0)) / (n + z2)
    return centre - half, centre + half


def clopper_pearson_interval(
    successes: np.ndarray, trials: np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Clopper-Pearson interval (1934) for `successes` out of `trials`: covers at least at its level, always.

    Neither need be whole (Korn & Graubard 1998).

    No success in ten trials: the upper end is 1 - 0.025 ** (1 / 10).

    >>> low, high = clopper_pearson_interval([8, 0], [10, 10])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.444, 0.0], [0.975, 0.308])
    """
    k, n = np.asarray(successes, float), np.asarray(trials, float)
    tail = (1.0 - level) / 2.0
    # The quantile function is undefined at the two ends, where the interval is closed by 0 and by 1.
    low = np.where(k > 0, betaincinv(np.where(k > 0, k, 1.0), n - k + 1.0, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1.0, np.where(k < n, n - k, 1.0), 1.0 - tail), 1.0)
    return low, high
