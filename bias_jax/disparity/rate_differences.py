"""Rates of groups in closed form: intervals of differences and exact tests that stay valid for rare events.

A bootstrap of a group without a single hit never draws one: its interval is a point. Score intervals and tests that
hold the margins fixed know what no hit among few images is worth.
"""

import numpy as np

from bias_jax.disparity.comparisons import from_others
from bias_jax.statistics import wilson_interval


def difference_from_others(hits: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rate of each group minus the mean of the rates of the others, with a 95 % interval; each [G, M].

    Newcombe's hybrid score interval (1998, method 10) of a difference, from Wilson's of both sides. For the mean of
    several rates Wilson's takes the number of images of a single proportion with the same variance, estimated, and at
    most the one that it has if all rates are equal (compare Yan & Su 2010). For two groups it is Newcombe's own.

    Args:
        hits: of every group and event, [G, M].
        trials: images of every group, [G], none empty; G >= 2.
    """
    n = np.asarray(trials, float)[:, None]
    groups, rates = len(n), hits / n
    difference, _ = from_others(rates)
    others = np.clip(rates - difference, 0.0, 1.0)
    variance = rates * (1.0 - rates) / n
    of_mean = np.maximum(variance.sum(axis=0) - variance, 0.0) / (groups - 1) ** 2
    effective = np.broadcast_to((groups - 1) ** 2 / ((1.0 / n).sum() - 1.0 / n), rates.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimated = np.where(of_mean > 0, others * (1.0 - others) / of_mean, np.inf)
    effective = np.minimum(effective, np.where(estimated > 0, estimated, np.inf))
    own_low, own_high = wilson_interval(hits, n)
    others_low, others_high = wilson_interval(others * effective, effective)
    low = difference - np.hypot(rates - own_low, others_high - others)
    high = difference + np.hypot(own_high - rates, others - others_low)
    return difference, low, high


def fisher_exact(hits: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Two-sided p-values of each group against all other images, [G, M]: Fisher's exact test, twice the smaller tail.

    Valid for any number of hits: if the groups' labels play no role, the hits of a group are hypergeometric, which is
    what permuting the labels would draw.

    Args:
        hits: of every group and event, int [G, M].
        trials: images of every group, int [G].
    """
    total = np.broadcast_to(hits.sum(axis=0), hits.shape)
    n = np.broadcast_to(np.asarray(trials)[:, None], hits.shape)
    # Groups of equal sizes give equal tests.
    distinct, which = np.unique(np.stack([hits, total, n], axis=-1).reshape(-1, 3), axis=0, return_inverse=True)
    k, whole, size = distinct.T
    images = int(np.sum(trials))
    from scipy.stats import hypergeom  # takes a second to load, which every command would wait for

    smaller = np.minimum(hypergeom.cdf(k, images, whole, size), hypergeom.sf(k - 1, images, whole, size))
    return np.minimum(2.0 * smaller, 1.0)[which.reshape(-1)].reshape(hits.shape)
