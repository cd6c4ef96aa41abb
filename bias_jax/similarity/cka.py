"""Linear centred kernel alignment with the unbiased estimator of HSIC (Song et al. 2012; Kornblith et al. 2019).

The usual estimator nears 1 for unrelated layers of more dimensions than images; this one is 0 on average. With the
products K and L of two layers' images, diagonals set to 0, sums of rows k and l, and their sums s and t:

    n (n - 3) HSIC = sum of K * L  +  s t / ((n - 1) (n - 2))  -  2 k'l / (n - 2)
    CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))

Leaving out one image changes each sum in a known way, so the jackknife is exact and costs two more products a pair.
"""

from typing import NamedTuple

import numpy as np

from bias_jax.statistics import by_person, collapsed_strata

NORMAL = 1.959964  # quantile of the normal distribution for 95 %


class Estimate(NamedTuple):
    """A correlation-like number between -1 and 1 with its 95 % interval; NaN where a layer is constant."""

    value: float
    low: float
    high: float


def cka(first: np.ndarray, second: np.ndarray, groups: np.ndarray, people: np.ndarray | None = None) -> Estimate:
    """How alike two layers are for the same images.

    Args:
        first: products of the images in one layer [N, N], N at least 5; see `image_products`.
        second: in another.
        groups: stratum of each image, int [N]; their sizes count as fixed.
        people: person of each image, int [N], or None.
    """
    k, l = (_hollow(a) for a in (first, second))  # noqa: E741 - as in the formula
    both, own, other = _hsic(k, l), _hsic(k, k), _hsic(l, l)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = both / np.sqrt(own * other)
    return interval(found[0], found[1:], groups, people)


def interval(value: float, without: np.ndarray, groups: np.ndarray, people: np.ndarray | None) -> Estimate:
    """The estimate, of its value without each of the images [N].

    The interval is that of the jackknife on the scale of Fisher's z, where values near 1 vary as much as others.
    """
    if not np.isfinite(value):
        return Estimate(float("nan"), float("nan"), float("nan"))
    changes, strata = by_person(value - without, collapsed_strata(groups, people), people)
    _, number, size = np.unique(strata, return_inverse=True, return_counts=True)
    means = np.bincount(number, changes) / size
    variance = (np.square(changes - means[number]) * ((size - 1) / size)[number]).sum()
    inside = np.clip(value, -1.0 + 1e-9, 1.0 - 1e-9)  # an unbiased estimate may lie beyond
    reach = NORMAL * np.sqrt(variance) / (1.0 - inside**2)
    low, high = np.tanh(np.arctanh(inside) + np.array([-reach, reach]))
    return Estimate(float(value), float(min(low, value)), float(max(high, value)))


def _hollow(products: np.ndarray) -> np.ndarray:
    found = np.array(products, np.float64)
    np.fill_diagonal(found, 0.0)
    return found


def _hsic(k: np.ndarray, l: np.ndarray) -> np.ndarray:  # noqa: E741
    """HSIC of all images, then without each of them, [1 + N]."""
    n, rows, columns = len(k), k.sum(axis=1), l.sum(axis=1)
    each = (k * l).sum(axis=1)
    # Sums of products, of rows and of everything; of all images, and without one.
    products = np.concatenate([[each.sum()], each.sum() - 2.0 * each])
    left, right = (np.concatenate([[a.sum()], a.sum() - 2.0 * a]) for a in (rows, columns))
    cross = rows @ columns
    without = cross - rows * columns - k @ columns - l @ rows + each
    crosses = np.concatenate([[cross], without])
    size = np.concatenate([[n], np.full(n, n - 1)]).astype(float)
    whole = products + left * right / ((size - 1) * (size - 2)) - 2.0 * crosses / (size - 2)
    return whole / (size * (size - 3))
