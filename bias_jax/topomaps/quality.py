"""How well a layout keeps the neighbourhoods of the profiles, how topographic its maps are, how stable it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree, procrustes

from bias_jax.randomness import stable_hash
from bias_jax.topomaps import shapes
from bias_jax.topomaps.distances import distances

UNITS = 256  # least rows of Moran's I


class Neighbourhoods:
    """Measures of layouts of the same units [U, D]: distances of the profiles are worked out once."""

    def __init__(self, units: np.ndarray):
        self.of_profiles = distances(units, units, "euclidean")
        self.pairs = np.triu_indices(len(units), 1)
        self.ranks = _ranks(self.of_profiles[self.pairs])

    def trustworthiness(self, positions: np.ndarray, k: int) -> float:
        """1 when the k neighbours of every unit on the map are its k neighbours among the profiles.

        Venna & Kaski 2001, as in scikit-learn; positions [U, 2]. NaN unless k < U / 2.
        """
        return _agreement(distances(positions, positions, "euclidean"), self.of_profiles, k)

    def continuity(self, positions: np.ndarray, k: int) -> float:
        """The same with map and profiles exchanged: 1 when neighbours among the profiles are neighbours on the map."""
        return _agreement(self.of_profiles, distances(positions, positions, "euclidean"), k)

    def distance_correlation(self, positions: np.ndarray) -> float:
        """Spearman correlation of distances on the map and of profiles, over all pairs; NaN if one is constant."""
        on_map = _ranks(distances(positions, positions, "euclidean")[self.pairs])
        if len(on_map) < 2 or np.ptp(on_map) == 0 or np.ptp(self.ranks) == 0:
            return float("nan")
        return float(np.corrcoef(on_map, self.ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 1, ties have their mean."""
    from scipy.stats import rankdata  # takes a second to load, which every command would wait for

    return rankdata(values)


def _agreement(near: np.ndarray, other: np.ndarray, k: int) -> float:
    """1 minus the normalised excess ranks, in distances `other`, of the k neighbours by distances `near`."""
    units = len(near)
    if not 0 < k < units / 2:
        return float("nan")
    off_diagonal = near + np.diag(np.full(units, np.inf))
    neighbours = np.argpartition(off_diagonal, k - 1, axis=1)[:, :k]
    others = other + np.diag(np.full(units, np.inf))
    excess = 0
    for column in neighbours.T:  # rank = how many are nearer, plus 1
        rank = (others < others[np.arange(units), column][:, None]).sum(axis=1) + 1
        excess += int(np.maximum(rank - k, 0).sum())
    return 1.0 - 2.0 * excess / (units * k * (2 * units - 3 * k - 1))


@dataclass(frozen=True)
class SpatialAutocorrelation:
    """Moran's I of each group's map."""

    index: np.ndarray  # [G]; 1 like neighbours, about 0 no order; NaN for constant maps
    p_value: np.ndarray  # [G], one-sided, from permutations of the units: (1 + hits) / (1 + P)
    expected: float  # under no order, -1 / (U - 1)


def morans_i(
    positions: np.ndarray, values: np.ndarray, *, neighbours: int = 8, permutations: int = 199, seed: int
) -> SpatialAutocorrelation:
    """Moran's I of values [G, U] on positions [U, 2], with weight 1 on each unit's nearest neighbours.

    The permutations are the same for all groups. A step gathers U x neighbours rows of G values; units are padded to
    256, 512, 1024, ..., so that layers share a program: a padded row is zero and adds nothing.
    """
    units = values.shape[1]
    k = min(neighbours, units - 1)
    if k < 1:
        nothing = np.full(len(values), np.nan)
        return SpatialAutocorrelation(nothing, nothing, float("nan"))
    nearest = cKDTree(positions).query(positions, k + 1)[1]
    itself = nearest == np.arange(units)[:, None]
    itself[~itself.any(axis=1), -1] = True  # more units at one place than neighbours asked for
    nearest = nearest[~itself].reshape(units, k)
    centred = np.asarray(values, np.float64) - np.mean(values, axis=1, keepdims=True)
    length = np.sqrt(np.square(centred).sum(axis=1, keepdims=True))
    constant = length[:, 0] <= 1e-12 * np.abs(values).max(initial=1e-30)
    scaled = np.where(constant[:, None], 0.0, centred / np.where(constant[:, None], 1.0, length))
    padded = shapes.doubled(units, UNITS)
    rng = np.random.default_rng(stable_hash(seed, "Moran's I"))
    orders = np.zeros((permutations, padded), np.int32) + np.arange(padded, dtype=np.int32)
    orders[:, :units] = rng.permuted(orders[:, :units], axis=1)
    near = np.full((padded, k), padded - 1, np.int32)
    near[:units] = nearest
    z = shapes.padded(scaled.T, padded, len(scaled))
    found = jax.device_get(_moran(*jax.device_put((z, near, orders, np.float32(units)))))
    index, hits = (a.astype(np.float64) for a in found)
    p_value = (1.0 + hits) / (1.0 + permutations)
    undefined = np.where(constant, np.nan, 0.0)
    return SpatialAutocorrelation(index * units / k + undefined, p_value + undefined, -1.0 / (units - 1))


@jax.jit
def _moran(z: jax.Array, nearest: jax.Array, orders: jax.Array, units: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean product of neighbours [G] for z [U, G] of unit length, and how many orders [P, U] reach it (to 1e-6)."""

    def product(rows: jax.Array) -> jax.Array:
        lag = sum(rows[column] for column in nearest.T)
        return (rows * lag).sum(axis=0) / units

    def permuted(hits: jax.Array, order: jax.Array) -> tuple[jax.Array, None]:
        return hits + (product(z[order]) >= found - 1e-6 / units).astype(jnp.float32), None

    found = product(z)
    hits, _ = jax.lax.scan(permuted, jnp.zeros(found.shape), orders)
    return found, hits


def stability(layouts: Sequence[np.ndarray]) -> float:
    """Mean Procrustes disparity between pairs of layouts [U, 2] of the same units; NaN for fewer than two.

    0: equal up to shift, scale, rotation and reflection; about 1: nothing in common.
    """
    pairs = [(a, b) for i, a in enumerate(layouts) for b in layouts[:i]]
    if not pairs or any((np.ptp(layout, axis=0) == 0).all() for layout in layouts):
        return float("nan")
    return float(np.mean([procrustes(a, b)[2] for a, b in pairs]))
