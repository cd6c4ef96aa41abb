"""Layouts: the force layout against float64 NumPy, springs against networkx, all of them under permutation."""

import importlib.util

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.decomposition import PCA

from bias_jax.topomaps import METHODS, align, dendrogram_order, distances, force_layout, lay_out, rounded
from bias_jax.topomaps.force import unit_square
from bias_jax.topomaps.graph import spring_layout, threshold_graph

INSTALLED = [m for m in METHODS if m != "umap" or importlib.util.find_spec("umap")]


def oracle(positions, steps, profile_distances=None):
    """Section by section the published rule, in float64, with every pair in memory."""
    p = unit_square(positions)
    glob = 0.0
    if profile_distances is not None:
        scaled = profile_distances / profile_distances.max()
        glob = 1.5 * (1 - scaled**3) - 0.5 * np.exp(-profile_distances / 2)
    for x in np.linspace(-3, 6, steps):
        tau = (np.tanh(x) + 1) / 2
        delta = p[None, :, :] - p[:, None, :]
        d = np.maximum(np.sqrt((delta**2).sum(2)), 0.01)
        force = 0.5 * (tau * (1.5 / (d + 1) ** 3 - 15 * np.exp(-d / 2)) + (1 - tau) * glob)
        p = p + (force[:, :, None] * delta).sum(1) / len(p)
    return p


@pytest.mark.parametrize(("steps", "attracted"), [(100, False), (1000, False), (100, True)])
def test_force_layout_against_numpy(rng, steps, attracted):
    """150 units are no multiple of the block. Of an extent of 40 to 90, float32 and float64 differ by 1e-3."""
    start, profiles = rng.uniform(size=(150, 2)), rng.standard_normal((150, 5))
    apart = distances(profiles, profiles) if attracted else None
    found = force_layout(start, steps=steps, profile_distances=apart)
    expected = oracle(start, steps, apart)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.ptp(expected, axis=0).min() > 30 and np.ptp(expected, axis=0).max() < 100


def test_long_attraction_agrees_in_size_and_spacing(rng):
    """Units contract by orders of magnitude before they spread, so that roundings decide their places."""
    start, profiles = rng.uniform(size=(150, 2)), rng.standard_normal((150, 5))
    apart = distances(profiles, profiles)
    sizes = []
    for p in (force_layout(start, profile_distances=apart), oracle(start, 1000, apart)):
        between = np.linalg.norm(p[:, None] - p, axis=2) + np.diag(np.full(150, np.inf))
        sizes.append([np.sqrt(p.var(axis=0).sum()), between.min(axis=1).mean()])
    np.testing.assert_allclose(*sizes, rtol=0.05)
    near = [
        spearman(np.linalg.norm(p[:, None] - p, axis=2), apart)
        for p in (force_layout(start, profile_distances=apart), start)
    ]
    assert near[0] > 0.4 > 0.1 > abs(near[1])


def spearman(a, b):
    pairs = np.triu_indices(len(a), 1)
    return spearmanr(a[pairs], b[pairs]).statistic


def test_noise_separates_units_at_one_place():
    together = force_layout(np.zeros((3, 2)), steps=100)
    apart = force_layout(np.zeros((3, 2)), steps=100, seed=0)
    assert (together == 0).all()
    assert len(np.unique(apart.round(9), axis=0)) == 3
    np.testing.assert_array_equal(apart, force_layout(np.zeros((3, 2)), steps=100, seed=0))


def test_springs_against_networkx(rng):
    networkx = pytest.importorskip("networkx")
    x = rng.standard_normal((140, 6))
    edges = threshold_graph(distances(x, x))
    start = rng.uniform(size=(140, 2))
    expected = networkx.spring_layout(
        networkx.from_numpy_array(edges.astype(int)),
        pos=dict(enumerate(start)),
        scale=None,
        method="force",
        iterations=5,
    )
    np.testing.assert_allclose(spring_layout(edges, start, 5), np.stack(list(expected.values())), atol=1e-3)


def test_threshold_graph_joins_components(rng):
    from scipy.sparse.csgraph import connected_components

    far = 0.1 * rng.standard_normal((2, 5, 4)) + np.array([100, -100])[:, None, None]
    x = np.concatenate([rng.standard_normal((30, 4)), *far])
    apart = distances(x, x, "euclidean")
    edges = threshold_graph(apart)
    assert (edges == edges.T).all() and not edges.diagonal().any()
    assert connected_components(edges)[0] == 1
    bridge = edges[:30, 30:35]
    assert bridge.sum() == 1 and apart[:30, 30:35][bridge] == apart[:30, 30:35].min()


