"""Which groups the nearest pictures of a prompt show: skew (Geyik et al. 2019, arXiv 1905.01989, section 4.1).

Skew@k of a group is the logarithm of its share among the k nearest pictures over its share of all pictures; MaxSkew@k
is the largest of all groups.
"""

from typing import NamedTuple

import numpy as np

from bias_jax.statistics import wilson_interval


class Skew(NamedTuple):
    """Of G groups for one prompt; natural logarithms, each [G]; -inf of a group that is not among the nearest."""

    retrieved: np.ndarray  # pictures among the k nearest, int
    value: np.ndarray
    low: np.ndarray  # 95 % for each group by itself
    high: np.ndarray
    joint_low: np.ndarray  # for all groups together, by Bonferroni
    joint_high: np.ndarray


def nearest(similarity: np.ndarray, k: int) -> np.ndarray:
    """Rows of the k pictures with the largest similarities [n], nearest first; of equal ones the first."""
    return np.argsort(-similarity, kind="stable")[:k]


def skew(groups: np.ndarray, sizes: np.ndarray) -> Skew:
    """Skew of all groups.

    The pictures beyond the k-th are taken as given: then each of the k nearest is of a group with the chance that is
    asked for, and Wilson's interval of its share is one of its skew; shares of all pictures are no estimates.

    Args:
        groups: of the k nearest pictures, int [k].
        sizes: pictures of each group, int [G].
    """
    k, count = len(groups), np.bincount(groups, minlength=len(sizes))
    expected = sizes / sizes.sum()
    ends = wilson_interval(count, np.full(len(sizes), k))
    joint = wilson_interval(count, np.full(len(sizes), k), 1.0 - 0.05 / len(sizes))
    with np.errstate(divide="ignore"):
        value, low, high, joint_low, joint_high = (
            np.log(np.where(share > 1e-12, share, 0.0) / expected) for share in (count / k, *ends, *joint)
        )
    return Skew(count, value, low, high, joint_low, joint_high)


def shuffled_max_skew(k: int, sizes: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """MaxSkew@k of shuffled groups, [draws]: the nearest pictures are then any k of all."""
    drawn = rng.multivariate_hypergeometric(sizes, k, size=draws, method="marginals")
    return np.asarray(np.log((drawn / k / (sizes / sizes.sum())).max(axis=1)))
