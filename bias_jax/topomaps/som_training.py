"""How a self-organizing map learns: the batch rule and the online rule, each one compiled loop.

Batch (Kohonen 2013), per epoch:

    winners  = argmin over nodes of |w|^2 - 2 x.w            2 N K D operations
    sums     = segment sum of rows and counts over winners   N D
    w'       = (H sums) / (H counts)                         2 K (rows + cols) D on a rectangular grid

Online (Kohonen 1982), per step with one row x:  w <- w + rate * h(winner) * (x - w),  some 6 K D operations.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from bias_jax.topomaps.canonical import canonical_order
from bias_jax.topomaps.grid import influence, spread
from bias_jax.topomaps.principal import principal_axes

if TYPE_CHECKING:
    from bias_jax.topomaps.som import SelfOrganizingMap

BLOCK = 2**19  # distances held at once: few enough to stay in a processor's cache until the smallest is found


def nearest(x: jax.Array, weights: jax.Array, count: int = 1) -> jax.Array:
    """Numbers of the `count` nearest of nodes [K, D] for each row of x [N, D], int32 [N, count]; ties: lowest first."""
    # |w|^2 - 2 x.w cancels, so both must be centred alike and the product exact.
    centre = weights.mean(axis=0)
    weights = weights - centre
    lengths = jnp.square(weights).sum(axis=1)
    numbers = jnp.arange(len(weights), dtype=jnp.int32)

    def find(rows: jax.Array) -> jax.Array:
        distance = lengths - 2.0 * jnp.matmul(rows - centre, weights.T, precision="highest")
        if count > 1:
            return jax.lax.top_k(-distance, count)[1]
        # Smallest value, then its first place: two passes that vectorise, twice as fast on a processor as argmin.
        # Without the barrier the product is fused into both.
        distance = jax.lax.optimization_barrier(distance)
        return jnp.where(distance == distance.min(axis=1, keepdims=True), numbers, len(weights)).min(axis=1)[:, None]

    rows = max(BLOCK // len(weights), 1)
    if len(x) <= rows:
        return find(x)
    blocks = -(-len(x) // rows)
    padded = jnp.pad(x, ((0, blocks * rows - len(x)), (0, 0))).reshape(blocks, rows, -1)
    return jax.lax.map(find, padded).reshape(blocks * rows, count)[: len(x)]


def initial_weights(x: jax.Array, key: jax.Array, settings: "SelfOrganizingMap") -> jax.Array:
    """Weights [K, D] to begin with."""
    if settings.initial == "sample":
        return x[jax.random.randint(key, (settings.rows * settings.cols,), 0, len(x))]
    return _principal_plane(x, key, settings.rows, settings.cols)


@partial(jax.jit, static_argnames="settings")
def train_seeded(
    layers: Sequence[jax.Array], keys: Sequence[jax.Array], settings: "SelfOrganizingMap"
) -> list[list[jax.Array]]:
    """Maps of L layers for S seeds, all independent: weights [rows, cols, D] per layer and seed.

    The rows of each layer [N, D] are put into canonical order first, so the order in which they come does not matter.
    """

    def one(rows: jax.Array, key: jax.Array) -> jax.Array:
        start, shuffle = jax.random.split(key)
        weights = initial_weights(rows, start, settings)
        if settings.training == "batch":
            return _batch(rows, weights, settings)
        order = jnp.arange(settings.epochs * len(rows)) % len(rows)
        return _online(rows, weights, jax.random.permutation(shuffle, order), settings)

    def layer(rows: jax.Array) -> jax.Array:
        ordered = rows[canonical_order(rows)].astype(jnp.float32)
        return jax.lax.map(partial(one, ordered), jnp.stack(keys))

    # A loop, not vmap: a batched product rounds differently for other batch sizes, and one flipped winner changes
    # the map. Each step is a product large enough to fill the device.
    trained = jax.lax.map(layer, jnp.stack(layers))
    return [[weights.reshape(settings.rows, settings.cols, -1) for weights in found] for found in trained]


@partial(jax.jit, static_argnames="settings")
def train_from(x: jax.Array, weights: jax.Array, order: jax.Array | None, settings: "SelfOrganizingMap") -> jax.Array:
    """A map from given weights [rows, cols, D]; the online rule takes the rows of x [N, D] in the given order."""
    x, flat = x.astype(jnp.float32), weights.astype(jnp.float32).reshape(-1, x.shape[1])
    trained = _batch(x[canonical_order(x)], flat, settings) if order is None else _online(x, flat, order, settings)
    return trained.reshape(weights.shape)


def _batch(x: jax.Array, weights: jax.Array, settings: "SelfOrganizingMap") -> jax.Array:
    nodes = len(weights)
    counted = jnp.concatenate([x, jnp.ones((len(x), 1))], axis=1)

    def epoch(weights: jax.Array, t: jax.Array) -> tuple[jax.Array, None]:
        sigma, rate = settings.at(t, settings.epochs)
        sums = jax.ops.segment_sum(counted, nearest(x, weights)[:, 0], nodes)
        found = spread(sums, sigma, settings.rows, settings.cols, settings.topology, settings.neighbourhood)
        reach = found[:, -1:]
        update = found[:, :-1] / jnp.where(reach > 0, reach, 1.0)
        return jnp.where(reach > 0, (1.0 - rate) * weights + rate * update, weights), None

    return jax.lax.scan(epoch, weights, jnp.arange(settings.epochs, dtype=jnp.float32))[0]


def _online(x: jax.Array, weights: jax.Array, order: jax.Array, settings: "SelfOrganizingMap") -> jax.Array:
    steps = len(order)

    def step(weights: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        t, row = now
        sigma, rate = settings.at(t, steps)
        difference = x[row] - weights
        winner = jnp.square(difference).sum(axis=1).argmin()
        reach = influence(winner, sigma, settings.rows, settings.cols, settings.topology, settings.neighbourhood)
        return weights + (rate * reach)[:, None] * difference, None

    return jax.lax.scan(step, weights, (jnp.arange(steps, dtype=jnp.float32), order))[0]


def _principal_plane(x: jax.Array, key: jax.Array, rows: int, cols: int) -> jax.Array:
    """Nodes on a grid in the plane of the two principal axes, two standard deviations wide on either side."""
    mean, axes = x.mean(axis=0), principal_axes(x, key)
    width = jnp.matmul(x - mean, axes, precision="highest").std(axis=0)
    down, right = jnp.linspace(-2.0, 2.0, rows), jnp.linspace(-2.0, 2.0, cols)
    plane = down[:, None, None] * (width[0] * axes[:, 0]) + right[None, :, None] * (width[1] * axes[:, 1])
    return (mean + plane).reshape(rows * cols, -1)
