"""The force layout of Krug et al. 2023 (there "PSO"): units push each other apart until they fill a disc.

Positions p_i, T steps, x_t = linspace(-3, 6, T), tau(x) = (tanh x + 1) / 2, d_ij = max(|p_j - p_i|, 0.01):

    F_ij = 1/2 [ tau(x_t) (1.5 / (d_ij + 1)^3 - 15 exp(-d_ij / 2))  +  (1 - tau(x_t)) G_ij ]
    p_i <- p_i + 1/U sum_j F_ij (p_j - p_i)                                            all i at once

From a random start profiles decide first, G_ij = 1.5 (1 - (D_ij / D_max)^3) - 0.5 exp(-D_ij / 2) with D the distances
of profiles; from another layout G = 0. A step is some 20 U^2 operations, two of them transcendental, and is bound by
these; pairs are formed in blocks of rows and reduced at once, so memory is O(U) without D. The product
sum_j F_ij p_j - p_i sum_j F_ij would be a sixth faster, but it cancels.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.randomness import key_for

LONG, SHORT = 1000, 100  # published numbers of steps
NOISE = 1e-6  # of the short variant, per coordinate and step
BLOCK = 128  # rows of pairs formed at once


def force_layout(
    start: np.ndarray, *, steps: int = LONG, profile_distances: np.ndarray | None = None, seed: int | None = None
) -> np.ndarray:
    """Relax positions [U, 2]; they are scaled to the unit square before, the forces having an absolute length.

    Args:
        start: positions to begin with.
        steps: 1000 and 100 are the published variants. After 100 the layout has not converged.
        profile_distances: D [U, U], for a random start.
        seed: adds the noise of the short variant, N(0, 1e-6) per coordinate and step; without it units at one place
            stay together.

    Returns:
        Positions float64 [U, 2], not rescaled: 1000 steps spread them over some 80 units of length.
    """
    if steps < 1:
        raise ValueError("steps must be positive")
    attraction = None
    if profile_distances is not None:
        largest = max(float(np.max(profile_distances)), np.finfo(float).tiny)
        attraction = 1.5 * (1.0 - (profile_distances / largest) ** 3) - 0.5 * np.exp(-profile_distances / 2.0)
        attraction = jax.device_put(attraction.astype(np.float32))
    begin = unit_square(start)
    # Forces are mutual, so the centre rests; around 0, units that first contract keep their float32 digits.
    centre = begin.mean(axis=0)
    key = None if seed is None else key_for(seed, "force layout")
    moved = _relax(jax.device_put((begin - centre).astype(np.float32)), attraction, key, steps)
    return jax.device_get(moved).astype(np.float64) + centre


def unit_square(positions: np.ndarray) -> np.ndarray:
    """Positions [U, 2] scaled to [0, 1] per axis; an axis without extent becomes 0."""
    positions = np.asarray(positions, np.float64)
    low, span = positions.min(axis=0), np.ptp(positions, axis=0)
    return (positions - low) / np.where(span > 0, span, 1.0)


@partial(jax.jit, static_argnames="steps")
def _relax(start: jax.Array, attraction: jax.Array | None, key: jax.Array | None, steps: int) -> jax.Array:
    units = len(start)
    size = min(BLOCK, units)
    blocks = -(-units // size)
    pad = ((0, blocks * size - units), (0, 0))
    constant = None if attraction is None else jnp.pad(attraction, pad).reshape(blocks, size, units)

    def step(at: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        t, x = now
        local = (jnp.tanh(x) + 1.0) / 2.0

        def pull(rows: tuple[jax.Array, jax.Array | None]) -> jax.Array:
            mine, others = rows
            down, right = (at[None, :, i] - mine[:, i, None] for i in (0, 1))
            distance = jnp.maximum(jnp.sqrt(jnp.square(down) + jnp.square(right)), 0.01)
            near = 1.0 / (distance + 1.0)
            force = local * (1.5 * near * near * near - 15.0 * jnp.exp(-0.5 * distance))
            if others is not None:
                force += (1.0 - local) * others
            return jnp.stack([(force * down).sum(axis=1), (force * right).sum(axis=1)], axis=1)

        moved = jax.lax.map(pull, (jnp.pad(at, pad).reshape(blocks, size, 2), constant))
        at = at + 0.5 / units * moved.reshape(-1, 2)[:units]
        if key is not None:
            at = at + NOISE * jax.random.normal(jax.random.fold_in(key, t), at.shape)
        return at, None

    return jax.lax.scan(step, start, (jnp.arange(steps), jnp.linspace(-3.0, 6.0, steps)))[0]
