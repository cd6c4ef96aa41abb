"""How much of the distance between images, and between group means, is each attribute or an interaction of them.

Distance-based analysis of variance (Anderson 2001; McArdle & Anderson 2001) on one layer's features. Squared distances
make sums of squares, so everything is a projection of the features: with Q a term's orthonormal directions,
``SS = ||Q^T X||^2``, which is McArdle & Anderson's trace without the matrix of distances.

Permutation. The residuals of the full model, i.e. of the group means, are permuted among the images (ter Braak 1992).
Permuted raw images, or residuals of the model without the term, still contain *other* effects (for Type II terms the
interactions above them); in many dimensions one strong effect then sets the spread of every term's null distribution,
and a null attribute beside it has p-values that bunch. Residuals of the full and of the reduced model were found about
equally good where both apply (Anderson & Legendre 1999, Anderson & ter Braak 2003).
One permutation serves all terms and both levels, and the same permutations serve all layers, so that joint corrections
are possible. The null hypothesis is that errors are exchangeable: groups that differ in spread alone can be found
as well. With few images a group and many independent features the test is conservative: the variance of the null
distribution is too large by about ``d G / (N (N - G))`` of itself, d the participation ratio of the residuals'
spectrum (1 to 4 in the layers of an untrained ResNet50 on photographs).

Means. The squared distance between two group means contains their sampling error, and small groups would look distinct.
Here it is removed: a mean's squared length is estimated by the average inner product of *different* images of the
group, which is the split-half product averaged over all splits into halves. It is unbiased, so it can be negative.
"""

from dataclasses import dataclass

import jax
import numpy as np
from numpy.typing import ArrayLike

from bias_jax.statistics.factorial_design import FactorialDesign
from bias_jax.statistics.permuted_residuals import Partition, on_device, partition
from bias_jax.statistics.principal_coordinates import Distance, coordinates
from bias_jax.statistics.share_interval import Errors, share_interval

LEVEL = 0.95  # of the intervals


@dataclass(frozen=True)
class VariancePartition:
    """Partition of one layer; axis 0 of [2, T] arrays is the level (images, group means), axis 1 the term."""

    terms: np.ndarray  # names [T], the last one of all groups together
    degrees_of_freedom: np.ndarray  # realised, int [2, T]
    sum_of_squares: np.ndarray  # Type II, noise included, [2, T]
    omega_squared: np.ndarray  # share of the term, noise removed, [2, T]
    low: np.ndarray  # 95 % interval of the true share, within 0 to 1, [2, T]
    high: np.ndarray
    partial_omega_squared: np.ndarray  # images: share beside the residual alone; means: NaN [2, T]
    ratio: np.ndarray  # pseudo-F, sum of squares over its noise, [2, T]
    p_value: np.ndarray  # (1 + hits) / (1 + P), [2, T]
    null_ratio: np.ndarray  # pseudo-F of the permutations, float32 [P, 2, T]


def relabellings(design: FactorialDesign, permutations: int, seed: int) -> jax.Array:
    """Random permutations of the images' groups, int32 [P, N] on the device (4 P N bytes); one set for all layers."""
    rows = np.broadcast_to(design.groups, (permutations, len(design.groups)))
    return jax.device_put(np.random.default_rng(seed).permuted(rows, axis=1))


def permanova(
    features: jax.Array | ArrayLike, design: FactorialDesign, relabelled: jax.Array, distance: Distance = "euclidean"
) -> VariancePartition:
    """Effect sizes and permutation p-values of all terms, between images and between group means.

    Between images, with MS the mean square within groups (Olejnik & Algina 2003):
    ``omega^2 = (SS - df MS) / (SS_total + MS)``, partial ``(SS - df MS) / (SS + (N - df) MS)``. Between means: the
    term's noise-free sum of squares over that of all groups. What cannot be estimated (no degrees of freedom, no image
    beyond one per group, no distance between means) is NaN.

    Intervals: permuted residuals are added to effects (ter Braak 1992), and what that does to the estimates is their
    error; see `share_interval`. They are about other images of the same groups.

    Args:
        features: [N, D], or distances [N, N]; see `coordinates`.
        design: of `factorial_design`.
        relabelled: of `relabellings`, int32 [P, N].
        distance: between images; see `coordinates`.

    Raises:
        ValueError: another number of rows than the design has labels; features that are not finite; what
            `coordinates` refuses.

    Features that differ by gender and by nothing else:

    >>> from bias_jax.statistics import factorial_design
    >>> noise = np.random.default_rng(0).normal(size=(40, 3))
    >>> race, gender = np.arange(40) % 2, np.arange(40) // 20
    >>> design = factorial_design({"race": race, "gender": gender})
    >>> found = permanova(noise + 4 * gender[:, None], design, relabellings(design, 99, seed=0))
    >>> found.terms.tolist()
    ['race', 'gender', 'race x gender', 'all groups']
    >>> (found.p_value[0] <= 0.05).tolist()  # between images
    [False, True, False, True]
    >>> f"{found.omega_squared[0, 1]:.1f} of the squared distance between images is gender's"
    "0.8 of the squared distance between images is gender's"
    """
    points = coordinates(features, distance)
    if len(points.values) != len(design.groups):
        raise ValueError(f"{len(points.values)} rows of features, {len(design.groups)} labels")
    found = jax.device_get(partition(points, on_device(design), relabelled))
    if not np.isfinite(found.mean_square):
        raise ValueError("features and sums of their squares must be finite in float32: scale them")
    return effects(design, found)


def effects(design: FactorialDesign, found: Partition) -> VariancePartition:
    """Effect sizes, intervals and p-values from what the device found."""
    levels = (2, len(design.terms))
    squares, noise, null_squares, null_noise, slope = (
        np.asarray(a, np.float64).reshape(*a.shape[:-1], *levels)
        for a in (found.squares, found.noise, found.null_squares, found.null_noise, found.slope)
    )
    freedom, images = design.degrees_of_freedom, len(design.groups)
    residual = images * np.array([[1.0], [0.0]])  # of mean squares, in the whole of each level
    effect = squares - noise
    whole = effect[:, -1:] + residual * found.mean_square
    null = np.divide(null_squares, null_noise, out=np.zeros_like(null_noise), where=null_noise > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        omega = _share(effect, whole)
        partial_omega = _share(effect, effect + residual * found.mean_square) * np.where(residual > 0, 1.0, np.nan)
        ratio = np.where(squares > 0, squares / noise, 0.0)
        slope = np.where(squares > 0, slope / np.sqrt(squares), 0.0)
    offset = null_squares - null_noise
    error = 2.0 * np.sqrt(np.maximum(effect, 0.0)) * slope + offset
    rest = error[..., -1:] - error + residual * (found.null_mean_square - found.mean_square)[:, None, None]
    low, high = share_interval(omega, np.broadcast_to(whole, levels), Errors(slope, offset, rest), LEVEL)
    only = (freedom == freedom[:, -1:]) & (residual == 0)  # the one term between means: all of it by definition
    low, high = np.where(only, omega, low), np.where(only, omega, high)
    p = (1 + (null >= ratio).sum(axis=0)) / (1 + len(null))
    undefined = (freedom == 0) | (images == len(design.counts))
    omega, partial_omega, low, high, ratio, p = (
        np.where(undefined, np.nan, a) for a in (omega, partial_omega, low, high, ratio, p)
    )
    terms, null = np.array(design.terms), null.astype(np.float32)
    return VariancePartition(terms, freedom, squares, omega, low, high, partial_omega, ratio, p, null)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / whole, np.nan)
