"""How a self-organizing map learns: the batch rule and the online rule.

Batch (Kohonen 2013), per epoch:

    winners  = argmin over nodes of |w|^2 - 2 x.w            2 N K D operations
    sums     = segment sum of rows and counts over winners   N D
    w'       = (H sums) / (H counts)                         2 K (rows + cols) D on a rectangular grid

Online (Kohonen 1982), per step with one row x:  w <- w + rate * h(winner) * (x - w),  some 6 K D operations.

An epoch is two compiled programs, the search and the update, which serve all maps of the same padded shapes. What is
short to do and long to compile (order of the rows, weights to begin with, schedules) is done on the host.
"""

from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import matmul
from bias_jax.topomaps import shapes
from bias_jax.topomaps.grid import Neighbourhood, influence, node_positions
from bias_jax.topomaps.nearest import search
from bias_jax.topomaps.principal import principal_axes

if TYPE_CHECKING:
    from bias_jax.topomaps.som import SelfOrganizingMap


def initial_weights(x: np.ndarray, rng: np.random.Generator, settings: "SelfOrganizingMap") -> np.ndarray:
    """Weights [K, D] to begin with."""
    if settings.initial == "sample":
        return x[rng.integers(0, len(x), settings.rows * settings.cols)]
    return _principal_plane(x, rng, settings.rows, settings.cols)


def train_batch(x: np.ndarray, weights: np.ndarray, settings: "SelfOrganizingMap") -> jax.Array:
    """Weights after `epochs` passes over x [N, D] from given weights [K, D], float32 padded at the end of both axes.

    Returns at once; the device may still be at work.
    """
    nodes, width = len(weights), shapes.columns(x.shape[1])
    table = jax.device_put(shapes.padded(x, shapes.doubled(len(x), shapes.ROWS), width))
    found = jax.device_put(shapes.padded(weights, shapes.doubled(nodes, shapes.SIDE**2), width))
    sizes = jax.device_put((np.int32(len(x)), np.int32(nodes)))
    places = jax.device_put(_places(nodes, settings.rows, settings.cols))
    epochs = [
        (_factors(s, settings), np.float32(rate)) for s, rate in zip(*settings.schedule(settings.epochs), strict=True)
    ]
    for factors, rate in jax.device_put(epochs):
        found = _update(table, search(table, found, *sizes), found, sizes[0], places, factors, rate)
    return found


def _places(nodes: int, rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    """Which node lies at each place of the padded grid, int32 [R, C], and at which place each node, int32 [K].

    Places without a node name one node more than there are, whose sums are zero; padded nodes a place that is not.
    """
    padded = shapes.doubled(nodes, shapes.SIDE**2)
    at = np.full([shapes.doubled(size, shapes.SIDE) for size in (rows, cols)], padded, np.int32)
    at[:rows, :cols] = np.arange(nodes).reshape(rows, cols)
    back = np.full(padded, at.size, np.int32)
    back[:nodes] = np.flatnonzero(at.ravel() < padded)
    return at, back


def _factors(sigma: float, settings: "SelfOrganizingMap") -> tuple[np.ndarray, ...]:
    """The neighbourhood as matrices, padded with zeros.

    A rectangular Gaussian and a bubble are products of a row and a column factor: 2 K (rows + cols) D operations
    instead of 2 K^2 D.
    """
    if settings.topology == "hexagonal" and settings.neighbourhood == "gaussian":
        at = node_positions(settings.rows, settings.cols, settings.topology)
        padded = shapes.doubled(len(at), shapes.SIDE**2)
        return (shapes.padded(influence(at[:, None] - at, sigma, settings.neighbourhood), padded, padded),)
    found = []
    for size in (settings.rows, settings.cols):
        apart = np.subtract.outer(np.arange(size), np.arange(size))[..., None]
        padded = shapes.doubled(size, shapes.SIDE)
        found.append(shapes.padded(influence(apart, sigma, settings.neighbourhood), padded, padded))
    return tuple(found)


@jax.jit
def _update(
    x: jax.Array,
    winners: jax.Array,
    weights: jax.Array,
    rows: jax.Array,
    places: tuple[jax.Array, jax.Array],
    factors: tuple[jax.Array, ...],
    rate: jax.Array,
) -> jax.Array:
    """The batch rule for padded tables, of x [N, D] with winners [N, 1] among weights [K, D]."""
    at, back = places
    nodes = len(weights)
    counted = jnp.concatenate([x, jnp.ones((len(x), 1))], axis=1)
    winner = jnp.where(jnp.arange(len(x)) < rows, winners[:, 0], nodes)  # of padding: a node too many
    sums = jax.ops.segment_sum(counted, winner, nodes + 1).at[nodes].set(0.0)
    if len(factors) == 1:
        found = matmul(factors[0], sums[:-1])
    else:
        down, right = at.shape
        along = matmul(jnp.broadcast_to(factors[1][None], (down, right, right)), sums[at])
        found = matmul(factors[0], along.reshape(down, -1)).reshape(down * right, -1)
        found = found.at[back].get(mode="fill", fill_value=0.0)  # padding stays zero
    reach = found[:, -1:]
    update = found[:, :-1] / jnp.where(reach > 0, reach, 1.0)
    return jnp.where(reach > 0, (1.0 - rate) * weights + rate * update, weights)


def train_online(x: np.ndarray, weights: np.ndarray, order: np.ndarray, settings: "SelfOrganizingMap") -> jax.Array:
    """Weights [K, D] after one step for each row of x [N, D] in the given order, int [T].

    Not padded: every step would cost what the padded map costs.
    """
    at = node_positions(settings.rows, settings.cols, settings.topology)
    if settings.neighbourhood == "bubble":
        at = node_positions(settings.rows, settings.cols, "rectangular")
    sigma, rate = (a.astype(np.float32) for a in settings.schedule(len(order)))
    arrays = (x, weights, at.astype(np.float32), order.astype(np.int32), sigma, rate)
    return _online(*jax.device_put(arrays), settings.neighbourhood)


@partial(jax.jit, static_argnames="neighbourhood")
def _online(
    x: jax.Array,
    weights: jax.Array,
    at: jax.Array,
    order: jax.Array,
    sigma: jax.Array,
    rate: jax.Array,
    neighbourhood: Neighbourhood,
) -> jax.Array:
    def step(weights: jax.Array, now: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        row, sigma, rate = now
        difference = x[row][None] - weights
        winner = jnp.square(difference).sum(axis=1).argmin()
        reach = influence(at - at[winner][None], sigma, neighbourhood, jnp)
        return weights + (rate * reach)[:, None] * difference, None

    return jax.lax.scan(step, weights, (order, sigma, rate))[0]


def _principal_plane(x: np.ndarray, rng: np.random.Generator, rows: int, cols: int) -> np.ndarray:
    """Nodes on a grid in the plane of the two principal axes, two standard deviations wide on either side."""
    mean, axes = x.mean(axis=0), principal_axes(x, rng)
    width = ((x - mean) @ axes).std(axis=0)
    down, right = (np.linspace(-2.0, 2.0, size, dtype=np.float32)[:, None] for size in (rows, cols))
    plane = (down * (width[0] * axes[:, 0]))[:, None] + (right * (width[1] * axes[:, 1]))[None]
    return (mean + plane).reshape(rows * cols, -1)
