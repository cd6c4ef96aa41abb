"""Variance of a cross-validated sum over images, which vary together because they train each other's probes.

With b[i, j] the change of image i's value per relative weight of image j in training, up to second order

    sum = constant  +  sum over i of (e[i] + t[i])  +  sum over i, j of b[i, j]

where e[i] is what image i is worth to every probe, and t[i] what it teaches every image: where groups happen to lie
further apart in these images than in others, all values are higher at once. The value of image i holds e[i] and its row
of b, its influence on all others t[i] and its column of b. So (Hoeffding 1948; Bengio & Grandvalet 2004)

    variance = sum of (value[i] + influence[i])^2  -  sum of b[i, j]^2  -  sum of b[i, j] b[j, i]

with values and influences centred in their strata. The last two sums are traces, of which random signs z give unbiased
estimates (Hutchinson 1990) from ``learned = b z`` and ``taught = b' z``.
"""

from typing import NamedTuple

import numpy as np


class Exchange(NamedTuple):
    """What images do to each other's values. All is linear in the values, so differences of sums have differences."""

    influence: np.ndarray  # what all other values gain when this image is weighted more in training, [..., N]
    learned: np.ndarray  # what each value gains when training images are weighted by 1 + z, [..., P, N]
    taught: np.ndarray  # what all other values, times z, gain when this image is weighted more, [..., P, N]


def deviations(values: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Deviations [..., N] from the mean of the stratum, times the root of n / (n - 1).

    The sum of their squares estimates the variance of the sum of `values` over images drawn anew in every stratum. An
    image alone in its stratum deviates by 0.
    """
    _, number, size = np.unique(strata, return_inverse=True, return_counts=True)
    ordered = values[..., np.argsort(number, kind="stable")]
    means = np.add.reduceat(ordered, np.cumsum(size) - size, axis=-1) / size
    scale = np.sqrt(np.where(size > 1, size / np.maximum(size - 1, 1), 1.0))
    return (values - means[..., number]) * scale[number]


def cross_validated_spread(values: np.ndarray, exchange: Exchange, strata: np.ndarray) -> np.ndarray:
    """Factor [...], at least 1, by which a cross-validated sum varies more than its images alone would make it.

    Args:
        values: value of each image, [..., N].
        exchange: of these values.
        strata: group of each image, int [N]; their sizes count as fixed.
    """
    own, influence, learned, taught = (deviations(np.asarray(a, np.float64), strata) for a in (values, *exchange))
    alone = np.square(own).sum(axis=-1)
    squares, mutual = np.square(taught).sum(axis=-1).mean(axis=-1), (learned * taught).sum(axis=-1).mean(axis=-1)
    # Squares of b are a part of what values vary by. Estimates beyond it come from images so influential that nothing
    # is linear any more, and all influences are then taken to be as much smaller.
    share = np.minimum(1.0, alone / np.maximum(squares, 1e-30))
    whole = np.square(own + np.sqrt(share)[..., None] * influence).sum(axis=-1) - share * (squares + mutual)
    # Overfitted probes may vary less than without influences, but there these are the least exact: never below the
    # images' own variance and what they do to each other, of which as much can be true.
    total = np.maximum(whole, alone + np.clip(mutual, 0.0, alone))
    return np.sqrt(np.where(alone > 0, total / np.where(alone > 0, alone, 1.0), 1.0))
