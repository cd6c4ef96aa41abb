"""Adjusted p-values for several tests: Holm and Benjamini-Hochberg, and max-T where all were permuted together."""

import numpy as np
from numpy.typing import ArrayLike


def holm(p: ArrayLike) -> np.ndarray:
    """Adjusted p-values that control the chance of even one false rejection, whatever the dependence (Holm 1979).

    The k-th smallest of M p-values is multiplied by M - k + 1, then made monotone.

    Args:
        p: [M], each between 0 and 1; none may be NaN.

    >>> holm([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.06, 0.06]
    """
    values, order = _ordered(p)
    raised = values[order] * np.arange(len(values), 0, -1)
    return _scattered(np.maximum.accumulate(raised), order)


def benjamini_hochberg(p: ArrayLike) -> np.ndarray:
    """Adjusted p-values that control the expected share of false rejections (Benjamini & Hochberg 1995).

    The k-th smallest of M p-values is multiplied by M / k, then made monotone from the largest down. Valid for
    independent or positively dependent tests.

    Args:
        p: [M], each between 0 and 1; none may be NaN.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.04, 0.04]
    """
    values, order = _ordered(p)
    raised = values[order] * (len(values) / np.arange(1, len(values) + 1))
    return _scattered(np.minimum.accumulate(raised[::-1])[::-1], order)


def max_t(observed: ArrayLike, null: ArrayLike) -> np.ndarray:
    """Adjusted p-values of tests that share their permutations (single-step max-T, Westfall & Young 1993).

    The chance that any test's statistic reaches the observed one; correlation between tests costs no power, and the
    smallest value is 1 / (1 + P) however many tests there are, where Holm's is M / (1 + P). Statistics
    are first brought to mean 0 and variance 1 over permutations, so that none rules the maximum by its scale.

    Args:
        observed: statistics [M]; where NaN, the adjusted p-value is NaN and the test does not count.
        null: statistics of the permutations [P, M].
    """
    values, draws = np.asarray(observed, np.float64), np.asarray(null, np.float64)
    if values.ndim != 1 or draws.ndim != 2 or draws.shape[1] != len(values) or not len(draws):
        raise ValueError("max-T needs statistics [M] and their permutations [P, M]")
    adjusted = np.full(len(values), np.nan)
    kept = ~np.isnan(values)
    if not kept.any():
        return adjusted
    centre, spread = draws[:, kept].mean(axis=0), draws[:, kept].std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    largest = np.sort(((draws[:, kept] - centre) / spread).max(axis=1))
    reached = len(draws) - np.searchsorted(largest, (values[kept] - centre) / spread, side="left")
    adjusted[kept] = (1 + reached) / (1 + len(draws))
    return adjusted


def _ordered(p: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(p, np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p-values must be a vector of numbers from 0 to 1")
    return values, np.argsort(values, kind="stable")


def _scattered(adjusted: np.ndarray, order: np.ndarray) -> np.ndarray:
    result = np.empty_like(adjusted)
    result[order] = np.minimum(adjusted, 1.0)
    return result
