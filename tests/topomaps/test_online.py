"""The online rule, grids, neighbourhoods and schedules against MiniSom; many maps at once against one by one."""

import jax
import numpy as np
import pytest

from bias_jax.topomaps import FittedMap, SelfOrganizingMap, published_som
from bias_jax.topomaps.nearest import nearest_nodes

MiniSom = pytest.importorskip("minisom").MiniSom
SCHEDULES = {
    "asymptotic": ("asymptotic_decay", "asymptotic_decay"),
    "linear": ("linear_decay_to_zero", "linear_decay_to_one"),
    "inverse": ("inverse_decay_to_zero", "inverse_decay_to_one"),
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    return (rng.standard_normal((300, 10)) * np.array([4.0, 2.0, *[1.0] * 8])).astype(np.float32) + 3.0


@pytest.mark.parametrize(("decay", "neighbourhood", "topology"), [
    ("asymptotic", "gaussian", "rectangular"),
    ("asymptotic", "bubble", "hexagonal"),
    ("linear", "bubble", "rectangular"),
    ("inverse", "gaussian", "hexagonal"),
])  # fmt: skip
def test_both_rules_equal_minisom(data, decay, neighbourhood, topology):
    rate, sigma = SCHEDULES[decay]
    som = MiniSom(6, 7, 10, sigma=3, learning_rate=0.5, decay_function=rate, sigma_decay_function=sigma,
                  neighborhood_function=neighbourhood, topology=topology, random_seed=2)  # fmt: skip
    som.random_weights_init(data)
    start = som.get_weights().copy()
    options = {"sigma": 3.0, "learning_rate": 0.5, "decay": decay, "neighbourhood": neighbourhood, "topology": topology}
    som.train(data, 1000)
    online = SelfOrganizingMap(6, 7, training="online", **options)
    fitted = online.fit(data, weights=start, order=np.arange(1000) % 300)
    np.testing.assert_allclose(fitted.weights, som.get_weights(), atol=1e-5)
    assert fitted.quantization_error(data) == pytest.approx(som.quantization_error(data), rel=1e-5)
    assert fitted.topographic_error(data) == pytest.approx(som.topographic_error(data), abs=1e-6)
    np.testing.assert_array_equal(fitted.hits(data), som.activation_response(data))
    u_matrix = fitted.u_matrix()
    np.testing.assert_allclose(u_matrix / u_matrix.max(), som.distance_map(scaling="mean"), atol=1e-5)
    distances = jax.device_get(fitted.transform(data[:5]))
    np.testing.assert_allclose(distances, [som.activate(x) for x in data[:5]], rtol=1e-5)
    som._weights = start.copy()
    som.train_batch_offline(data, 4)
    batch = SelfOrganizingMap(6, 7, epochs=4, **options).fit(data, weights=start)
    np.testing.assert_allclose(batch.weights, som.get_weights(), atol=1e-5)


@pytest.mark.parametrize("settings", [
    SelfOrganizingMap(6, 6, epochs=5),
    published_som(30),
], ids=["batch", "published"])  # fmt: skip
def test_order_and_company_do_not_matter(data, settings):
    """Permuted rows, other layers in the batch, other seeds beside: the same bits."""
    one = settings.fit(data, seed=3).weights
    assert (settings.fit(data[::-1], seed=3).weights == one).all()
    together = settings.fit_seeds({"a": data, "b": data**2, "c": data - 9.0}, seeds=(7, 3))
    assert (together["a"][1].weights == one).all()
    assert (together["b"][0].weights == settings.fit(data**2, seed=7).weights).all()


def test_published_preset_is_that_of_the_paper():
    settings = published_som(64)
    assert (settings.rows, settings.cols, settings.sigma, settings.learning_rate) == (9, 9, 1.0, 0.5)
    assert (settings.epochs, settings.training, settings.initial, settings.decay) == (
        10,
        "online",
        "sample",
        "asymptotic",
    )


@pytest.mark.parametrize(("rows", "cols", "units"), [(1, 1, 5), (1, 4, 1), (3, 2, 2)])
def test_small_maps(rows, cols, units, rng):
    x = rng.standard_normal((units, 3))  # float64 in, float32 inside
    fitted = SelfOrganizingMap(rows, cols, epochs=3).fit(x, seed=0)
    assert np.isfinite(fitted.weights).all() and fitted.hits(x).sum() == units
    assert np.isnan(fitted.topographic_error(x)) == (rows * cols == 1)
    assert np.isfinite(fitted.u_matrix()).all()


def test_long_tables_are_searched_in_blocks(rng):
    """More rows and nodes than a block holds; equal nodes in different blocks: the lowest."""
    x, nodes = rng.standard_normal((500, 4)).astype(np.float32), rng.standard_normal((20, 30, 4)).astype(np.float32)
    nodes[15:] = nodes[:5]
    apart = np.square(x[:, None].astype(float) - nodes.reshape(-1, 4)).sum(2)
    winners = FittedMap(nodes).winners(x)
    assert (winners[:, 0] * 30 + winners[:, 1] == apart.argmin(1)).all()
    np.testing.assert_array_equal(nearest_nodes(x, nodes.reshape(-1, 4), 2), np.argsort(apart, 1, "stable")[:, :2])


BAD = {
    "no topology": ({"topology": "round"}, {}, "is none of"),
    "no epochs": ({"epochs": 0}, {}, "must be positive"),
    "negative sigma": ({"sigma": -1.0}, {}, "must be positive"),
    "another rule": ({"training": "both"}, {}, "batch or online"),
    "weights of another shape": ({}, {"weights": np.zeros((2, 2, 10))}, "weights are"),
    "order for batch": ({}, {"seed": 0, "order": np.arange(3)}, "an order is for online"),
    "order beyond the rows": (
        {"training": "online"}, {"weights": np.zeros((3, 3, 10)), "order": np.array([300])}, "must list rows"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_refused(case, data):
    options, arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        SelfOrganizingMap(3, 3, **options).fit(data, **(arguments or {"seed": 0}))
