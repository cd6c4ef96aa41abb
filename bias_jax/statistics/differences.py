"""Differences between numbers measured on the same images."""

from typing import NamedTuple

import jax
import numpy as np
from scipy.special import ndtr

from bias_jax.statistics.bootstrap import between_fold_spread, percentile_interval, stratified_bootstrap


class Differences(NamedTuple):
    """One entry per pair, each float64 [Q]."""

    value: np.ndarray  # first minus second
    low: np.ndarray  # 95 % interval, bootstrap over images
    high: np.ndarray
    p_value: np.ndarray  # two-sided, of no difference; NaN where no stratum has two images


def paired_differences(
    values: np.ndarray,
    pairs: np.ndarray,
    strata: np.ndarray,
    *,
    draws: int,
    key: jax.Array,
    exchanged: tuple[np.ndarray, np.ndarray] | None = None,
) -> Differences:
    """Compare statistics that are sums over the same images, pair by pair.

    The p-value is that of the normal approximation with the stratified standard error, in closed form: a bootstrap
    could not tell p = 1e-3 from p = 1e-6, which corrections for many comparisons need. The images must be enough for
    their sum to be normal, about 50.

    Args:
        values: value of each image in each statistic, [M, N]; the statistic is the sum over images.
        pairs: numbers of the two statistics of each comparison, int [Q, 2].
        strata: group of each image, int [N]; their sizes count as fixed.
        draws: bootstrap draws.
        key: random key.
        exchanged: of cross-validated statistics, what images learned and taught, [M, P, N] each: errors and intervals
            are widened by `between_fold_spread`.
    """
    strata = np.unique(strata, return_inverse=True)[1]
    sizes = np.bincount(strata)
    sums = stratified_bootstrap(values, strata, draws=draws, key=key)
    value, p, spread = np.empty(len(pairs)), np.empty(len(pairs)), np.ones(len(pairs))
    several = np.flatnonzero(sizes > 1)
    for q, (a, b) in enumerate(pairs):
        each = np.asarray(values[a], np.float64) - values[b]
        value[q] = each.sum()
        mean = np.bincount(strata, each) / sizes
        square = np.bincount(strata, np.square(each - mean[strata]))
        variance = (square[several] * sizes[several] / (sizes[several] - 1)).sum()
        if exchanged is not None:
            spread[q] = between_fold_spread(variance, *(rows[a] - rows[b] for rows in exchanged))
        error = spread[q] * np.sqrt(variance)
        if len(several) == 0:
            p[q] = np.nan
        elif error > 0:
            p[q] = 2.0 * ndtr(-abs(value[q]) / error)
        else:  # every stratum agrees with itself exactly
            p[q] = 1.0 if abs(value[q]) < 1e-12 else 0.0
    low, high = percentile_interval(value + spread * (sums[:, pairs[:, 0]] - sums[:, pairs[:, 1]] - value))
    return Differences(value, low, high, p)
