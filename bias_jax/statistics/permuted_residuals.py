"""Sums of squares of all terms, observed and with permuted residuals, on the device."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.statistics.factorial_design import FactorialDesign
from bias_jax.statistics.principal_coordinates import Coordinates

HIGHEST = jax.lax.Precision.HIGHEST


class DesignArrays(NamedTuple):
    """A design on the device."""

    groups: jax.Array  # int32 [N]
    counts: jax.Array  # [G]
    contrasts: jax.Array  # [M, G]
    owner: jax.Array  # [2 T, M]
    kernels: jax.Array  # [2 T, G^2]
    leverage: jax.Array  # [2 T, G]
    pooled: jax.Array  # [2 T], True where all groups share one variance: between images


def on_device(design: FactorialDesign) -> DesignArrays:
    """The design in the precision of the device; the kernels take 8 T G^2 bytes."""
    kernels = design.kernels.reshape(len(design.owner), -1)
    numbers = (design.counts, design.basis.T, design.owner, kernels, design.leverage)
    pooled = np.repeat([True, False], len(design.terms))
    return DesignArrays(*jax.device_put((design.groups, *(np.asarray(a, np.float32) for a in numbers), pooled)))


class Partition(NamedTuple):
    """Sums of squares of all tests, and the same under permutation."""

    squares: jax.Array  # [2 T]
    noise: jax.Array  # [2 T], what the squares would be without an effect
    mean_square: jax.Array  # within groups
    null_squares: jax.Array  # [P, 2 T], of permuted residuals
    null_noise: jax.Array  # [P, 2 T]
    slope: jax.Array  # [P, 2 T], inner product of the observed contrasts with those of permuted residuals
    null_mean_square: jax.Array  # [P]


@jax.jit
def partition(points: Coordinates, design: DesignArrays, relabelled: jax.Array) -> Partition:
    """Sums of squares of the features and of permuted residuals, for every row of relabelled groups [P, N].

    On a CPU a permutation costs N R additions (a scatter into group sums), R = min(D, N), and 4 G^2 (R + 2 T)
    operations (products of the sums, and the tests' kernels on them); elsewhere the scatter is a product of 2 N G R.
    """
    groups, counts = design.groups, design.counts
    observed = group_sums(points.values, groups, len(counts))
    residuals = points.values - (observed / counts[:, None])[groups]
    lengths = _signed_squares(residuals, points.signs)
    squares = _signed_squares(jnp.matmul(design.contrasts, observed, precision=HIGHEST), points.signs)
    squares = jnp.matmul(design.owner, squares, precision=HIGHEST)
    noise, mean_square = _noise(group_sums(lengths, groups, len(counts)), design)
    # A residual from a mean of n images has 1 - 1/n of the variance; images alone in their group have none.
    widened = jnp.where(counts > 1, jax.lax.rsqrt(jnp.maximum(1.0 - 1.0 / counts, 0.5)), 0.0)[groups]
    residuals, lengths = residuals * widened[:, None], lengths * jnp.square(widened)

    def squared(products: jax.Array) -> jax.Array:
        return jnp.matmul(design.kernels, products.reshape(-1), precision=HIGHEST)

    def permuted(groups: jax.Array) -> tuple[jax.Array, ...]:
        sums = group_sums(residuals, groups, len(counts))
        # No effect is left in these sums, so that squaring them before they are projected loses no digits.
        products = jnp.matmul(sums * points.signs[None], sums.T, precision=HIGHEST)
        crossed = jnp.matmul(observed * points.signs[None], sums.T, precision=HIGHEST)
        within = group_sums(lengths, groups, len(counts)) - jnp.diag(products) / counts
        noise, mean_square = _noise(within, design)
        return squared(products), noise, squared(crossed), mean_square

    return Partition(squares, noise, mean_square, *jax.lax.map(permuted, relabelled))


def _noise(within: jax.Array, design: DesignArrays) -> tuple[jax.Array, jax.Array]:
    """Noise of all tests [2 T] and mean square, from the squares within each group [G]."""
    counts = design.counts
    mean_square = within.sum() / jnp.maximum(counts.sum() - len(counts), 1.0)
    own = jnp.where(counts > 1, within / jnp.maximum(counts - 1.0, 1.0), 0.0)
    variance = jnp.where(design.pooled[:, None], mean_square, own[None])
    return (design.leverage * variance).sum(axis=1), mean_square


def _signed_squares(rows: jax.Array, signs: jax.Array) -> jax.Array:
    return (jnp.square(rows) * signs[None]).sum(axis=-1)


def group_sums(values: jax.Array, groups: jax.Array, size: int) -> jax.Array:
    """Sums over each group's images, [G, R] of [N, R] or [G] of [N]; a product where scatters have no fixed order.

    Images of a negative group are in none.
    """
    return jax.lax.platform_dependent(values, groups, cpu=partial(scattered, size), default=partial(product, size))


def scattered(size: int, values: jax.Array, groups: jax.Array) -> jax.Array:
    """Group sums by additions."""
    return jax.ops.segment_sum(values, groups, size)


def product(size: int, values: jax.Array, groups: jax.Array) -> jax.Array:
    """Group sums by a matrix product with indicators."""
    return jnp.matmul((groups[None] == jnp.arange(size)[:, None]).astype(values.dtype), values, precision=HIGHEST)
