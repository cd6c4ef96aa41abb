"""Points whose distances are those asked for, in as few coordinates as there are images."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

Distance = Literal["euclidean", "cosine", "precomputed"]


class Coordinates(NamedTuple):
    """Centred points; the squared distance of two is the sum of ``signs`` times their squared differences."""

    values: jax.Array  # float32 [N, R], R <= N
    signs: jax.Array  # float32 [R], +1, or -1 on the imaginary axes of a distance that no points in space have


def coordinates(features: jax.Array | ArrayLike, distance: Distance = "euclidean") -> Coordinates:
    """Coordinates for a distance between images.

    Args:
        features: [N, D] of any real type, on the device or not; distances [N, N] if `distance` is ``precomputed``.
        distance: ``euclidean``; ``cosine``, whose squared distance is 2 (1 - cos), images without length staying at
            the origin; or ``precomputed``: Gower's centring and an eigendecomposition in float64 on the host.

    Raises:
        ValueError: features that are no matrix, or a matrix that is not symmetric with zeros on its diagonal.
    """
    if np.ndim(features) != 2:
        raise ValueError(f"features must be a matrix [N, D], not {np.ndim(features)}-dimensional")
    if distance == "precomputed":
        return _from_distances(np.asarray(jax.device_get(features), np.float64))
    if distance not in ("euclidean", "cosine"):
        raise ValueError(f"unknown distance {distance!r}")
    if not isinstance(features, jax.Array):
        features = jax.device_put(np.asarray(features, np.float32))
    values = _reduced(features, distance == "cosine")
    return Coordinates(values, jax.device_put(np.ones(values.shape[1], np.float32)))


@jax.jit(static_argnames="cosine")
def _reduced(features: jax.Array, cosine: bool) -> jax.Array:
    """Centred features; where D > N, the triangular factor [N, N] of their transpose, which has the same products."""
    features = features.astype(jnp.float32)
    if cosine:
        length = jnp.linalg.norm(features, axis=1, keepdims=True)
        features = jnp.where(length > 0, features / jnp.where(length > 0, length, 1.0), 0.0)
    centred = features - features.mean(axis=0, keepdims=True)
    centred -= centred.mean(axis=0, keepdims=True)  # what rounding left of a large mean
    if centred.shape[1] <= centred.shape[0]:
        return centred
    return jnp.linalg.qr(centred.T, mode="r").T


def _from_distances(distances: np.ndarray) -> Coordinates:
    scale = np.abs(distances).max(initial=0.0)
    square = distances.shape[0] == distances.shape[1]
    if not square or not np.allclose(distances, distances.T, atol=1e-6 * scale) or np.diag(distances).any():
        raise ValueError("distances must be a symmetric matrix with zeros on its diagonal")
    inner = -0.5 * np.square(distances)
    inner = inner - inner.mean(axis=0) - inner.mean(axis=1, keepdims=True) + inner.mean()
    eigenvalues, vectors = np.linalg.eigh((inner + inner.T) / 2)
    values = vectors * np.sqrt(np.abs(eigenvalues))
    return Coordinates(*jax.device_put((values.astype(np.float32), np.sign(eigenvalues).astype(np.float32))))
