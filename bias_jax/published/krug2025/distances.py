"""Squared distances between profiles of groups without sampling noise, and their jackknife intervals.

The squared length of a mean contains its sampling error. Here the same difference, e.g. between two ages, is seen in
several cells, e.g. of race and gender, which share no image: the mean inner product of differences of *different* cells
has no noise in its expectation. Cells that are left out in turn give the interval (Tukey's jackknife, t).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit


class Estimate(NamedTuple):
    """A number and its interval."""

    value: float
    low: float
    high: float


def common_square(differences: np.ndarray) -> np.ndarray:
    """Squared length [...] of the difference that C >= 2 cells share, [C, ..., U]; unbiased, so it can be negative."""
    cells = len(differences)
    total = differences.sum(axis=0)
    return ((total**2).sum(axis=-1) - (differences**2).sum(axis=(0, -1))) / (cells * (cells - 1))


def pair_squares(profiles: np.ndarray) -> np.ndarray:
    """`common_square` between all pairs of K categories, [K, K], of profiles [C, K, U]."""
    cells = len(profiles)
    total = profiles.sum(axis=0)
    own = np.einsum("cku,clu->kl", profiles, profiles)
    inner = (total @ total.T - own) / (cells * (cells - 1))
    length = np.diag(inner)
    return length[:, None] + length[None] - inner - inner.T


def jackknife(statistic: Callable[[np.ndarray], np.ndarray], cells: int, level: float) -> tuple[np.ndarray, ...]:
    """Values, lower and upper ends, of a statistic of the cells that are kept, int [k] -> [...].

    Args:
        statistic: of the cells with these numbers.
        cells: how many there are, n >= 3.
        level: of the intervals, with n - 1 degrees of freedom.
    """
    everything = np.arange(cells)
    value = np.asarray(statistic(everything))
    without = np.stack([statistic(np.delete(everything, i)) for i in everything])
    spread = np.sqrt((cells - 1) / cells * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    half = float(stdtrit(cells - 1, 0.5 + level / 2.0)) * spread
    return value, value - half, value + half
