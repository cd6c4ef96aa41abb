"""Adjusted p-values for several tests with different stimuli: Holm and Benjamini-Hochberg."""

import numpy as np
from numpy.typing import ArrayLike


def holm(p: ArrayLike) -> np.ndarray:
    """Adjusted p-values that control the chance of even one false rejection, whatever the dependence (Holm 1979).

    The k-th smallest of M p-values is multiplied by M - k + 1, then made monotone.

    Args:
        p: [M], each between 0 and 1; none may be NaN.
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
    """
    values, order = _ordered(p)
    raised = values[order] * (len(values) / np.arange(1, len(values) + 1))
    return _scattered(np.minimum.accumulate(raised[::-1])[::-1], order)


def _ordered(p: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(p, np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p-values must be a vector of numbers from 0 to 1")
    return values, np.argsort(values, kind="stable")


def _scattered(adjusted: np.ndarray, order: np.ndarray) -> np.ndarray:
    result = np.empty_like(adjusted)
    result[order] = np.minimum(adjusted, 1.0)
    return result
