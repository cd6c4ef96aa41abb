"""The grid of a self-organizing map: where nodes lie, which are neighbours, how far an update reaches, how it shrinks.

Geometry and schedules are those of MiniSom 2.3, so that results can be compared number by number.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

Topology = Literal["rectangular", "hexagonal"]
Neighbourhood = Literal["gaussian", "bubble"]
Decay = Literal["exponential", "asymptotic", "linear", "inverse"]


def check_choices(topology: str, neighbourhood: str, decay: str) -> None:
    """Refuse names that do not exist.

    Raises:
        ValueError: naming the choices.
    """
    for kind, given in ((Topology, topology), (Neighbourhood, neighbourhood), (Decay, decay)):
        if given not in get_args(kind):
            raise ValueError(f"{given!r} is none of {', '.join(get_args(kind))}")


def node_positions(rows: int, cols: int, topology: Topology) -> np.ndarray:
    """Euclidean positions [K, 2] of the nodes, row by row; direct neighbours are at distance 1.

    On a hexagonal grid every second column, counted from the last, is moved up by half a node.
    """
    row, column = (a.ravel().astype(float) for a in np.indices((rows, cols)))
    if topology == "hexagonal":
        row -= 0.5 * ((cols - 1 - column) % 2 == 0)
        column *= np.sqrt(3.0) / 2.0
    return np.stack([row, column], axis=1)


def adjacency(rows: int, cols: int, topology: Topology) -> np.ndarray:
    """Which nodes are neighbours, bool [K, K]: eight on a rectangular grid, six on a hexagonal one."""
    at = node_positions(rows, cols, topology)
    distance = np.sqrt(np.square(at[:, None] - at).sum(axis=2))
    return (distance > 0) & (distance < (1.01 if topology == "hexagonal" else 1.42))


def influence(
    winner: jax.Array, sigma: jax.Array, rows: int, cols: int, topology: Topology, neighbourhood: Neighbourhood
) -> jax.Array:
    """How strongly each node is updated with the winner, float32 [..., K] for winners int32 [...].

    A bubble reaches the nodes fewer than sigma rows and columns away, on either grid.
    """
    if neighbourhood == "bubble":
        row, column = (jnp.asarray(a.ravel()) for a in np.indices((rows, cols)))
        rows_off, columns_off = jnp.abs(row - row[winner, None]), jnp.abs(column - column[winner, None])
        return ((rows_off < sigma) & (columns_off < sigma)).astype(jnp.float32)
    at = jnp.asarray(node_positions(rows, cols, topology), jnp.float32)
    return jnp.exp(-jnp.square(at - at[winner][..., None, :]).sum(axis=-1) / (2.0 * jnp.square(sigma)))


def spread(
    sums: jax.Array, sigma: jax.Array, rows: int, cols: int, topology: Topology, neighbourhood: Neighbourhood
) -> jax.Array:
    """Sums of the nodes [K, D], added up over each node's neighbourhood.

    A rectangular Gaussian and a bubble are products of a row and a column factor: 2 K (rows + cols) D operations
    instead of 2 K^2 D.
    """
    if topology == "hexagonal" and neighbourhood == "gaussian":
        every = influence(jnp.arange(rows * cols), sigma, rows, cols, topology, neighbourhood)
        return jnp.matmul(every, sums, precision="highest")

    def factor(size: int) -> jax.Array:
        return influence(jnp.arange(size), sigma, 1, size, "rectangular", neighbourhood)

    along = jnp.matmul(factor(cols), sums.reshape(rows, cols, -1), precision="highest")
    return jnp.matmul(factor(rows), along.reshape(rows, -1), precision="highest").reshape(rows * cols, -1)


def decayed(
    decay: Decay, t: jax.Array, steps: int, sigma: float, sigma_end: float, rate: float
) -> tuple[jax.Array, jax.Array]:
    """Neighbourhood and learning rate at step t of `steps`.

    exponential: sigma falls geometrically to sigma_end, the rate stays. asymptotic: both fall to a third. linear and
    inverse: sigma to 1 and the rate to 0, in a line or as a hyperbola.
    """
    if decay == "exponential":
        return sigma * (sigma_end / sigma) ** (t / max(steps - 1, 1)), jnp.full_like(t, rate)
    if decay == "asymptotic":
        fall = 1.0 + 2.0 * t / steps
        return sigma / fall, rate / fall
    if decay == "linear":
        return sigma + t * (1.0 - sigma) / steps, rate * (1.0 - t / steps)
    return sigma / (1.0 + t * (sigma - 1.0) / steps), rate / (1.0 + 100.0 * t / steps)
