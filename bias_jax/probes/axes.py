"""Features of a layer in principal axes: centred, divided by one scalar, rotated, at most N dimensions.

An L2 probe does not change under rotation, so nothing is lost: for D <= N the features are rotated to the eigenvectors
of their covariance; for D > N they are replaced by their coordinates in the row space, taken from the eigenvectors of
the N x N Gram matrix. There squaring would cost digits, so the Gram matrix is float64: in float32 all directions weaker
than 3e-4 of the strongest would drown in rounding. In principal axes the spectrum is a preconditioner for the solver.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

BLOCK = 4096  # columns of the bank converted to float64 at a time


class Axes(NamedTuple):
    """Principal coordinates of one layer and the way back."""

    features: jax.Array  # [N, r + 1]; the last column is all ones and carries the bias
    spectrum: jax.Array  # [r + 1], mean square of each column
    basis: jax.Array  # [D, r] for D <= N, otherwise [N, N] (see `to_bank`)
    mean: jax.Array  # [D], of the bank's columns
    scale: jax.Array  # scalar, root mean square of the centred bank


def principal_axes(bank: jax.Array) -> Axes:
    """Factorise one layer's bank, float [N, D]; shared by all its probes.

    Cost: one product of 2 N D min(N, D) operations and the eigenvectors of a min(N, D) square matrix.
    """
    if bank.shape[1] <= bank.shape[0]:
        return _by_covariance(bank)
    mean, scale = _centre_and_scale(bank)
    with jax.enable_x64(True):
        features, spectrum, basis = _by_gram(bank, mean, scale)
    return Axes(features, spectrum, basis, mean, scale)


def to_bank(axes: Axes, coefficients: jax.Array, bank: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Coefficients [C, r + 1] in principal axes -> (W [D, C], b [C]) for the bank as given."""
    return _to_bank(axes, coefficients, bank)


@jax.jit
def _centre_and_scale(bank: jax.Array) -> tuple[jax.Array, jax.Array]:
    mean = bank.astype(jnp.float32).mean(axis=0)
    rms = jnp.sqrt(jnp.square(bank - mean).mean())
    # Rounding leaves a little where every column is constant; such a layer must not be blown up.
    constant = rms <= 1e-6 * jnp.abs(mean).max()
    return mean, jnp.where(constant, 1.0, rms)


def _with_ones(features: jax.Array, spectrum: jax.Array) -> tuple[jax.Array, jax.Array]:
    ones = jnp.ones((features.shape[0], 1), features.dtype)
    return jnp.concatenate([features, ones], axis=1), jnp.append(spectrum, jnp.ones((), spectrum.dtype))


@jax.jit
def _by_covariance(bank: jax.Array) -> Axes:
    mean, scale = _centre_and_scale(bank)
    x = (bank - mean) / scale
    # Only a rotation is taken from here, so float32 does: any orthogonal matrix gives the same probes.
    _, basis = jnp.linalg.eigh(jnp.matmul(x.T, x, precision="highest"))
    features = jnp.matmul(x, basis, precision="highest")
    features, spectrum = _with_ones(features, jnp.square(features).mean(axis=0))
    return Axes(features, spectrum, basis, mean, scale)


@jax.jit
def _by_gram(bank: jax.Array, mean: jax.Array, scale: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    images, width = bank.shape

    def add(gram: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
        # The last block starts early enough to fit; columns counted before are set to 0.
        begin = jnp.minimum(start, max(width - BLOCK, 0))
        columns = begin + jnp.arange(min(BLOCK, width))
        x = jax.lax.dynamic_slice_in_dim(bank, begin, min(BLOCK, width), axis=1).astype(jnp.float64)
        x = jnp.where(columns >= start, (x - mean[columns]) / scale, 0.0)
        return gram + jnp.matmul(x, x.T, precision="highest"), None

    gram = jnp.zeros((images, images), jnp.float64)
    gram, _ = jax.lax.scan(add, gram, jnp.arange(0, width, BLOCK))
    values, vectors = jnp.linalg.eigh(gram)
    kept = values > values[-1] * images * jnp.finfo(jnp.float64).eps
    roots = jnp.sqrt(jnp.where(kept, values, 0.0))
    basis = vectors * jnp.where(kept, 1.0 / jnp.where(kept, roots, 1.0), 0.0)
    features, spectrum = _with_ones(vectors * roots, jnp.square(roots) / images)
    return features.astype(jnp.float32), spectrum.astype(jnp.float32), basis.astype(jnp.float32)


@jax.jit
def _to_bank(axes: Axes, coefficients: jax.Array, bank: jax.Array) -> tuple[jax.Array, jax.Array]:
    product = partial(jnp.matmul, precision="highest")
    rotated = product(axes.basis, coefficients[:, :-1].T)
    if bank.shape[1] > bank.shape[0]:  # W = X' A, with A the coordinates in the row space
        rotated = product(((bank - axes.mean) / axes.scale).T, rotated)
    weights = rotated / axes.scale
    return weights, coefficients[:, -1] - product(axes.mean, weights)
