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

BLOCK = 4096  # columns of the bank converted to float64 at a time
ALIGNED = 16  # features are padded to a multiple: on a CPU products of odd widths take up to a fifth longer


class Moments(NamedTuple):
    """What the bank is centred and scaled by."""

    mean: jax.Array  # [D]
    remainder: jax.Array  # [D], what float32 could not hold of the mean
    varies: jax.Array  # bool [D]; a column that is constant up to rounding becomes 0, and so does its weight
    mean_square: jax.Array  # scalar, of the centred bank

    @property
    def scale(self) -> jax.Array:
        """Root mean square of the centred bank; 1 where every column is constant."""
        return jnp.where(self.mean_square > 0, jnp.sqrt(self.mean_square), 1.0)


class Axes(NamedTuple):
    """Principal coordinates of one layer and the way back."""

    features: jax.Array  # [N, r + 1]; the last column is all ones and carries the bias, some before it may be all 0
    transposed: jax.Array  # the same, [r + 1, N]: a product is fastest along the last axis of both, on a CPU by half
    basis: jax.Array  # [D, r] for D <= N, otherwise [N, r] (see `to_bank`)
    moments: Moments  # of the bank


def principal_axes(bank: jax.Array) -> Axes:
    """Factorise one layer's bank, float [N, D]; shared by all its probes.

    Cost: one product of 2 N D min(N, D) operations and the eigenvectors of a min(N, D) square matrix.
    """
    moments = bank_moments(bank)
    if bank.shape[1] <= bank.shape[0]:
        features, basis = _by_covariance(bank, moments)
    else:
        with jax.enable_x64(True):
            features, basis = _by_gram(bank, moments)
    return Axes(features, _transpose(features), basis, moments)


def to_bank(axes: Axes, coefficients: jax.Array, bank: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Coefficients [C, r + 1] in principal axes -> (W [D, C], b [C]) for the bank as given."""
    weights = _weights(axes, coefficients, bank)
    with jax.enable_x64(True):  # of features far from 0 the bias takes back what their means add
        return weights, _bias(axes.moments, coefficients, weights)


@jax.jit
def bank_moments(bank: jax.Array) -> Moments:
    """Moments of a bank [N, D], each column judged by itself."""
    mean = bank.astype(jnp.float32).mean(axis=0)
    # The difference to a number so close is exact, so centring again gains the digits that the mean has not.
    remainder = (bank - mean).mean(axis=0)
    square = jnp.square(bank - mean - remainder).mean(axis=0)
    varies = ~(jnp.sqrt(square) <= 1e-6 * jnp.abs(mean))  # what is not a number stays visible
    return Moments(mean, remainder, varies, jnp.where(varies, square, 0.0).mean())


def _standardised(bank: jax.Array, moments: Moments) -> jax.Array:
    return jnp.where(moments.varies, (bank - moments.mean - moments.remainder) / moments.scale, 0.0)


@jax.jit
def _transpose(features: jax.Array) -> jax.Array:
    return features.T


def _finish(coordinates: jax.Array, basis: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Features and basis, float32: padded with zeros, and the bias's ones."""
    spare = -(coordinates.shape[1] + 1) % ALIGNED
    coordinates, basis = (jnp.pad(a.astype(jnp.float32), ((0, 0), (0, spare))) for a in (coordinates, basis))
    return jnp.pad(coordinates, ((0, 0), (0, 1)), constant_values=1.0), basis


@jax.jit
def _by_covariance(bank: jax.Array, moments: Moments) -> tuple[jax.Array, jax.Array]:
    """Features and basis."""
    x = _standardised(bank, moments)
    # Only a rotation is taken from here, so float32 does: any orthogonal matrix gives the same probes.
    _, basis = jnp.linalg.eigh(jnp.matmul(x.T, x, precision="highest"))
    return _finish(jnp.matmul(x, basis, precision="highest"), basis)


@jax.jit
def _by_gram(bank: jax.Array, moments: Moments) -> tuple[jax.Array, jax.Array]:
    """The same two, by way of float64."""
    images, width = bank.shape

    def add(gram: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
        # The last block starts early enough to fit; columns counted before are set to 0.
        begin = jnp.minimum(start, max(width - BLOCK, 0))
        columns = begin + jnp.arange(min(BLOCK, width))
        x = jax.lax.dynamic_slice_in_dim(bank, begin, min(BLOCK, width), axis=1).astype(jnp.float64)
        counted = (columns >= start) & moments.varies[columns]
        x = jnp.where(counted, (x - x.mean(axis=0)) / moments.scale, 0.0)
        return gram + jnp.matmul(x, x.T, precision="highest"), None

    gram = jnp.zeros((images, images), jnp.float64)
    gram, _ = jax.lax.scan(add, gram, jnp.arange(0, width, BLOCK))
    values, vectors = jnp.linalg.eigh(gram)
    kept = values > values[-1] * images * jnp.finfo(jnp.float64).eps
    roots = jnp.sqrt(jnp.where(kept, values, 0.0))
    basis = vectors * jnp.where(kept, 1.0 / jnp.where(kept, roots, 1.0), 0.0)
    return _finish(vectors * roots, basis)


@jax.jit
def _weights(axes: Axes, coefficients: jax.Array, bank: jax.Array) -> jax.Array:
    product = partial(jnp.matmul, precision="highest")
    rotated = product(axes.basis, coefficients[:, :-1].T)
    if bank.shape[1] > bank.shape[0]:  # W = X' A, with A the coordinates in the row space
        rotated = product(_standardised(bank, axes.moments).T, rotated)
    return jnp.where(axes.moments.varies[:, None], rotated / axes.moments.scale, 0.0)


@jax.jit
def _bias(moments: Moments, coefficients: jax.Array, weights: jax.Array) -> jax.Array:
    mean = moments.mean.astype(jnp.float64) + moments.remainder
    return (coefficients[:, -1] - jnp.matmul(mean, weights.astype(jnp.float64))).astype(jnp.float32)
