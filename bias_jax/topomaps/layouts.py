"""Where the units of a layer lie in the plane: every layout of Krug et al. 2023, seeded.

Whatever the method, units are put into canonical order first: permuted units get the same places.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax
import numpy as np

from bias_jax.randomness import stable_hash
from bias_jax.topomaps.canonical import canonical_order
from bias_jax.topomaps.distances import Metric, distances
from bias_jax.topomaps.force import LONG, SHORT, force_layout, unit_square
from bias_jax.topomaps.graph import spring_layout, threshold_graph
from bias_jax.topomaps.principal import principal_axes
from bias_jax.topomaps.som import FittedMap, SelfOrganizingMap, Table, checked, default_som

Method = Literal["random", "graph", "som", "pca", "tsne", "umap"]
Force = Literal["none", "long", "short"]
METHODS, FORCES = get_args(Method), get_args(Force)


def lay_out(
    units: Table,
    method: Method,
    *,
    forces: Sequence[Force] = ("none",),
    seed: int,
    metric: Metric = "cosine",
    from_distances: bool = False,
    som: SelfOrganizingMap | FittedMap | None = None,
) -> dict[Force, np.ndarray]:
    """Positions in the unit square, float64 [U, 2], of units [U, D]: force layout -> positions.

    Args:
        units: one row per unit.
        method: `tsne` needs scikit-learn, `umap` needs umap-learn.
        forces: `none` is the method's own layout; `long` (1000 steps) and `short` (100) spread the units over a disc
            afterwards. Long from a random start is the published PSO, in which profiles attract; elsewhere only
            nearness on the map counts.
        seed: of everything random.
        metric: of the graph and of the attraction in PSO.
        from_distances: give PCA, t-SNE and UMAP the rows of the distance matrix instead of the profiles, as the 2022
            release of the published code did.
        som: settings of the map, or one that was trained on these units (default: a square of floor(sqrt(U)) + 1 with
            the defaults of `SelfOrganizingMap`).

    Raises:
        ValueError: too few units for t-SNE or UMAP, values that are not finite, or a name that does not exist.
        ImportError: the extra is missing.
    """
    if method not in METHODS or not set(forces) <= set(FORCES):
        raise ValueError(f"{method!r} is none of {', '.join(METHODS)}, or {forces} are not all of {', '.join(FORCES)}")
    table = checked(units)
    order = canonical_order(table)
    rows = table[order]
    start = _place(rows, method, seed, metric, from_distances, som)
    back = np.argsort(order)
    return {force: _spread(start, rows, method, force, seed, metric)[back] for force in forces}


def som_layout(units: Table, *, seed: int, som: SelfOrganizingMap | None = None) -> tuple[np.ndarray, FittedMap]:
    """Lay out units [U, D] on a self-organizing map (default: `default_som`).

    Returns:
        Positions [U, 2] in the unit square, and the map.
    """
    fitted = (som or default_som(len(units))).fit(units, seed=seed)
    return som_positions(units, fitted), fitted


def som_positions(units: Table, fitted: FittedMap) -> np.ndarray:
    """Positions [U, 2] in the unit square of units [U, D] on a map.

    Units that share a node stand evenly on a circle of radius 1/5 node around it.
    """
    nodes = fitted.positions(units)
    order = canonical_order(jax.device_get(units))
    _, shared = np.unique(nodes, axis=0, return_inverse=True)
    for node in range(shared.max() + 1):
        members = order[shared[order] == node]
        if len(members) > 1:
            angle = 2.0 * np.pi * np.arange(len(members)) / len(members)
            nodes[members] += 0.2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return unit_square(nodes)


def _spread(
    positions: np.ndarray, rows: np.ndarray, method: Method, force: Force, seed: int, metric: Metric
) -> np.ndarray:
    if force == "none":
        return positions
    if force == "short":
        return unit_square(force_layout(positions, steps=SHORT, seed=seed))
    attracting = distances(rows, rows, metric) if method == "random" else None
    return unit_square(force_layout(positions, steps=LONG, profile_distances=attracting))


def _place(
    rows: np.ndarray,
    method: Method,
    seed: int,
    metric: Metric,
    from_distances: bool,
    som: SelfOrganizingMap | FittedMap | None,
) -> np.ndarray:
    rng = np.random.default_rng(stable_hash(seed, "layout", method))
    if method == "random":
        return unit_square(rng.uniform(size=(len(rows), 2)))
    if method == "som":
        if not isinstance(som, FittedMap):
            som = (som or default_som(len(rows))).fit(rows, seed=seed)
        return som_positions(rows, som)
    if method == "graph":
        edges = threshold_graph(distances(rows, rows, metric))
        return unit_square(spring_layout(edges, rng.uniform(size=(len(rows), 2))))
    profiles = distances(rows, rows, metric).astype(np.float32) if from_distances else rows
    if method == "pca":
        return unit_square((profiles - profiles.mean(axis=0)) @ principal_axes(profiles, rng, 100))
    return unit_square(_neighbour_embedding(profiles, method, int(rng.integers(2**31))))


def _neighbour_embedding(profiles: np.ndarray, method: Method, seed: int) -> np.ndarray:
    units = len(profiles)
    if min(units, profiles.shape[1]) < 4:
        raise ValueError(f"{method} needs at least 4 units and 4 values of each, not {profiles.shape}")
    embedding: Any
    if method == "tsne":
        from sklearn.manifold import TSNE

        embedding = TSNE(
            init="pca", learning_rate="auto", perplexity=min(30.0, (units - 1) / 3.0), random_state=seed, n_jobs=1
        )
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)  # it misses TensorFlow, for something not used here
            from umap import UMAP
        embedding = UMAP(n_components=2, n_neighbors=min(15, units - 1), random_state=seed, n_jobs=1)
    return embedding.fit_transform(profiles)
