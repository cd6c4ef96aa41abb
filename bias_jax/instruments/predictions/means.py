"""Means of a measure in groups: intervals in closed form, and p-values from permuted group labels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from bias_jax.disparity.comparisons import from_others
from bias_jax.randomness import stable_hash


class Means(NamedTuple):
    """Of G groups, each float64 [G]; NaN where nothing can be said."""

    value: np.ndarray
    low: np.ndarray  # 95 %, Student's t
    high: np.ndarray
    deviation: np.ndarray  # standard deviation of the images
    difference: np.ndarray  # from the mean of the other groups' means
    difference_low: np.ndarray  # 95 %, Welch & Satterthwaite
    difference_high: np.ndarray


def group_means(values: np.ndarray, groups: np.ndarray) -> Means:
    """Means of groups, and how they differ from the mean of the others.

    A group of one image borrows the variance within the groups of this view.

    Args:
        values: of each image, float [n].
        groups: group of each image, int [n], none of the G empty.
    """
    sizes = np.bincount(groups).astype(float)
    mean = np.bincount(groups, values) / sizes
    squares = np.bincount(groups, np.square(values - mean[groups]))
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(sizes > 1, sizes - 1.0, sizes.sum() - len(sizes))
        variance = np.where(sizes > 1, squares, squares.sum()) / freedom  # NaN if no group has two images
        error = variance / sizes
        half = stdtrit(freedom, 0.975) * np.sqrt(error)
        difference = from_others(mean[:, None])[0][:, 0]
        of_others = (error.sum() - error) / (len(sizes) - 1) ** 2
        # Degrees of freedom of a sum of variances of unequal certainty (Satterthwaite 1946).
        uncertain = np.square(error) / freedom
        below = uncertain + (uncertain.sum() - uncertain) / (len(sizes) - 1) ** 4
        both = error + np.maximum(of_others, 0.0)
        joint = np.where(below > 0, np.square(both) / below, 1.0)
        reach = stdtrit(joint, 0.975) * np.sqrt(both)
    deviation = np.where(sizes > 1, np.sqrt(variance), np.nan)
    return Means(mean, mean - half, mean + half, deviation, difference, difference - reach, difference + reach)


def permutation_tests(
    values: Sequence[np.ndarray], parts: Sequence[np.ndarray], permutations: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided p-values of every group's difference from the mean of the others, for permuted images.

    A difference counts in units of its standard deviation over all permutations, which is known in closed form. All
    measures and all ways to part the images see the same permutations, so the largest of all differences corrects for
    their number (single-step max-T, Westfall & Young 1993). Images are brought into an order of their own first: that
    of their rows does not matter.

    Args:
        values: one float [n] per measure.
        parts: groups int [n], one per view; none empty.
        permutations: number P.
        seed: of the permutations.

    Returns:
        p-values and corrected p-values [M]: measure by measure, view by view, group by group; NaN in a view of one
        group.
    """
    order = np.lexsort((*parts, *values))
    values, parts = [v[order] for v in values], [p[order] for p in parts]
    sizes = [np.bincount(p) for p in parts]
    units = np.concatenate([_deviation(v, n) for v in values for n in sizes])

    def statistics(rows: np.ndarray) -> np.ndarray:
        means = [np.bincount(p, v[rows]) / n for v in values for p, n in zip(parts, sizes, strict=True)]
        found = np.concatenate([from_others(mean[:, None])[0][:, 0] for mean in means])
        return np.round(np.abs(found) / units, 9)  # sums in another order differ by their rounding

    rng, every = np.random.default_rng(stable_hash(seed, "permuted images")), np.arange(len(order))
    observed = statistics(every)
    null = np.stack([statistics(rng.permutation(every)) for _ in range(permutations)])  # [P, M]
    known = ~np.isnan(observed)
    p, corrected = np.full(len(known), np.nan), np.full(len(known), np.nan)
    if known.any():
        p[known] = (1 + (null[:, known] >= observed[known]).sum(axis=0)) / (1 + permutations)
        largest = np.sort(null[:, known].max(axis=1))
        corrected[known] = (1 + permutations - np.searchsorted(largest, observed[known])) / (1 + permutations)
    return p, corrected


def _deviation(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Standard deviation of every group's difference from the mean of the others over all permutations, [G]."""
    if len(sizes) < 2:
        return np.ones(len(sizes))
    of_others = ((1.0 / sizes).sum() - 1.0 / sizes) / (len(sizes) - 1) ** 2
    found = values.std(ddof=1) * np.sqrt(1.0 / sizes + of_others)
    return np.where(found > 1e-12 * np.abs(values).max(), found, 1.0)  # where all images are equal, so are all groups
