"""How much of the distance between images, and between group means, is each attribute or an interaction of them.

Distance-based analysis of variance (Anderson 2001; McArdle & Anderson 2001) on one layer's features. Squared distances
make sums of squares, so everything is a projection of the features: with Q a term's orthonormal directions,
``SS = ||Q^T X||^2``, which is McArdle & Anderson's trace without the matrix of distances.

Permutation. The residuals of the full model, i.e. of the group means, are permuted among the images (ter Braak 1992).
Permuted raw images, or residuals of the model without the term, still contain *other* effects (for Type II terms the
interactions above them); in many dimensions one strong effect then sets the spread of every term's null distribution,
and a null attribute beside it has p-values that bunch. Anderson & Legendre 1999 and Anderson & ter Braak
2003 found residuals of the full model as good as those of the reduced one unless residual degrees of freedom are few.
One permutation serves all terms and both levels, and the same permutations serve all layers, so that joint corrections
are possible. The null hypothesis is that errors are exchangeable: groups that differ in spread alone can be found
as well. With few images a group and many independent features the test is conservative: the variance of the null
distribution is too large by about ``d G / (N (N - G))`` of itself, d the participation ratio of the residuals' spectrum.

Means. The squared distance between two group means contains their sampling error, and small groups would look distinct.
Here it is removed: a mean's squared length is estimated by the average inner product of *different* images of the
group, which is the split-half product averaged over all splits into halves. It is unbiased, so it can be negative.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from bias_jax.statistics.factorial_design import FactorialDesign
from bias_jax.statistics.principal_coordinates import Coordinates, Distance, coordinates

HIGHEST = jax.lax.Precision.HIGHEST


@dataclass(frozen=True)
class VariancePartition:
    """Partition of one layer; axis 0 of [2, T] arrays is the level (images, group means), axis 1 the term."""

    degrees_of_freedom: np.ndarray  # realised, int [2, T]
    sum_of_squares: np.ndarray  # Type II, noise included, [2, T]
    noise: np.ndarray  # what the sum of squares would be without an effect, [2, T]
    omega_squared: np.ndarray  # share of the term, noise removed, [2, T]
    partial_omega_squared: np.ndarray  # images: share beside the residual alone; means: NaN [2, T]
    ratio: np.ndarray  # pseudo-F = sum_of_squares / noise, [2, T]
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

    On a CPU a permutation costs N R additions (a scatter into group sums), R = min(D, N), and 2 G^2 R + 2 M G^2
    operations (products of the sums, and the M <= 4 G contrasts of them); elsewhere the scatter is a product of 2 N G R.

    Args:
        features: [N, D], or distances [N, N]; see `coordinates`.
        design: of `factorial_design`.
        relabelled: of `relabellings`, int32 [P, N].
        distance: between images; see `coordinates`.

    Raises:
        ValueError: another number of rows than the design has labels; what `coordinates` refuses.
    """
    if len(features) != len(design.groups):
        raise ValueError(f"{len(features)} rows of features, {len(design.groups)} labels")
    found = jax.device_get(partition(coordinates(features, distance), on_device(design), relabelled))
    squares, noise, null = (np.asarray(a).reshape(*a.shape[:-1], 2, len(design.terms)) for a in found[:3])
    squares, noise, mean_square = squares.astype(np.float64), noise.astype(np.float64), float(found[3])
    freedom, images = design.degrees_of_freedom, len(design.groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = squares - noise
        rest = np.array([[images * mean_square], [0.0]])
        whole = effect[:, -1:] + rest  # on images, SS_total + MS
        omega = np.where(whole > 0, effect / whole, np.nan)
        part = np.where(rest > 0, effect / (effect + rest), np.nan)
        ratio = np.where(squares > 0, squares / noise, 0.0)
    undefined = (freedom == 0) | (images == len(design.counts))
    p = (1 + (null >= ratio).sum(axis=0)) / (1 + len(null))
    omega, part, ratio, p = (np.where(undefined, np.nan, a) for a in (omega, part, ratio, p))
    return VariancePartition(freedom, squares, noise, omega, part, ratio, p, null)


class DesignArrays(NamedTuple):
    """A design on the device."""

    groups: jax.Array  # int32 [N]
    counts: jax.Array  # [G]
    contrasts: jax.Array  # [M, G]
    owner: jax.Array  # [2 T, M]
    leverage: jax.Array  # [2 T, G]
    pooled: jax.Array  # [2 T], True where all groups share one variance: between images


def on_device(design: FactorialDesign) -> DesignArrays:
    """The design in the precision of the device."""
    numbers = (design.counts, design.basis.T, design.owner, design.leverage)
    pooled = np.repeat([True, False], len(design.terms))
    return DesignArrays(*jax.device_put((design.groups, *(np.asarray(a, np.float32) for a in numbers), pooled)))


@jax.jit
def partition(
    points: Coordinates, design: DesignArrays, relabelled: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Sums of squares [2 T], their noise [2 T], pseudo-F of the permutations [P, 2 T], mean square within groups."""
    groups, counts = design.groups, design.counts
    sums = _group_sums(points.values, groups, len(counts))
    residuals = points.values - (sums / counts[:, None])[groups]
    lengths = _signed_squares(residuals, points.signs)
    squares = _signed_squares(jnp.matmul(design.contrasts, sums, precision=HIGHEST), points.signs)
    observed, noise, mean_square = _statistics(squares, _group_sums(lengths, groups, len(counts)), design)
    # A residual from a mean of n images has 1 - 1/n of the variance; images alone in their group have none.
    widened = jnp.where(counts > 1, jax.lax.rsqrt(jnp.maximum(1.0 - 1.0 / counts, 0.5)), 0.0)[groups]
    residuals, lengths = residuals * widened[:, None], lengths * jnp.square(widened)

    def permuted(groups: jax.Array) -> jax.Array:
        sums = _group_sums(residuals, groups, len(counts))
        # No effect is left in these sums, so that squaring them before they are projected loses no digits.
        products = jnp.matmul(sums * points.signs, sums.T, precision=HIGHEST)
        squares = (jnp.matmul(design.contrasts, products, precision=HIGHEST) * design.contrasts).sum(axis=1)
        within = _group_sums(lengths, groups, len(counts)) - jnp.diag(products) / counts
        squares, noise, _ = _statistics(squares, within, design)
        return jnp.where(noise > 0, squares / jnp.where(noise > 0, noise, 1.0), 0.0)

    return observed, noise, jax.lax.map(permuted, relabelled), mean_square


def _statistics(
    squares: jax.Array, within: jax.Array, design: DesignArrays
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Sums of squares and noise of all tests, from squared contrasts [M] and squares within groups [G]; mean square."""
    counts = design.counts
    mean_square = within.sum() / jnp.maximum(counts.sum() - len(counts), 1.0)
    own = jnp.where(counts > 1, within / jnp.maximum(counts - 1.0, 1.0), 0.0)
    variance = jnp.where(design.pooled[:, None], mean_square, own)
    squares = jnp.matmul(design.owner, squares, precision=HIGHEST)
    return squares, (design.leverage * variance).sum(axis=1), mean_square


def _signed_squares(rows: jax.Array, signs: jax.Array) -> jax.Array:
    return (jnp.square(rows) * signs).sum(axis=-1)


def _group_sums(values: jax.Array, groups: jax.Array, size: int) -> jax.Array:
    """Sums over each group's images, [G, R] of [N, R] or [G] of [N]; where the scatter has no fixed order, a product."""
    return jax.lax.platform_dependent(values, groups, cpu=partial(_scattered, size), default=partial(_product, size))


def _scattered(size: int, values: jax.Array, groups: jax.Array) -> jax.Array:
    return jax.ops.segment_sum(values, groups, size)


def _product(size: int, values: jax.Array, groups: jax.Array) -> jax.Array:
    return jnp.matmul((groups == jnp.arange(size)[:, None]).astype(values.dtype), values, precision=HIGHEST)
