"""Tests against directions between shuffled labels.

Where labels say nothing of the images, the direction between groups is as likely as that of any permutation, so the
p-values are exact. Everything is compared with the same permutations: the largest statistic of all classes, groups and
layers corrects for their number (single-step max-T, Westfall & Young 1993).
"""

from typing import NamedTuple

import numpy as np

from bias_jax.sensitivity.directions import between


class Tested(NamedTuple):
    """Of one layer, G directions and C answers; draw 0 of P + 1 is what was observed."""

    value: np.ndarray  # mean slope [G, C]
    shuffled: np.ndarray  # root mean square of the slopes along shuffled directions [G, C]
    p_value: np.ndarray  # two-sided [G, C]
    statistic: np.ndarray  # size of the slope in units of its root mean square over all draws [G, C]
    largest: np.ndarray  # statistic of any direction and answer, [P + 1]
    strength: np.ndarray  # root mean square slope over the first answers, of all draws [P + 1, G]


def permuted_test(
    contrasts: np.ndarray, coordinates: np.ndarray, scale: float, slopes: np.ndarray, orders: np.ndarray, classes: int
) -> Tested:
    """Mean slopes along directions between groups, beside those along directions between shuffled ones.

    Args:
        contrasts: of the groups [G, n], see `contrast`.
        coordinates, scale: of the layer's n images [n, r], see `Span`.
        slopes: mean slope of each answer along each axis [r, C].
        orders: permutations of the images, int [P, n].
        classes: how many answers, the first ones, are classes; strength is theirs.
    """
    count = len(contrasts)
    value = between(contrasts, coordinates, scale) @ slopes
    found = np.empty((len(orders) + 1, count, slopes.shape[1]), np.float32)
    found[0] = value
    for draw, order in enumerate(orders):
        found[draw + 1] = between(contrasts[:, order], coordinates, scale) @ slopes
    size = np.abs(found)
    size[size < 1e-7 * size.max()] = 0.0  # where nothing changes, roundings are not compared
    unit = np.sqrt(np.square(size).mean(axis=0))
    statistic = np.round(
        size / np.where(unit > 0, unit, np.float32(1.0)), 5
    )  # equal directions differ by their rounding
    shuffled = np.sqrt(np.square(size[1:]).mean(axis=0))
    strength = np.sqrt(np.square(size[..., :classes]).mean(axis=-1))
    p = (statistic >= statistic[0]).mean(axis=0)
    return Tested(value, shuffled, p, statistic[0], statistic.max(axis=(1, 2)), strength)


def beyond(statistic: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Share of the draws [P + 1], of which one is observed, whose largest statistic reaches each of some [...]."""
    reached = len(largest) - np.searchsorted(np.sort(largest), statistic, side="left")
    return np.asarray(reached / len(largest))
