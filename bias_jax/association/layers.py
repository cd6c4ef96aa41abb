"""One association test in every layer, with one joint relabelling: p-values corrected for looking at many layers.

A relabelling of the images is the same for all layers, so the largest effect size over layers has a permutation
distribution of its own. Compared with it, each layer's p-value holds for the whole profile (single-step max-T,
Westfall & Young 1993), and as strong correlation between layers is part of that distribution, little power is lost.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bias_jax.association.exact import all_subsets
from bias_jax.association.permutation import DRAWS, AssociationTest, Method, permutation_test
from bias_jax.association.sampled import count_hits
from bias_jax.association.statistic import Alternative, check_directions, contrast, image_associations
from bias_jax.randomness import key_for

MOST_ENUMERATED = 200_000  # relabellings that are enumerated for max-T: 10 images a side


@dataclass(frozen=True)
class LayerTest:
    """The association test of one layer, within a profile of layers."""

    layer: str
    test: AssociationTest
    p_max_t: float  # corrected for all layers of the profile
    joint_count: int  # relabellings whose largest effect size over layers reaches this layer's, observed one included
    joint_total: int  # relabellings looked at
    joint_exact: bool  # all of them, or sampled with the (1 + hits) / (1 + draws) rule


def ieat_layers(
    embeddings: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]],
    *,
    method: Method = "auto",
    alternative: Alternative = "two-sided",
    seed: int = 0,
    draws: int = DRAWS,
) -> list[LayerTest]:
    """The association test of the same images in several layers.

    Args:
        embeddings: layer -> (X, Y, A, B), each [n, D]; the images and their order are the same in all layers.
        method, alternative, draws: as in `ieat`; the joint relabellings are all of them up to `MOST_ENUMERATED`,
            else `draws` random ones.
        seed: of random relabellings.

    Returns:
        One test per layer, in their order.

    Raises:
        InputError: a set whose vectors are all zero in a layer.
    """
    for layer, sets in embeddings.items():
        check_directions(**{f"{name} in layer {layer}": rows for name, rows in zip("XYAB", sets, strict=True)})
    associations = {
        layer: (image_associations(x, a, b), image_associations(y, a, b)) for layer, (x, y, a, b) in embeddings.items()
    }
    return profile_test(associations, method=method, alternative=alternative, seed=seed, draws=draws)


def profile_test(
    associations: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    method: Method = "auto",
    alternative: Alternative = "two-sided",
    seed: int = 0,
    draws: int = DRAWS,
) -> list[LayerTest]:
    """`ieat_layers` from layer -> associations of the images, (x [|X|], y [|Y|])."""
    data = [contrast(x, y) for x, y in associations.values()]
    if len({(len(layer.values), layer.size) for layer in data}) != 1:
        raise ValueError("every layer needs the same images")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # said once, below
        tests = [
            permutation_test(x, y, method=method, alternative=alternative, seed=seed, draws=draws)
            for x, y in associations.values()
        ]
    undefined = [layer for layer, found in zip(associations, data, strict=True) if not found.defined]
    if undefined:
        text = f"all associations are equal in {', '.join(undefined)}: the effect size is undefined, p = 1"
        warnings.warn(text, RuntimeWarning, stacklevel=2)

    size, total = data[0].size, len(data[0].values)
    # Scaled so that sums over X are effect sizes; an undefined layer never holds the maximum.
    rows = np.stack([layer.values * layer.scale if layer.defined else np.zeros(total) for layer in data])
    two_sided = alternative == "two-sided"
    if exact := math.comb(total, size) <= MOST_ENUMERATED:
        slack = np.array([layer.tolerance * layer.scale if layer.defined else 0.0 for layer in data])
        counts = _enumerate(rows, size, slack, two_sided)
        relabellings = math.comb(total, size)
    else:
        counts = 1 + count_hits(rows, size, draws, key_for(seed, "joint relabelling"), two_sided=two_sided).largest
        relabellings = 1 + draws
    counts = np.where([layer.defined for layer in data], counts, relabellings)
    return [
        LayerTest(layer, test, count / relabellings, count, relabellings, exact)
        for layer, test, count in zip(associations, tests, (int(c) for c in counts), strict=True)
    ]


def _enumerate(rows: np.ndarray, size: int, slack: np.ndarray, two_sided: bool) -> np.ndarray:
    """Number of relabellings whose largest effect size over layers reaches each layer's, int64 [L]."""
    sums = all_subsets(rows.shape[1], size) @ rows.T  # [P, L]
    observed = rows[:, :size].sum(axis=1)
    if two_sided:
        sums, observed = np.abs(sums), np.abs(observed)
    largest = np.sort(sums.max(axis=1))
    return len(largest) - np.searchsorted(largest, observed - slack, side="left")
