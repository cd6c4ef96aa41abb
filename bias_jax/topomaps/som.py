"""Self-organizing map by batch training (Kohonen 2013), jitted: every epoch is three matrix products.

    winners  = argmin over nodes of |w|^2 - 2 x.w                 one product  [N, D] x [D, K]
    sums     = segment sum of rows and counts over winners
    w'       = (H sums) / (H counts)                              one product  [K, K] x [K, D]

H is the neighbourhood between nodes. An epoch costs 2 N K D + 2 K^2 D operations.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp

from bias_jax.randomness import key_for

Decay = Literal["exponential", "asymptotic"]


@dataclass(frozen=True)
class FittedMap:
    """A trained map."""

    weights: jax.Array  # [rows, cols, D]

    def winners(self, x: jax.Array) -> jax.Array:
        """(row, column) of the nearest node of each row of x [N, D], int32 [N, 2]; ties go to the lowest index."""
        return _winners(x, self.weights)

    def quantization_error(self, x: jax.Array) -> float:
        """Mean Euclidean distance of x [N, D] to the nearest node."""
        return float(jax.device_get(_quantization_error(x, self.weights)))

    def topographic_error(self, x: jax.Array) -> float:
        """Share of rows of x [N, D] whose two nearest nodes are not among each other's eight neighbours."""
        return float(jax.device_get(_topographic_error(x, self.weights)))


@dataclass(frozen=True)
class SelfOrganizingMap:
    """Settings of a map on a rectangular grid with a Gaussian neighbourhood.

    The defaults give global order: the neighbourhood starts at half the grid and shrinks to half a node.
    MiniSom's ``train_batch_offline`` is ``decay="asymptotic"`` with its sigma and learning rate.
    """

    rows: int
    cols: int
    epochs: int = 50  # passes over the data
    sigma: float | None = None  # neighbourhood at the start, nodes; None: half the longer side
    sigma_end: float = 0.5  # neighbourhood in the last epoch (exponential decay only)
    learning_rate: float = 1.0  # share of the batch update that is taken; 1 is the textbook rule
    decay: Decay = "exponential"  # "asymptotic": sigma and rate both fall as p / (1 + 2 t / epochs)

    def fit(self, x: jax.Array, *, seed: int | None = None, weights: jax.Array | None = None) -> FittedMap:
        """Train on x [N, D], from given weights [rows, cols, D] or else from the plane of the two principal axes.

        Raises:
            ValueError: for values that are not finite, or neither or both of seed and weights.
        """
        x = jnp.asarray(x)
        if (seed is None) == (weights is None):
            raise ValueError("give either seed or weights")
        if not jax.device_get(all_finite(x)):
            raise ValueError("the data are not all finite")
        if weights is None:
            assert seed is not None
            weights = _principal_plane(x, key_for(seed, "som"), self.rows, self.cols)
        return FittedMap(_train(x, jnp.asarray(weights), self))


@jax.jit
def all_finite(x: jax.Array) -> jax.Array:
    """Whether no value is NaN or infinite; a NaN distance would win every search for the nearest node."""
    return jnp.isfinite(x).all()


