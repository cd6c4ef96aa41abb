"""The principal axes of a layer's features in float64, without a D x D matrix where D > N.

With centred features X = U S V' (U [N, q], V [D, q]): for D <= N from the eigenvectors of X'X, else from those of the
N x N matrix XX'. Squares cost half the digits, so both are float64, and float32 features are converted block by block.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import matmul

BLOCK = 4096  # columns, or rows, that are converted to float64 at a time


class Spectrum(NamedTuple):
    """Axes of centred features [N, D]; m = min(N, D) of them, all on the device, float64."""

    features: jax.Array  # as given, [N, D]
    mean: jax.Array  # [D]
    roots: jax.Array  # singular values S, ascending, [m]; 0 below the tolerance
    vectors: jax.Array  # V [D, m] where D <= N, else U [N, m]
    tall: bool  # whether D <= N

    def against(self, columns: jax.Array) -> jax.Array:
        """U' columns, [m, C], of centred columns [N, C]; 0 along axes without variance."""
        return _against(self.features, self.mean, self.roots, self.vectors, columns, tall=self.tall)

    def in_features(self, coordinates: jax.Array) -> jax.Array:
        """V coordinates, [D, r], of coordinates [m, r]."""
        return _in_features(self.features, self.mean, self.roots, self.vectors, coordinates, tall=self.tall)


def spectrum(features: jax.Array) -> Spectrum:
    """Axes of features [N, D], of any real dtype, finite; call under ``jax.enable_x64(True)``.

    An axis counts if its variance is above max(N, D) times the largest one's, times the rounding of its square:
    eps of float64, or of float32 squared if the features are no float64. Rounding makes such axes of features that are
    linearly dependent.
    """
    images, width = features.shape
    eps = float(np.finfo(np.float64).eps)
    if features.dtype != jnp.float64:
        eps = max(eps, float(np.finfo(np.float32).eps) ** 2)
    tall = width <= images
    mean, roots, vectors = _decompose(features, jax.device_put(np.float64(max(images, width) * eps)), tall=tall)
    return Spectrum(features, mean, roots, vectors, tall)


@partial(jax.jit, static_argnames="tall")
def _decompose(features: jax.Array, tolerance: jax.Array, tall: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    mean = features.mean(axis=0, dtype=jnp.float64)

    def add(total: jax.Array, block: tuple[jax.Array, jax.Array]) -> jax.Array:
        x, _ = block
        return total + (matmul(x.T, x) if tall else matmul(x, x.T))

    size = features.shape[1] if tall else features.shape[0]
    squares = over_blocks(add, jnp.zeros((size, size), jnp.float64), features, mean, rows=tall)
    values, vectors = jnp.linalg.eigh(squares)
    kept = values > jnp.maximum(values[-1], 0.0) * tolerance
    return mean, jnp.sqrt(jnp.where(kept, values, 0.0)), vectors


@partial(jax.jit, static_argnames="tall")
def _against(
    features: jax.Array, mean: jax.Array, roots: jax.Array, vectors: jax.Array, columns: jax.Array, tall: bool
) -> jax.Array:
    if not tall:
        return jnp.where(roots[:, None] > 0, matmul(vectors.T, columns), 0.0)

    def add(total: jax.Array, block: tuple[jax.Array, jax.Array]) -> jax.Array:
        x, of = block
        return total + matmul(x.T, columns[of])

    begin = jnp.zeros((features.shape[1], columns.shape[1]), jnp.float64)
    products = over_blocks(add, begin, features, mean, rows=True)
    return matmul(vectors.T, products) * _inverse(roots)[:, None]


@partial(jax.jit, static_argnames="tall")
def _in_features(
    features: jax.Array, mean: jax.Array, roots: jax.Array, vectors: jax.Array, coordinates: jax.Array, tall: bool
) -> jax.Array:
    if tall:
        return matmul(vectors, coordinates)
    weights = matmul(vectors, coordinates * _inverse(roots)[:, None])

    def put(found: jax.Array, block: tuple[jax.Array, jax.Array]) -> jax.Array:
        x, of = block
        return found.at[of].add(matmul(x.T, weights))

    begin = jnp.zeros((features.shape[1], coordinates.shape[1]), jnp.float64)
    return over_blocks(put, begin, features, mean, rows=False)


def _inverse(roots: jax.Array) -> jax.Array:
    return jnp.where(roots > 0, 1.0 / jnp.where(roots > 0, roots, 1.0), 0.0)


def over_blocks(add, begin: jax.Array, features: jax.Array, mean: jax.Array, rows: bool) -> jax.Array:
    """Fold blocks of centred rows, or columns, with their numbers; what a block repeats of another is 0 in it."""
    axis = 0 if rows else 1
    length = features.shape[axis]
    size = min(BLOCK, length)

    def step(total: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
        # The last block starts early enough to fit; what was counted before is set to 0.
        of = jnp.minimum(start, length - size) + jnp.arange(size)
        x = jax.lax.dynamic_slice_in_dim(features, of[0], size, axis=axis).astype(jnp.float64)
        x = x - (mean if rows else mean[of])[None]
        fresh = of >= start
        return add(total, (jnp.where(fresh[:, None] if rows else fresh[None], x, 0.0), of)), None

    return jax.lax.scan(step, begin, jnp.arange(0, length, BLOCK))[0]
