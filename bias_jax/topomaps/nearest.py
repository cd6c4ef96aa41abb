"""The nearest nodes of a map, in blocks of rows and of nodes that stay in a processor's cache.

Numbers of rows and nodes are arguments, not shapes: one program serves every layer of the same padded shape, and a
short table costs what its own blocks cost.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import matmul
from bias_jax.topomaps import shapes

BLOCK_ROWS, BLOCK_NODES = 256, 256  # of distances held at once


def nearest_nodes(x: np.ndarray, weights: np.ndarray, count: int = 1) -> np.ndarray:
    """Numbers of the `count` nearest of nodes [K, D] for each row of x [N, D], int32 [N, count]; ties: lowest first."""
    width = shapes.columns(x.shape[1])
    rows = jax.device_put(shapes.padded(x, shapes.doubled(len(x), shapes.ROWS), width))
    nodes = jax.device_put(shapes.padded(weights, shapes.doubled(len(weights), shapes.SIDE**2), width))
    sizes = jax.device_put((np.int32(len(x)), np.int32(len(weights))))
    return jax.device_get(search(rows, nodes, *sizes, count=count))[: len(x)]


@partial(jax.jit, static_argnames="count")
def search(x: jax.Array, weights: jax.Array, rows: jax.Array, nodes: jax.Array, count: int = 1) -> jax.Array:
    """The same for padded tables: the first `rows` of x [N, D] among the first `nodes` of weights [K, D].

    Padding of both is zero, N and K are multiples of the blocks; rows beyond give the number 0.
    """
    # |w|^2 - 2 x.w cancels, so both must be centred alike and the product exact.
    centre = weights.sum(axis=0, keepdims=True) / nodes.astype(jnp.float32)
    weights = weights - centre
    numbers = jnp.arange(len(weights), dtype=jnp.int32)
    lengths = jnp.where(numbers < nodes, jnp.square(weights).sum(axis=1), jnp.inf)[None]
    columns = weights.T  # A B^T is half as fast as A B on a processor

    def rows_from(block: jax.Array, found: jax.Array) -> jax.Array:
        mine = jax.lax.dynamic_slice_in_dim(x, block * BLOCK_ROWS, BLOCK_ROWS) - centre

        def nodes_from(block: jax.Array, best: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            here, length = (
                jax.lax.dynamic_slice_in_dim(a, block * BLOCK_NODES, BLOCK_NODES, axis=1) for a in (columns, lengths)
            )
            distance = length - 2.0 * matmul(mine, here)
            # Without the barrier the product is fused into every pass over it.
            distance = jax.lax.optimization_barrier(distance)
            number = block * BLOCK_NODES + jnp.arange(BLOCK_NODES, dtype=jnp.int32)
            new = _smallest(distance, jnp.broadcast_to(number[None], distance.shape), count)
            both = [jnp.concatenate(pair, axis=1) for pair in zip(best, new, strict=True)]
            return _smallest(both[0], both[1], count)

        nothing = jnp.full((BLOCK_ROWS, count), jnp.inf), jnp.full((BLOCK_ROWS, count), len(weights), jnp.int32)
        best = jax.lax.fori_loop(0, -(-nodes // BLOCK_NODES), nodes_from, nothing)[1]
        return jax.lax.dynamic_update_slice_in_dim(found, best, block * BLOCK_ROWS, 0)

    nothing = jnp.zeros((len(x), count), jnp.int32)
    return jax.lax.fori_loop(0, -(-rows // BLOCK_ROWS), rows_from, nothing)


def _smallest(distance: jax.Array, numbers: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The `count` smallest of each row, and their numbers; equal ones: lowest number first.

    Smallest value, then its lowest number: two passes that vectorise, twice as fast on a processor as argmin.
    """
    found = []
    for _ in range(count):
        low = distance.min(axis=1, keepdims=True)
        number = jnp.where(distance == low, numbers, np.iinfo(np.int32).max).min(axis=1, keepdims=True)
        found.append((low, number))
        if count > 1:
            distance = jnp.where(numbers == number, jnp.inf, distance)
    return jnp.concatenate([low for low, _ in found], axis=1), jnp.concatenate([number for _, number in found], axis=1)