# Numba takes a minute to compile UMAP, whatever the number of units.
@pytest.mark.parametrize("method", [pytest.param(m, marks=pytest.mark.slow) if m == "umap" else m for m in INSTALLED])
def test_permuted_units_get_the_same_places(method, rng):
    units = rng.standard_normal((60, 12)).astype(np.float32) * np.linspace(3, 1, 12, dtype=np.float32)
    order = rng.permutation(60)
    forces = ("none", "long", "short")
    one = lay_out(units, method, forces=forces, seed=1)
    other = lay_out(units[order], method, forces=forces, seed=1)
    for force in forces:
        np.testing.assert_array_equal(one[force][order], other[force])
        assert one[force].min() == 0 and one[force].max() == 1
    if method in ("random", "graph"):
        assert np.abs(lay_out(units, method, seed=2)["none"] - one["none"]).max() > 0.1


def test_pca_against_scikit_learn(rng):
    units = (rng.standard_normal((200, 30)) * np.r_[5, 3, np.ones(28)]).astype(np.float32)
    expected = unit_square(PCA(2).fit_transform(units.astype(float)))
    found = lay_out(units, "pca", seed=0)["none"]
    for axis in range(2):
        flipped = min(expected[:, axis], 1 - expected[:, axis], key=lambda e: np.abs(e - found[:, axis]).max())
        np.testing.assert_allclose(found[:, axis], flipped, atol=1e-4)


@pytest.mark.parametrize(("method", "units"), [("random", 1), ("graph", 1), ("graph", 2), ("som", 1), ("pca", 2)])
def test_few_units_can_be_laid_out(method, units, rng):
    x = rng.standard_normal((units, 5)).astype(np.float32)
    for positions in lay_out(x, method, forces=("none", "short"), seed=0).values():
        assert positions.shape == (units, 2) and np.isfinite(positions).all()


def test_dead_units_share_no_neighbourhood_with_live_ones(rng):
    x = rng.standard_normal((6, 4))
    x[:2] = 0
    apart = distances(x, x)
    assert (apart[:2, :2] == 0).all() and (apart[:2, 2:] == 1).all()


def test_bad_layouts_are_refused(rng):
    with pytest.raises(ValueError, match="is none of"):
        lay_out(jnp.zeros((5, 5)), "swarm", seed=0)
    with pytest.raises(ValueError, match="finite"):
        lay_out(jnp.full((5, 5), jnp.nan), "pca", seed=0)
    with pytest.raises(ValueError, match="at least 4 units"):
        lay_out(jnp.zeros((3, 5)), "tsne", seed=0)


@pytest.mark.parametrize("mirror", [1, -1])
@pytest.mark.parametrize("degrees", [0, 90, 130])
def test_alignment_finds_the_turn(rng, degrees, mirror):
    disc = rng.standard_normal((60, 2))
    reference = unit_square(disc / (1 + np.linalg.norm(disc, axis=1, keepdims=True)))
    values = rng.standard_normal((30, 60))
    values[3] = np.nan  # a group without images
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    aligned = align(reference, (reference - 0.5) @ turn.T * [1, mirror], values, values, angles=72)
    np.testing.assert_allclose(aligned, reference, atol=0.1)


def test_dendrogram_order_keeps_clusters_together(rng):
    centres = rng.standard_normal((3, 20)) * 4
    cluster = np.array([0, 1, 2] * 4)
    values = centres[cluster] + rng.standard_normal((12, 20))
    values[5] = np.nan
    order = dendrogram_order(values)
    assert sorted(order) == list(range(12)) and order[-1] == 5
    assert (np.diff(cluster[order[:-1]]) != 0).sum() == 2
    assert list(dendrogram_order(values[:2])) == [0, 1]


def test_rounded_squares_lie_in_the_disc(rng):
    corners = rounded(np.array([[0, 0], [0.5, 0.5], [1, 0.5], [1, 1]]))
    np.testing.assert_allclose(np.hypot(*(corners - 0.5).T), [0.5, 0, 0.5, 0.5], atol=1e-12)
    assert np.hypot(*(rounded(rng.uniform(size=(1000, 2))) - 0.5).T).max() <= 0.5 + 1e-12
