"""Erasers without the axes of the features: one Cholesky factor of their covariance, for all targets at once.

Of the covariance S of N images, shrunk to T = a S + b I = L L', and the features' covariances M with the labels, LEACE
needs only what spans L^-1 M, the columns Q: with any root of T in the place of the symmetric one it is the same map,

    left = L Q        right = L'^-1 Q        x -> x - left right' (x - mean)

because two roots of a covariance differ by a rotation of the whitened space. A factor takes D^3 / 3 multiplications and
solutions D^2 for each class, where eigenvectors take some 9 D^3. It loses digits as T becomes singular, so it is for
shrunk covariances: b is at least the share 1 / N of the mean variance, so that the condition of T is N D at most.
"""

from collections.abc import Mapping
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from bias_jax.arithmetic import matmul
from bias_jax.erasure.eraser import Eraser
from bias_jax.erasure.spectrum import over_blocks

CONDITION = 1e8  # at most: solutions lose so many of float64's 16 digits
LEAST = 1e-7  # correlation of a direction with the labels, as a share of the largest one, that is rounding


def solved_erasers(features: jax.Array, indicators: Mapping[str, np.ndarray]) -> dict[str, Eraser] | None:
    """Erasers with shrinkage, or None where the covariance is too near to a singular one; under ``jax.enable_x64``.

    Args:
        features: [N, D], finite, D at most N.
        indicators: name -> centred one-hot labels, float64 [N, C].
    """
    images, width = features.shape
    columns = jax.device_put(np.concatenate(list(indicators.values()), axis=1))
    mean, covariance, products = _covariances(features, columns)
    trace, square = (float(part) for part in jax.device_get((jnp.trace(covariance), jnp.square(covariance).sum())))
    share, level = linear_shrinkage(trace, square, width, images)
    if not level * CONDITION > share * trace:
        return None
    root, whitened = _whiten(covariance, products, *jax.device_put((np.float64(share), np.float64(level))))
    places = np.cumsum([0, *(part.shape[1] for part in indicators.values())])
    spread = np.asarray(jax.device_get(whitened))
    bases = [spanned(spread[:, a:b]) for a, b in pairwise(places)]
    back = _back(covariance, root, jax.device_put(np.concatenate(bases, axis=1)))
    centre, left, right, own, seen = (np.asarray(part) for part in jax.device_get((mean, *back)))
    found, start = {}, 0
    for name, basis in zip(indicators, bases, strict=True):
        of = slice(start, start := start + basis.shape[1])
        removed = float((own[of, of] * seen[of, of]).sum() / trace)
        found[name] = Eraser(centre, left[:, of].copy(), right[:, of].copy(), removed)
    return found


def linear_shrinkage(trace: float, square: float, width: int, images: int) -> tuple[float, float]:
    """(a, b) for which a S + b I is nearest to the true covariance, by Bodnar, Gupta & Parolya 2014.

    Args:
        trace: of the sample covariance S, the sum of its eigenvalues.
        square: the sum of their squares.
        width: dimensions D.
        images: N.
    """
    spread = square - trace**2 / width  # 0 where all directions vary alike
    if spread <= 1e-12 * square:
        return 0.0, trace / width
    share = min(max(1.0 - trace**2 / images / spread, 0.0), 1.0)
    return share, (1.0 - share) * trace / width


def spanned(columns: np.ndarray) -> np.ndarray:
    """Orthonormal basis [m, r] of what columns [m, C] span."""
    vectors, triangle, _ = scipy.linalg.qr(columns, mode="economic", pivoting=True, check_finite=False)
    lengths = np.abs(np.diagonal(triangle))  # descending; what is left of each column beside those before
    return np.asarray(vectors[:, lengths > max(LEAST * lengths.max(initial=0.0), np.finfo(np.float64).tiny)])


@jax.jit
def _covariances(features: jax.Array, columns: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mean [D], covariance [D, D], and covariances with the columns [D, C], both over N - 1."""
    images, width = features.shape
    mean = features.mean(axis=0, dtype=jnp.float64)

    def add(total: jax.Array, block: tuple[jax.Array, jax.Array]) -> jax.Array:
        x, of = block
        return total + matmul(x.T, jnp.concatenate([x, columns[of]], axis=1))

    begin = jnp.zeros((width, width + columns.shape[1]), jnp.float64)
    both = over_blocks(add, begin, features, mean, rows=True) / (images - 1)
    return mean, both[:, :width], both[:, width:]


@jax.jit
def _whiten(
    covariance: jax.Array, products: jax.Array, share: jax.Array, level: jax.Array
) -> tuple[jax.Array, jax.Array]:
    root = jnp.linalg.cholesky(share * covariance + level * jnp.eye(len(covariance)))
    return root, jax.scipy.linalg.solve_triangular(root, products, lower=True)


@jax.jit
def _back(covariance: jax.Array, root: jax.Array, basis: jax.Array) -> tuple[jax.Array, ...]:
    """Left and right [D, R], and what the share of the variance that they take is made of, both [R, R]."""
    left, right = matmul(root, basis), jax.scipy.linalg.solve_triangular(root, basis, trans=1, lower=True)
    return left, right, matmul(left.T, left), matmul(right.T, matmul(covariance, right))
