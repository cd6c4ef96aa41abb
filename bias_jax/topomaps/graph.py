"""Graph layout: similar units are joined by springs, all push each other apart (Fruchterman & Reingold 1991).

Edges join units whose distance lies below the 7.5th percentile of all pairs; each smaller component is joined to the
largest by its closest pair (Krug et al. 2023). The rule and constants of the layout are those of networkx.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse.csgraph import connected_components

PERCENTILE = 7.5
ITERATIONS = 50
BLOCK = 128  # rows of pairs formed at once


def threshold_graph(distances: np.ndarray) -> np.ndarray:
    """Adjacency of a connected graph, bool [U, U], from distances [U, U]."""
    units = len(distances)
    if units < 2:
        return np.zeros((units, units), bool)
    edges = distances < np.percentile(distances[np.triu_indices(units, 1)], PERCENTILE)
    np.fill_diagonal(edges, False)
    count, component = connected_components(edges, directed=False)
    largest = np.bincount(component).argmax()
    inside = np.flatnonzero(component == largest)
    for other in range(count):
        if other != largest:
            members = np.flatnonzero(component == other)
            between = distances[np.ix_(members, inside)]
            a, b = np.unravel_index(between.argmin(), between.shape)
            edges[members[a], inside[b]] = edges[inside[b], members[a]] = True
    return edges


def spring_layout(edges: np.ndarray, start: np.ndarray, iterations: int = ITERATIONS) -> np.ndarray:
    """Positions [U, 2] after Fruchterman-Reingold from a start [U, 2]; not rescaled."""
    arrays = jax.device_put((edges.astype(bool), start.astype(np.float32)))
    return jax.device_get(_springs(*arrays, iterations)).astype(np.float64)


@partial(jax.jit, static_argnames="iterations")
def _springs(edges: jax.Array, start: jax.Array, iterations: int) -> jax.Array:
    units = len(start)
    length = 1.0 / jnp.sqrt(units)  # the natural distance k
    size = min(BLOCK, units)
    blocks = -(-units // size)
    pad = ((0, blocks * size - units), (0, 0))
    joined = jnp.pad(edges, pad).reshape(blocks, size, units)
    hottest = jnp.ptp(start, axis=0).max() * 0.1

    def iterate(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        at, t, _ = state
        heat = hottest * (1.0 - t / (iterations + 1))

        def push(rows: tuple[jax.Array, jax.Array]) -> jax.Array:
            mine, springs = rows
            down, right = (mine[:, i, None] - at[None, :, i] for i in (0, 1))
            distance = jnp.maximum(jnp.sqrt(jnp.square(down) + jnp.square(right)), 0.01)
            force = jnp.square(length / distance) - jnp.where(springs, distance / length, 0.0)
            return jnp.stack([(force * down).sum(axis=1), (force * right).sum(axis=1)], axis=1)

        pushed = jax.lax.map(push, (jnp.pad(at, pad).reshape(blocks, size, 2), joined))
        moved = pushed.reshape(-1, 2)[:units]
        moved = heat * moved / jnp.maximum(jnp.linalg.norm(moved, axis=1, keepdims=True), 0.01)
        return at + moved, t + 1, jnp.linalg.norm(moved) / units

    def unfinished(state: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        return (state[1] < iterations) & (state[2] >= 1e-4)

    return jax.lax.while_loop(unfinished, iterate, (start, jnp.int32(0), jnp.float32(jnp.inf)))[0]
