"""Self-organizing maps: settings, training of one or of many at once, and what a trained map tells."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.randomness import key_for
from bias_jax.topomaps.grid import (
    Decay,
    Neighbourhood,
    Topology,
    adjacency,
    check_choices,
    decayed,
    node_positions,
)
from bias_jax.topomaps.som_training import nearest, train_from, train_seeded


@dataclass(frozen=True)
class FittedMap:
    """A trained map."""

    weights: jax.Array  # [rows, cols, D]
    topology: Topology = "rectangular"

    def winners(self, x: jax.Array) -> jax.Array:
        """(row, column) of the nearest node of each row of x [N, D], int32 [N, 2]; ties go to the lowest index."""
        return _winners(x, self.weights)

    def transform(self, x: jax.Array) -> jax.Array:
        """Distances of x [N, D] to all nodes, float32 [N, rows, cols]."""
        return _distances(x, self.weights)

    def positions(self, x: jax.Array) -> np.ndarray:
        """Euclidean positions in the plane [N, 2] of the nearest nodes."""
        rows, cols, _ = self.weights.shape
        winners = jax.device_get(self.winners(x))
        return node_positions(rows, cols, self.topology)[winners[:, 0] * cols + winners[:, 1]]

    def hits(self, x: jax.Array) -> np.ndarray:
        """How many rows of x [N, D] are nearest to each node, int [rows, cols]."""
        found = np.zeros(self.weights.shape[:2], int)
        np.add.at(found, tuple(jax.device_get(self.winners(x)).T), 1)
        return found

    def u_matrix(self) -> np.ndarray:
        """Mean Euclidean distance of each node's weights to its neighbours', float32 [rows, cols]; 0 without any."""
        rows, cols, _ = self.weights.shape
        neighbours = jax.device_put(adjacency(rows, cols, self.topology))
        return jax.device_get(_u_matrix(self.weights, neighbours))

    def quantization_error(self, x: jax.Array) -> float:
        """Mean Euclidean distance of x [N, D] to the nearest node."""
        return float(jax.device_get(_quantization_error(x, self.weights)))

    def topographic_error(self, x: jax.Array) -> float:
        """Share of rows of x [N, D] whose two nearest nodes are not neighbours; NaN for a map of one node."""
        rows, cols, _ = self.weights.shape
        if rows * cols < 2:
            return math.nan
        first, second = jax.device_get(_two_nearest(x, self.weights)).T
        at = node_positions(rows, cols, self.topology)
        apart = np.sqrt(np.square(at[first] - at[second]).sum(axis=1))
        return float((apart > (1.01 if self.topology == "hexagonal" else 1.42)).mean())


@dataclass(frozen=True)
class SelfOrganizingMap:
    """Settings of a map.

    The defaults give global order: the neighbourhood starts at half the grid and shrinks to half a node.
    MiniSom's ``train_batch_offline`` is ``decay="asymptotic"`` with its sigma and learning rate, and its ``train``
    is ``training="online"`` besides.
    """

    rows: int
    cols: int
    epochs: int = 50  # passes over the data; the online rule makes epochs * N steps
    sigma: float | None = None  # neighbourhood at the start, nodes; None: half the longer side
    sigma_end: float = 0.5  # neighbourhood in the last epoch (exponential decay only)
    learning_rate: float = 1.0  # share of the update that is taken; 1 is the textbook batch rule
    decay: Decay = "exponential"  # how sigma and rate fall, see `grid.decayed`
    neighbourhood: Neighbourhood = "gaussian"
    topology: Topology = "rectangular"
    training: Literal["batch", "online"] = "batch"
    initial: Literal["plane", "sample"] = "plane"  # of the two principal axes, or rows drawn with replacement

    def __post_init__(self) -> None:
        check_choices(self.topology, self.neighbourhood, self.decay)
        if min(self.rows, self.cols, self.epochs) < 1:
            raise ValueError("rows, cols and epochs must be positive")
        if self.training not in ("batch", "online") or self.initial not in ("plane", "sample"):
            raise ValueError("training is batch or online, initial is plane or sample")
        if not (self.start > 0 and self.sigma_end > 0 and self.learning_rate > 0):
            raise ValueError("sigma, sigma_end and learning_rate must be positive")

    @property
    def start(self) -> float:
        """Neighbourhood at the start, in nodes."""
        return self.sigma if self.sigma is not None else max(self.rows, self.cols) / 2.0

    def at(self, t: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
        """Neighbourhood and learning rate at step t of `steps`."""
        return decayed(self.decay, t, steps, self.start, self.sigma_end, self.learning_rate)

    def fit(
        self,
        x: jax.Array,
        *,
        seed: int | None = None,
        weights: jax.Array | None = None,
        order: np.ndarray | None = None,
    ) -> FittedMap:
        """Train on x [N, D].

        Args:
            x: rows to place.
            seed: of initial weights and, for the online rule, of the order; the order of the rows does not matter.
            weights: initial weights [rows, cols, D], instead of a seed.
            order: row of each step of the online rule, int [T]; with weights only (default: 0 to N - 1, `epochs`
                times).

        Raises:
            ValueError: for no rows or values that are not finite; neither or both of seed and weights; weights of
                another shape; an order that does not fit.
        """
        x = _checked(x)
        if (seed is None) == (weights is None):
            raise ValueError("give either seed or weights")
        if order is not None and (self.training != "online" or weights is None):
            raise ValueError("an order is for online training from given weights")
        if weights is None:
            assert seed is not None
            trained = train_seeded([x], [key_for(seed, "som")], self)[0][0]
        else:
            weights = jnp.asarray(weights)
            if weights.shape != (self.rows, self.cols, x.shape[1]):
                raise ValueError(f"weights are {weights.shape}, not {(self.rows, self.cols, x.shape[1])}")
            if self.training == "online":
                steps = np.arange(self.epochs * len(x)) % len(x) if order is None else np.asarray(order)
                if steps.ndim != 1 or not len(steps) or steps.min() < 0 or steps.max() >= len(x):
                    raise ValueError("order must list rows of x")
                order = jax.device_put(steps.astype(np.int32))
            trained = train_from(x, weights, order, self)
        return FittedMap(trained, self.topology)

    def fit_seeds(self, x: Mapping[str, jax.Array], seeds: Sequence[int]) -> dict[str, tuple[FittedMap, ...]]:
        """Train every layer of x, all [N, D], for every seed, in one program: layer -> one map per seed.

        Each map equals that of `fit`, whatever it is trained together with.
        """
        if len({rows.shape for rows in x.values()}) > 1:
            raise ValueError("layers trained together must have one shape")
        maps = train_seeded([_checked(rows) for rows in x.values()], [key_for(seed, "som") for seed in seeds], self)
        return {
            layer: tuple(FittedMap(weights, self.topology) for weights in found)
            for layer, found in zip(x, maps, strict=True)
        }


def square_side(units: int) -> int:
    """Side of the square map on which U units are laid out: floor(sqrt(U)) + 1."""
    return math.isqrt(units) + 1


def published_som(units: int) -> SelfOrganizingMap:
    """The map of Krug et al. 2023: MiniSom's online rule, sigma 1, rate 0.5, asymptotic decay, 10 U random steps.

    So narrow a neighbourhood gives local but hardly global order.
    """
    side = square_side(units)
    return SelfOrganizingMap(
        side, side, epochs=10, sigma=1.0, learning_rate=0.5, decay="asymptotic", training="online", initial="sample"
    )


@jax.jit
def all_finite(x: jax.Array) -> jax.Array:
    """Whether no value is NaN or infinite; a NaN distance would win every search for the nearest node."""
    return jnp.isfinite(x).all()


def _checked(x: jax.Array) -> jax.Array:
    x = jnp.asarray(x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"the data must be [N, D] with N and D positive, not {x.shape}")
    if not jax.device_get(all_finite(x)):
        raise ValueError("the data are not all finite")
    return x


@jax.jit
def _winners(x: jax.Array, weights: jax.Array) -> jax.Array:
    nodes = nearest(x, weights.reshape(-1, weights.shape[-1]))[:, 0]
    return jnp.stack(jnp.divmod(nodes, weights.shape[1]), axis=1)


@jax.jit
def _distances(x: jax.Array, weights: jax.Array) -> jax.Array:
    flat = weights.reshape(-1, weights.shape[-1])
    rows = jax.lax.map(lambda row: jnp.linalg.norm(row - flat, axis=1), x.astype(jnp.float32))
    return rows.reshape(len(x), *weights.shape[:2])


@jax.jit
def _u_matrix(weights: jax.Array, neighbours: jax.Array) -> jax.Array:
    flat = weights.reshape(-1, weights.shape[-1])
    distances = jax.lax.map(lambda node: jnp.linalg.norm(node - flat, axis=1), flat)
    total = jnp.where(neighbours, distances, 0.0).sum(axis=1) / jnp.maximum(neighbours.sum(axis=1), 1)
    return total.reshape(weights.shape[:2])


@jax.jit
def _quantization_error(x: jax.Array, weights: jax.Array) -> jax.Array:
    flat = weights.reshape(-1, weights.shape[-1])
    return jnp.linalg.norm(x - flat[nearest(x, flat)[:, 0]], axis=1).mean()


@jax.jit
def _two_nearest(x: jax.Array, weights: jax.Array) -> jax.Array:
    return nearest(x, weights.reshape(-1, weights.shape[-1]), 2)
