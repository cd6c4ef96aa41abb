"""Features of a layer in principal axes: centred, divided by one scalar, rotated, about N dimensions at most.

An L2 probe does not change under rotation, so nothing is lost: for D <= N the features are rotated to the eigenvectors
of their covariance; for D > N they are replaced by their coordinates in the row space, taken from the eigenvectors of
the N x N Gram matrix. There squaring would cost digits, so the Gram matrix is float64: in float32 all directions weaker
than 3e-4 of the strongest would drown in rounding. In principal axes the Hessian's diagonal is most of it.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bias_jax.arithmetic import matmul
from bias_jax.probes.objective import ABSENT_CLASS_LOGIT, Problems
from bias_jax.probes.sizes import padded_axes

BLOCK = 4096  # columns of the bank converted to float64 at a time
# Columns after the axes, of which the last carries the bias: on a CPU products of odd widths take up to a fifth longer.
ALIGNED = 16


class Moments(NamedTuple):
    """What the bank is centred and scaled by, and whether float32 can hold it."""

    mean: jax.Array  # [D]
    remainder: jax.Array  # [D], what float32 could not hold of the mean
    varies: jax.Array  # bool [D]; a column that is constant up to rounding becomes 0, and so does its weight
    mean_square: jax.Array  # scalar, of the centred bank
    finite: jax.Array  # bool, whether all features are
    faint: jax.Array  # bool, whether a column varies below what can be squared

    @property
    def scale(self) -> jax.Array:
        """Root mean square of the centred bank; 1 where every column is constant."""
        return jnp.where(self.mean_square > 0, jnp.sqrt(self.mean_square), 1.0)


class Coordinates(NamedTuple):
    """The images in principal axes: all that a solver needs of a layer, in few shapes (see `sizes`)."""

    features: jax.Array  # [N, r + 1]; the last column is all ones and carries the bias, some before it are all 0
    transposed: jax.Array  # the same, [r + 1, N]: a product is fastest along the last axis of both, on a CPU by half


class Axes(NamedTuple):
    """Principal coordinates of one layer and the way back."""

    coordinates: Coordinates
    basis: jax.Array  # [D, r] for D <= N, otherwise [N, r] (see `to_bank`)
    moments: Moments  # of the bank


def principal_axes(bank: jax.Array) -> Axes:
    """Factorise one layer's bank, float [N, D]; shared by all its probes.

    Cost: one product of 2 N D min(N, D) operations and the eigenvectors of a min(N, D) square matrix.
    """
    moments = bank_moments(bank)
    if bank.shape[1] <= bank.shape[0]:
        coordinates, basis = _by_covariance(bank, moments)
    else:
        with jax.enable_x64(True):
            coordinates, basis = _by_gram(_gram(bank, moments))
    return Axes(coordinates, basis, moments)


def to_bank(
    axes: Axes, problems: Problems, coefficients: jax.Array, problem: int, classes: int, bank: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(W [D, C], b [C]) for the bank as given, of one of the problems with coefficients [P, C, r + 1]."""
    place = jax.device_put(problem)
    weights = _weights(axes.basis, axes.moments, coefficients, place, bank, classes)
    with jax.enable_x64(True):  # of features far from 0 the bias takes back what their means add
        return weights, _bias(axes.moments, problems.present, coefficients, place, weights)


@jax.jit
def bank_moments(bank: jax.Array) -> Moments:
    """Moments of a bank [N, D], each column judged by itself."""
    x = bank.astype(jnp.float32)
    mean = x.mean(axis=0)
    # The difference to a number so close is exact, so centring again gains the digits that the mean has not.
    remainder = (x - mean[None]).mean(axis=0)
    square = jnp.square(x - mean[None] - remainder[None]).mean(axis=0)
    varies = ~(jnp.sqrt(square) <= 1e-6 * jnp.abs(mean))  # what is not a number stays visible
    size = jnp.abs(x).max(axis=0)
    faint = (size < 1e-12) & (x != x[:1]).any(axis=0)
    mean_square = jnp.where(varies, square, 0.0).mean()
    return Moments(mean, remainder, varies, mean_square, jnp.isfinite(size).all(), faint.any())