@partial(jax.jit, static_argnames="settings")
def _train(x: jax.Array, weights: jax.Array, settings: SelfOrganizingMap) -> jax.Array:
    x = x.astype(jnp.float32)
    weights = weights.astype(jnp.float32).reshape(settings.rows * settings.cols, x.shape[1])
    nodes = settings.rows * settings.cols
    row, column = jnp.divmod(jnp.arange(nodes), settings.cols)
    distance2 = jnp.square(row[:, None] - row) + jnp.square(column[:, None] - column)
    start = settings.sigma if settings.sigma is not None else max(settings.rows, settings.cols) / 2.0

    def epoch(weights: jax.Array, t: jax.Array) -> tuple[jax.Array, None]:
        if settings.decay == "exponential":
            sigma = start * (settings.sigma_end / start) ** (t / max(settings.epochs - 1, 1))
            rate = jnp.float32(settings.learning_rate)
        else:
            fall = 1.0 + 2.0 * t / settings.epochs
            sigma, rate = start / fall, settings.learning_rate / fall
        (winners,) = _nearest(x, weights)
        sums = jax.ops.segment_sum(x, winners, nodes)
        counts = jax.ops.segment_sum(jnp.ones(len(x)), winners, nodes)
        neighbourhood = jnp.exp(-distance2 / (2.0 * jnp.square(sigma)))
        reach = jnp.matmul(neighbourhood, counts, precision="highest")[:, None]
        update = jnp.matmul(neighbourhood, sums, precision="highest") / jnp.where(reach > 0, reach, 1.0)
        return jnp.where(reach > 0, (1.0 - rate) * weights + rate * update, weights), None

    trained, _ = jax.lax.scan(epoch, weights, jnp.arange(settings.epochs, dtype=jnp.float32))
    return trained.reshape(settings.rows, settings.cols, -1)


@partial(jax.jit, static_argnames="count")
def _nearest(x: jax.Array, weights: jax.Array, count: int = 1) -> tuple[jax.Array, ...]:
    """Numbers of the `count` nearest nodes of each row, each int32 [N]."""
    flat = weights.reshape(-1, weights.shape[-1])
    # |w|^2 - 2 x.w cancels, so both must be centred alike and the product exact.
    centre = flat.mean(axis=0)
    flat = flat - centre
    distance = jnp.square(flat).sum(axis=1) - 2.0 * jnp.matmul(x - centre, flat.T, precision="highest")
    if count == 1:
        return (distance.argmin(axis=1).astype(jnp.int32),)
    return tuple(jax.lax.top_k(-distance, count)[1].T)


@jax.jit
def _winners(x: jax.Array, weights: jax.Array) -> jax.Array:
    (nodes,) = _nearest(x, weights)
    return jnp.stack(jnp.divmod(nodes, weights.shape[1]), axis=1)


@jax.jit
def _quantization_error(x: jax.Array, weights: jax.Array) -> jax.Array:
    (winners,) = _nearest(x, weights)
    return jnp.linalg.norm(x - weights.reshape(-1, weights.shape[-1])[winners], axis=1).mean()


@jax.jit
def _topographic_error(x: jax.Array, weights: jax.Array) -> jax.Array:
    cols = weights.shape[1]
    first, second = _nearest(x, weights, 2)
    steps = jnp.maximum(jnp.abs(first // cols - second // cols), jnp.abs(first % cols - second % cols))
    return (steps > 1).mean()


@partial(jax.jit, static_argnames=("rows", "cols"))
def _principal_plane(x: jax.Array, key: jax.Array, rows: int, cols: int) -> jax.Array:
    """Nodes on a grid in the plane of the two principal axes, two standard deviations wide on either side."""
    mean = x.mean(axis=0)
    centred = x - mean

    def multiply(axes: jax.Array, _: None) -> tuple[jax.Array, None]:  # subspace iteration
        product = jnp.matmul(centred.T, jnp.matmul(centred, axes, precision="highest"), precision="highest")
        return jnp.linalg.qr(product)[0], None

    axes, _ = jax.lax.scan(multiply, jax.random.normal(key, (x.shape[1], 2)), None, length=30)
    # The iteration leaves a sign open.
    strongest = jnp.abs(axes).argmax(axis=0)
    axes = axes * jnp.sign(axes[strongest, jnp.arange(2)])
    spread = jnp.matmul(centred, axes, precision="highest").std(axis=0)
    down, right = jnp.linspace(-2.0, 2.0, rows), jnp.linspace(-2.0, 2.0, cols)
    plane = down[:, None, None] * (spread[0] * axes[:, 0]) + right[None, :, None] * (spread[1] * axes[:, 1])
    return mean + plane
