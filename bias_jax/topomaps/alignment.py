"""Turning a layer's map so that units with like profiles lie where those of a reference layer lie.

The score of Krug et al. 2023: mean over pairs of a reference and a target unit of (nearness on the map) x (likeness of
the profiles), where nearness is sqrt(2) - distance, and 0 below its median over all rotations and pairs. One rotation
is looked at after another, so memory is that of one table of pairs. Two departures: reflections are tried as well, and
likeness is taken minus its mean. Without that, turns that draw all units together score high whatever their profiles:
a copy of the reference was turned away from itself.
"""

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.topomaps.force import unit_square

BINS = 4096  # of the histogram in which the median is found: to 3.5e-4 of a map's side


def align(
    reference: np.ndarray, target: np.ndarray, reference_values: np.ndarray, values: np.ndarray, *, angles: int = 360
) -> np.ndarray:
    """The best of `angles` rotations, with and without reflection, of a target layout.

    Args:
        reference: positions of the reference layer in the unit square [U1, 2].
        target: positions to turn [U2, 2].
        reference_values: group values of the reference layer's units [G, U1]; NaN for groups without images.
        values: the same of the target's [G, U2].
        angles: rotations tried, evenly over the circle.

    Returns:
        Turned positions in the unit square [U2, 2].
    """
    both = np.isfinite(reference_values).all(axis=1) & np.isfinite(values).all(axis=1)
    scaled = []
    for found in (reference_values[both].T, values[both].T):
        length = np.linalg.norm(found, axis=1, keepdims=True)
        scaled.append(found / np.where(length > 0, length, 1.0))
    apart = np.sqrt(np.maximum(2.0 - 2.0 * scaled[0] @ scaled[1].T, 0.0))
    likeness = (apart.mean() - apart).astype(np.float32)  # the largest distance, minus it, cancels
    centred = unit_square(target) - 0.5
    turned = []
    for mirror in (1.0, -1.0):
        for angle in 2.0 * np.pi * np.arange(angles) / angles:
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            turned.append(unit_square(centred * [1.0, mirror] @ turn.T))
    candidates = np.stack(turned)
    arrays = jax.device_put((reference.astype(np.float32), candidates.astype(np.float32), likeness))
    return candidates[int(jax.device_get(_best(*arrays)))]


@jax.jit
def _best(reference: jax.Array, candidates: jax.Array, likeness: jax.Array) -> jax.Array:
    def nearness(candidate: jax.Array) -> jax.Array:
        down, right = (reference[:, i, None] - candidate[None, :, i] for i in (0, 1))
        return jnp.maximum(np.sqrt(2.0) - jnp.sqrt(jnp.square(down) + jnp.square(right)), 0.0)

    def count(counts: jax.Array, candidate: jax.Array) -> tuple[jax.Array, None]:
        bins = (nearness(candidate) * (BINS / np.sqrt(2.0))).astype(jnp.int32).ravel()
        return counts + jnp.bincount(jnp.minimum(bins, BINS - 1), length=BINS).astype(jnp.float32), None

    counts, _ = jax.lax.scan(count, jnp.zeros(BINS, jnp.float32), candidates)
    median = jnp.argmax(jnp.cumsum(counts / counts.sum()) >= 0.5).astype(jnp.float32) * (np.sqrt(2.0) / BINS)

    def score(candidate: jax.Array) -> jax.Array:
        near = nearness(candidate)
        return (jnp.where(near >= median, near, 0.0) * likeness).mean()

    return jax.lax.map(score, candidates).argmax()
