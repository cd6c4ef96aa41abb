"""Self-organizing maps: settings, training of one or of many at once, and what a trained map tells."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import numpy as np
from scipy.spatial.distance import cdist

from bias_jax.randomness import stable_hash
from bias_jax.topomaps.canonical import canonical_order
from bias_jax.topomaps.grid import (
    Decay,
    Neighbourhood,
    Topology,
    adjacency,
    check_choices,
    decayed,
    node_positions,
)
from bias_jax.topomaps.nearest import nearest_nodes
from bias_jax.topomaps.som_training import initial_weights, train_batch, train_online

Table = jax.Array | np.ndarray
LARGEST = 1e15  # magnitude of data, and its inverse the smallest of the largest: float32 holds sums of their squares


@dataclass(frozen=True)
class FittedMap:
    """A trained map."""

    weights: np.ndarray  # float32 [rows, cols, D]
    topology: Topology = "rectangular"

    def winners(self, x: Table) -> np.ndarray:
        """(row, column) of the nearest node of each row of x [N, D], int32 [N, 2]; ties go to the lowest index."""
        return np.stack(np.divmod(self._nearest(x)[:, 0], self.weights.shape[1]), axis=1)

    def transform(self, x: Table) -> np.ndarray:
        """Distances of x [N, D] to all nodes, float32 [N, rows, cols]."""
        apart = cdist(jax.device_get(x), self._flat)
        return apart.reshape(-1, *self.weights.shape[:2]).astype(np.float32)

    def positions(self, x: Table) -> np.ndarray:
        """Euclidean positions in the plane [N, 2] of the nearest nodes."""
        rows, cols, _ = self.weights.shape
        return node_positions(rows, cols, self.topology)[self._nearest(x)[:, 0]]

    def hits(self, x: Table) -> np.ndarray:
        """How many rows of x [N, D] are nearest to each node, int [rows, cols]."""
        rows, cols, _ = self.weights.shape
        return np.bincount(self._nearest(x)[:, 0], minlength=rows * cols).reshape(rows, cols)

    def u_matrix(self) -> np.ndarray:
        """Mean Euclidean distance of each node's weights to its neighbours', float32 [rows, cols]; 0 without any."""
        rows, cols, _ = self.weights.shape
        neighbours = adjacency(rows, cols, self.topology)
        total = np.where(neighbours, cdist(self._flat, self._flat), 0.0).sum(axis=1)
        return (total / np.maximum(neighbours.sum(axis=1), 1)).reshape(rows, cols).astype(np.float32)

    def quantization_error(self, x: Table) -> float:
        """Mean Euclidean distance of x [N, D] to the nearest node."""
        apart = jax.device_get(x) - self._flat[self._nearest(x)[:, 0]]
        return float(np.linalg.norm(apart, axis=1).mean(dtype=np.float64))

    def topographic_error(self, x: Table) -> float:
        """Share of rows of x [N, D] whose two nearest nodes are not neighbours; NaN for a map of one node."""
        rows, cols, _ = self.weights.shape
        if rows * cols < 2:
            return math.nan
        first, second = self._nearest(x, 2).T
        at = node_positions(rows, cols, self.topology)
        apart = np.sqrt(np.square(at[first] - at[second]).sum(axis=1))
        return float((apart > (1.01 if self.topology == "hexagonal" else 1.42)).mean())

    @property
    def _flat(self) -> np.ndarray:
        return self.weights.reshape(-1, self.weights.shape[-1])

    def _nearest(self, x: Table, count: int = 1) -> np.ndarray:
        return nearest_nodes(jax.device_get(x), self._flat, count)


@dataclass(frozen=True)
class SelfOrganizingMap:
    """Settings of a map.

    The start is already ordered, in the plane of the two principal axes, so a neighbourhood of two nodes is enough to
    keep the order, and one of a fifth of a node at the end lets units have nodes of their own. With these defaults both
    errors are below those of MiniSom as it was published (`published_som`) for profiles with some ten to twenty
    directions, as those of layers are, from 64 to 2048 units. Where all directions are alike, i.e. for noise, the
    topographic error is lower but the quantization error up to 1.6 times as large: MiniSom starts from the rows
    themselves and hardly moves. A wider neighbourhood that ends at half a node gives smoother maps (topographic error
    0.05 instead of 0.15 to 0.3) whose nodes are far from the units (quantization error 1.5 times MiniSom's).

    MiniSom's ``train_batch_offline`` is ``decay="asymptotic"`` with its sigma and learning rate, and its ``train``
    is ``training="online"`` besides.
    """

    rows: int
    cols: int
    epochs: int = 10  # passes over the data; the online rule makes epochs * N steps
    sigma: float = 2.0  # neighbourhood at the start, nodes
    sigma_end: float = 0.2  # neighbourhood in the last epoch (exponential decay only)
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
        if not (self.sigma > 0 and self.sigma_end > 0 and self.learning_rate > 0):
            raise ValueError("sigma, sigma_end and learning_rate must be positive")

    def schedule(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Neighbourhood and learning rate at each of `steps` steps."""
        return decayed(self.decay, steps, self.sigma, self.sigma_end, self.learning_rate)

    def fit(
        self,
        x: Table,
        *,
        seed: int | None = None,
        weights: Table | None = None,
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

        >>> rows = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
        >>> fitted = SelfOrganizingMap(1, 3, sigma=1.0, sigma_end=0.1).fit(rows, seed=0)
        >>> int(fitted.hits(rows).sum()), bool(fitted.quantization_error(rows) < 1.0)
        (3, True)
        """
        table = checked(x)
        if (seed is None) == (weights is None):
            raise ValueError("give either seed or weights")
        if order is not None and (self.training != "online" or weights is None):
            raise ValueError("an order is for online training from given weights")
        if weights is None:
            assert seed is not None
            return self.fit_seeds({"": table}, [seed])[""][0]
        start = np.asarray(jax.device_get(weights), np.float32)
        if start.shape != (self.rows, self.cols, table.shape[1]):
            raise ValueError(f"weights are {start.shape}, not {(self.rows, self.cols, table.shape[1])}")
        start = start.reshape(-1, table.shape[1])
        if self.training == "batch":
            return self._fitted(jax.device_get(train_batch(table[canonical_order(table)], start, self)), table)
        steps = np.arange(self.epochs * len(table)) % len(table) if order is None else np.asarray(order)
        if steps.ndim != 1 or not len(steps) or steps.min() < 0 or steps.max() >= len(table):
            raise ValueError("order must list rows of x")
        return self._fitted(jax.device_get(train_online(table, start, steps, self)), table)

    def fit_seeds(self, x: Mapping[str, Table], seeds: Sequence[int]) -> dict[str, tuple[FittedMap, ...]]:
        """Train on every table of x [N, D] for every seed: its name -> one map per seed.

        Each map equals that of `fit`, whatever it is trained together with. The device goes on to the next without
        waiting; tables of all sizes that are padded alike share their compiled programs.
        """
        tables = {name: checked(rows) for name, rows in x.items()}
        trained = {}
        for name, table in tables.items():
            rows = table[canonical_order(table)]
            trained[name] = [self._train(rows, np.random.default_rng(stable_hash(seed, "som"))) for seed in seeds]
        return {
            name: tuple(self._fitted(weights, tables[name]) for weights in found)
            for name, found in jax.device_get(trained).items()
        }

    def _train(self, rows: np.ndarray, rng: np.random.Generator) -> jax.Array:
        weights = initial_weights(rows, rng, self)
        if self.training == "batch":
            return train_batch(rows, weights, self)
        return train_online(rows, weights, rng.permutation(np.arange(self.epochs * len(rows)) % len(rows)), self)

    def _fitted(self, padded: np.ndarray, table: np.ndarray) -> FittedMap:
        weights = padded[: self.rows * self.cols, : table.shape[1]]
        return FittedMap(weights.reshape(self.rows, self.cols, -1), self.topology)


def square_side(units: int) -> int:
    """Side of the square map on which U units are laid out: floor(sqrt(U)) + 1.

    >>> square_side(64), square_side(80)
    (9, 9)
    """
    return math.isqrt(units) + 1


def default_som(units: int) -> SelfOrganizingMap:
    """The map on which U units are laid out unless another is asked for: a square one with the default settings."""
    side = square_side(units)
    return SelfOrganizingMap(side, side)


def published_som(units: int) -> SelfOrganizingMap:
    """The map of Krug et al. 2023: MiniSom's online rule, sigma 1, rate 0.5, asymptotic decay, 10 U random steps.

    So narrow a neighbourhood gives local but hardly global order.
    """
    side = square_side(units)
    return SelfOrganizingMap(
        side, side, epochs=10, sigma=1.0, learning_rate=0.5, decay="asymptotic", training="online", initial="sample"
    )


def checked(x: Table) -> np.ndarray:
    """A table [N, D] as it is trained on: on the host, float32.

    Raises:
        ValueError: for no rows or columns; values that are not finite, as a NaN distance would win every search, or so
            large or small that float32 cannot hold sums of their squares.
    """
    found = np.asarray(jax.device_get(x), np.float32)
    if found.ndim != 2 or 0 in found.shape:
        raise ValueError(f"the data must be [N, D] with N and D positive, not {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError("the data are not all finite")
    largest = float(np.abs(found).max())
    if largest > LARGEST or 0.0 < largest < 1.0 / LARGEST:
        raise ValueError(f"the largest magnitude of the data is {largest:.1e}: scale them to one near 1")
    return found
