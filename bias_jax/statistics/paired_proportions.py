"""What changes between two looks at the same images, in closed form: few images, rare events, no change at all.

An image is counted twice, before and after. A bootstrap of images of which none changed never draws a change: its
interval is a point. Score intervals know what no change among few images is worth.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, stdtr, stdtrit

from bias_jax.statistics.proportions import wilson_interval


def paired_change(before: ArrayLike, after: ArrayLike) -> tuple[float, float, float]:
    """Rate after minus rate before, with a 95 % interval: Newcombe's hybrid score interval (1998, method 10).

    Newcombe, Improved confidence intervals for the difference between binomial proportions based on paired data,
    Statistics in Medicine 17, 2635: Wilson's intervals of both rates, joined by their correlation, which is corrected
    for continuity where it is positive.

    Args:
        before, after: whether it is so, bool [n], n >= 1.
    """
    first, second = np.asarray(after, bool), np.asarray(before, bool)
    n = len(first)
    both, gained = int((first & second).sum()), int((first & ~second).sum())
    lost, neither = int((~first & second).sum()), int((~first & ~second).sum())
    rates = np.array([both + gained, both + lost]) / n
    low, high = wilson_interval(rates * n, np.array([n, n]))
    cross = both * neither - gained * lost
    margins = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    correlation = (max(cross - n / 2.0, 0.0) if cross > 0 else cross) / np.sqrt(margins) if margins else 0.0
    below, above = rates - low, high - rates
    down = below[0] ** 2 - 2.0 * correlation * below[0] * above[1] + above[1] ** 2
    up = above[0] ** 2 - 2.0 * correlation * above[0] * below[1] + below[1] ** 2
    change = float(rates[0] - rates[1])
    # Rates end at 0 and 1, where the other ends of Wilson's intervals are 0 or 1 up to rounding.
    return change, max(change - float(np.sqrt(max(down, 0.0))), -1.0), min(change + float(np.sqrt(max(up, 0.0))), 1.0)


def mcnemar_exact(before: ArrayLike, after: ArrayLike) -> float:
    """Two-sided p-value of equal rates: gains and losses are equally many, binomially (McNemar 1947, exact).

    >>> mcnemar_exact([0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1])
    0.0625
    """
    first, second = np.asarray(after, bool), np.asarray(before, bool)
    gained, lost = int((first & ~second).sum()), int((~first & second).sum())
    return float(min(1.0, 2.0 * bdtr(min(gained, lost), gained + lost, 0.5)))


def mean_change(changes: ArrayLike) -> tuple[float, float, float, float]:
    """Mean of changes [n] with its 95 % interval and two-sided p-value (Student's t); NaN of a single one."""
    values = np.asarray(changes, np.float64)
    n, mean = len(values), float(values.mean())
    if n < 2:
        return mean, float("nan"), float("nan"), float("nan")
    error = float(values.std(ddof=1)) / n**0.5
    half = float(stdtrit(n - 1, 0.975)) * error
    if error <= 1e-12 * np.abs(values).max(initial=0.0):  # all change alike
        return mean, mean, mean, 1.0 if abs(mean) <= 1e-12 else 0.0
    return mean, mean - half, mean + half, float(2.0 * stdtr(n - 1, -abs(mean) / error))


def combined_interval(
    weights: np.ndarray, values: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[float, float, float]:
    """A weighted sum of independent estimates with its interval, from theirs (Zou & Donner 2008, "MOVER").

    Each estimate lends the side of its interval that its weight turns to, so that the sum's may be asymmetric as well.

    Args:
        weights: [M].
        values, low, high: of each estimate, [M].
    """
    value = float(weights @ values)
    ends = np.stack([weights * low, weights * high])
    below, above = weights * values - ends.min(axis=0), ends.max(axis=0) - weights * values
    return value, value - float(np.sqrt(np.square(below).sum())), value + float(np.sqrt(np.square(above).sum()))
