"""The p-value of one association test: exact, bounded, or sampled."""

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bias_jax.association.bounds import tail_bounds
from bias_jax.association.exact import count_subsets, feasible
from bias_jax.association.sampled import count_hits
from bias_jax.association.statistic import Alternative, Contrast, check_directions, contrast, image_associations
from bias_jax.randomness import key_for
from bias_jax.statistics import clopper_pearson_interval

Method = Literal["auto", "exact", "bounds", "sampled"]
DRAWS = 1_000_000


@dataclass(frozen=True)
class AssociationTest:
    """Effect size and p-value of one association test."""

    effect_size: float  # d; NaN where all associations are equal
    p_value: float  # exact; the upper bound; or (1 + hits) / (1 + draws)
    p_low: float  # exact p, lower bound, or lower end of the 95 % Clopper-Pearson interval
    p_high: float
    count: int | None  # relabellings that reach the observed statistic, itself included; None for bounds
    total: int  # all relabellings, C(|X| + |Y|, |X|); sampled: draws + 1
    method: str  # "exact", "bounds" or "sampled"
    alternative: str  # "greater" or "two-sided"
    count_strict: int | None  # exact only: relabellings that exceed it, ties left out
    tolerance: float  # sums of associations closer than this are ties
    sizes: tuple[int, int]  # |X|, |Y|


def ieat(
    X: ArrayLike,
    Y: ArrayLike,
    A: ArrayLike,
    B: ArrayLike,
    *,
    method: Method = "auto",
    alternative: Alternative = "greater",
    seed: int = 0,
    draws: int = DRAWS,
) -> AssociationTest:
    """Image Embedding Association Test: are the images X nearer to A, and Y to B, than chance relabelling gives?

    Steed & Caliskan 2021 (arXiv 2010.15052), section 3. The null hypothesis is that the labels X and Y are
    exchangeable: every choice of |X| of the |X| + |Y| images is equally likely.

    Args:
        X, Y: embeddings of the target images, float [n, D]; the sets may differ in size.
        A, B: embeddings of the attribute images, float [n, D].
        method: ``exact`` counts all relabellings (up to about 22 images a side); ``bounds`` gives rigorous bounds for
            any number; ``sampled`` draws; ``auto`` is exact where that is feasible, else bounds.
        alternative: ``greater`` is the published one-sided test, right tail; ``two-sided`` compares the distance
            of the statistic from its expectation under relabelling.
        seed: of ``sampled``.
        draws: of ``sampled``.

    Returns:
        The test. Where all associations are equal d is undefined: NaN, with p = 1 and a warning.

    Raises:
        ValueError: embeddings that are empty, not finite or of different widths; an unknown method or alternative;
            ``exact`` out of reach.
        InputError: a set whose vectors are all zero.

    Of the 20 ways to call three of these six images X, none separates them better:

    >>> X, Y = [[9, 0], [9, 1], [9, 2]], [[0, 9], [1, 9], [2, 9]]
    >>> found = ieat(X, Y, A=[[1, 0]], B=[[0, 1]])
    >>> found.method, found.count, found.total, found.p_value
    ('exact', 1, 20, 0.05)
    >>> round(found.effect_size, 2)
    1.81
    """
    check_directions(X=X, Y=Y, A=A, B=B)
    return permutation_test(
        image_associations(X, A, B),
        image_associations(Y, A, B),
        method=method, alternative=alternative, seed=seed, draws=draws,
    )  # fmt: skip


def permutation_test(
    x: ArrayLike,
    y: ArrayLike,
    *,
    method: Method = "auto",
    alternative: Alternative = "greater",
    seed: int = 0,
    draws: int = DRAWS,
) -> AssociationTest:
    """`ieat` from the associations x [|X|] and y [|Y|] of the single images."""
    if method not in ("auto", "exact", "bounds", "sampled"):
        raise ValueError(f"unknown method {method!r}")
    if alternative not in ("greater", "two-sided"):
        raise ValueError(f"unknown alternative {alternative!r}")
    data = contrast(x, y)
    total = len(data.values)
    if method == "auto":
        method = "exact" if feasible(total, data.size) else "bounds"
    two_sided = alternative == "two-sided"
    relabellings = math.comb(total, data.size)
    strict: int | None = None
    count: int | None
    if not data.defined:
        warnings.warn("all associations are equal: the effect size is undefined, p = 1", RuntimeWarning, stacklevel=3)
        relabellings = draws + 1 if method == "sampled" else relabellings
        count, strict = (None, None) if method == "bounds" else (relabellings, 0 if method == "exact" else None)
        p = low = high = 1.0
    elif method == "exact":
        count, strict = _exact(data, two_sided)
        p = low = high = count / relabellings
    elif method == "bounds":
        count = None
        low, high = _bounds(data, two_sided)
        p = high
    else:
        hits = count_hits(data.values[None] * data.scale, data.size, draws, key_for(seed, "ieat"), two_sided=two_sided)
        count, relabellings = int(hits.own[0]) + 1, draws + 1
        p = count / relabellings
        low, high = (float(end) for end in clopper_pearson_interval(hits.own[0], np.asarray(draws)))
    return AssociationTest(
        effect_size=data.effect_size, p_value=p, p_low=low, p_high=high, count=count, total=relabellings,
        method=method, alternative=alternative, count_strict=strict, tolerance=data.tolerance,
        sizes=(data.size, total - data.size),
    )  # fmt: skip


def _exact(data: Contrast, two_sided: bool) -> tuple[int, int]:
    """Relabellings that reach the observed sum, and those that exceed it."""
    if not two_sided:
        at = [data.observed - data.tolerance, data.observed + data.tolerance]
        reaching, exceeding = count_subsets(data.values, data.size, at)
        return reaching, exceeding
    distance = abs(data.observed)
    at = [distance - data.tolerance, distance + data.tolerance]
    right, left = (count_subsets(sign * data.values, data.size, at) for sign in (1.0, -1.0))
    total = math.comb(len(data.values), data.size)
    # At a distance of zero the two tails overlap: every relabelling reaches it.
    return (total if at[0] <= 0.0 else right[0] + left[0]), right[1] + left[1]


def _bounds(data: Contrast, two_sided: bool) -> tuple[float, float]:
    threshold = (abs(data.observed) if two_sided else data.observed) - data.tolerance
    if not two_sided:
        return tail_bounds(data.values, data.size, threshold)
    if threshold <= 0.0:
        return 1.0, 1.0
    (low, high), (low_left, high_left) = (tail_bounds(s * data.values, data.size, threshold) for s in (1.0, -1.0))
    return min(1.0, low + low_left), min(1.0, high + high_left)
