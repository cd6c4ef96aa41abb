"""Differences between numbers measured on the same images."""

from typing import NamedTuple

import jax
import numpy as np
from scipy.special import ndtr

from bias_jax.statistics.bootstrap import percentile_interval, stratified_bootstrap
from bias_jax.statistics.cross_validation import Exchange, cross_validated_spread, deviations


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
    exchange: Exchange | None = None,
    redrawn: np.ndarray | None = None,
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
        exchange: of cross-validated statistics: errors and intervals are widened by `cross_validated_spread`.
        redrawn: what the same draws change by choosing the probes' strengths again, centred, [M, B]: both hold it.
    """
    if not len(pairs):
        return Differences(*(np.empty(0),) * 4)
    strata = np.unique(strata, return_inverse=True)[1]
    known = (np.bincount(strata) > 1).any()
    sums = stratified_bootstrap(values, strata, draws=draws, key=key).astype(np.float64)
    sizes = np.abs(np.asarray(values, np.float64)).sum(axis=1)
    value, p, draws_of = np.empty(len(pairs)), np.empty(len(pairs)), []
    for q, (a, b) in enumerate(pairs):
        each, drawn = np.asarray(values[a], np.float64) - values[b], sums[:, a] - sums[:, b]
        value[q], spread, again = each.sum(), 1.0, np.zeros(draws)
        if exchange is not None:
            spread = float(cross_validated_spread(each, Exchange(*(rows[a] - rows[b] for rows in exchange)), strata))
        if redrawn is not None:
            again = redrawn[a] - redrawn[b]
        variance = spread**2 * np.square(deviations(each, strata)).sum()
        error = np.sqrt(variance + max((drawn + again).var() - drawn.var(), 0.0))
        rounding = 1e-9 * max(sizes[a], sizes[b])
        if not known:
            p[q] = np.nan
        elif error <= rounding:  # every stratum agrees with itself exactly
            p[q] = 1.0 if abs(value[q]) <= rounding else 0.0
        else:
            p[q] = 2.0 * ndtr(-abs(value[q]) / error)
        draws_of.append(value[q] + spread * (drawn - value[q]) + again)
    low, high = percentile_interval(np.stack(draws_of, axis=1))
    # Sums of draws are float32: where nothing varies, they are off by their rounding.
    low, high = np.minimum(low, value), np.maximum(high, value)
    return Differences(value, low, high, p)