def _standardised(bank: jax.Array, moments: Moments) -> jax.Array:
    centred = bank.astype(jnp.float32) - moments.mean[None] - moments.remainder[None]
    return jnp.where(moments.varies[None], centred / moments.scale, 0.0)


def _padded(coordinates: jax.Array, basis: jax.Array) -> tuple[Coordinates, jax.Array]:
    """Coordinates and basis, float32: padded with zeros, and the bias's ones."""
    spare = padded_axes(basis.shape[1]) + ALIGNED - 1 - basis.shape[1]
    coordinates, basis = (jnp.pad(a.astype(jnp.float32), ((0, 0), (0, spare))) for a in (coordinates, basis))
    features = jnp.pad(coordinates, ((0, 0), (0, 1)), constant_values=1.0)
    return Coordinates(features, features.T), basis


@jax.jit
def _by_covariance(bank: jax.Array, moments: Moments) -> tuple[Coordinates, jax.Array]:
    """Coordinates and basis."""
    x = _standardised(bank, moments)
    # Only a rotation is taken from here, so float32 does: any orthogonal matrix gives the same probes.
    _, basis = jnp.linalg.eigh(matmul(x.T, x))
    return _padded(matmul(x, basis), basis)


@jax.jit
def _gram(bank: jax.Array, moments: Moments) -> jax.Array:
    """Products of the standardised images with each other, float64 [N, N]."""
    images, width = bank.shape

    def add(gram: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
        # The last block starts early enough to fit; columns counted before are set to 0.
        begin = jnp.minimum(start, max(width - BLOCK, 0))
        columns = begin + jnp.arange(min(BLOCK, width))
        x = jax.lax.dynamic_slice_in_dim(bank, begin, min(BLOCK, width), axis=1).astype(jnp.float64)
        counted = (columns >= start) & moments.varies[columns]
        centred = (x - x.mean(axis=0)[None]) / moments.scale.astype(jnp.float64)
        x = jnp.where(counted[None], centred, 0.0)
        return gram + matmul(x, x.T), None

    gram = jnp.zeros((images, images), jnp.float64)
    return jax.lax.scan(add, gram, jnp.arange(0, width, BLOCK))[0]


@jax.jit
def _by_gram(gram: jax.Array) -> tuple[Coordinates, jax.Array]:
    """The same as `_by_covariance`, of the Gram matrix."""
    values, vectors = jnp.linalg.eigh(gram)
    kept = values > values[-1] * (len(gram) * float(jnp.finfo(jnp.float64).eps))
    roots = jnp.sqrt(jnp.where(kept, values, 0.0))
    basis = vectors * jnp.where(kept, 1.0 / jnp.where(kept, roots, 1.0), 0.0)[None]
    return _padded(vectors * roots[None], basis)


@partial(jax.jit, static_argnames="classes")
def _weights(
    basis: jax.Array, moments: Moments, coefficients: jax.Array, problem: jax.Array, bank: jax.Array, classes: int
) -> jax.Array:
    rotated = matmul(basis, coefficients[problem, :classes, :-1].T)
    if bank.shape[1] > bank.shape[0]:  # W = X' A, with A the coordinates in the row space
        rotated = matmul(_standardised(bank, moments).T, rotated)
    return jnp.where(moments.varies[:, None], rotated / moments.scale, 0.0)


@jax.jit
def _bias(
    moments: Moments, present: jax.Array, coefficients: jax.Array, problem: jax.Array, weights: jax.Array
) -> jax.Array:
    classes = weights.shape[1]
    mean = moments.mean.astype(jnp.float64) + moments.remainder.astype(jnp.float64)
    bias = coefficients[problem, :classes, -1].astype(jnp.float64) - jnp.matmul(mean, weights.astype(jnp.float64))
    return jnp.where(present[problem, :classes], bias.astype(jnp.float32), ABSENT_CLASS_LOGIT)
