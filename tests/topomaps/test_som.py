import jax
import numpy as np
import pytest

from bias_jax.topomaps import SelfOrganizingMap

MiniSom = pytest.importorskip("minisom").MiniSom


@pytest.fixture
def data(rng):
    return (rng.standard_normal((400, 12)) * np.array([4.0, 2.0, *[1.0] * 10])).astype(np.float32) + 3.0


def minisom(data, rows, cols, epochs):
    som = MiniSom(rows, cols, data.shape[1], sigma=2.0, learning_rate=0.5, random_seed=1)
    som.random_weights_init(data)
    start = som.get_weights().copy()
    som.train_batch_offline(data, epochs)
    return som, start


@pytest.mark.parametrize(("rows", "cols"), [(6, 9), (5, 5), (1, 8)])
def test_batch_training_equals_minisom(data, rows, cols):
    som, start = minisom(data, rows, cols, 10)
    settings = SelfOrganizingMap(rows, cols, epochs=10, sigma=2.0, learning_rate=0.5, decay="asymptotic")
    fitted = settings.fit(data, weights=start)
    np.testing.assert_allclose(fitted.weights, som.get_weights(), atol=1e-5)
    assert (jax.device_get(fitted.winners(data)) == [som.winner(x) for x in data]).all()
    assert fitted.quantization_error(data) == pytest.approx(som.quantization_error(data), rel=1e-5)
    if rows > 1:
        assert fitted.topographic_error(data) == pytest.approx(som.topographic_error(data), abs=1e-6)


def test_order_of_rows_does_not_matter(data, rng):
    settings = SelfOrganizingMap(7, 7)
    order = rng.permutation(len(data))
    one, other = settings.fit(data, seed=3), settings.fit(data[order], seed=3)
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-3)
    assert (jax.device_get(one.winners(data))[order] == jax.device_get(other.winners(data[order]))).mean() > 0.99


def test_same_seed_same_map_and_no_implicit_copies(data):
    settings = SelfOrganizingMap(7, 7)
    on_device = jax.device_put(data)
    with jax.transfer_guard("disallow"):
        one, two = settings.fit(on_device, seed=3), settings.fit(on_device, seed=3)
        errors = one.quantization_error(on_device), one.topographic_error(on_device)
    assert bool((one.weights == two.weights).all())
    assert errors[0] > 0 and 0 <= errors[1] <= 1


def test_training_orders_a_plane(rng):
    """Points of a square land on the grid in order: neighbours in the plane are neighbours on the map."""
    plane = rng.uniform(-1, 1, (1500, 2))
    data = (plane @ rng.standard_normal((2, 20))).astype(np.float32)
    fitted = SelfOrganizingMap(8, 8, sigma_end=0.7).fit(data, seed=0)
    assert fitted.topographic_error(data) < 0.05
    start = SelfOrganizingMap(8, 8, epochs=1).fit(data, seed=0)
    assert fitted.quantization_error(data) < 0.5 * start.quantization_error(data)
    winners = jax.device_get(fitted.winners(data)).astype(float)
    fit = np.linalg.lstsq(np.c_[winners, np.ones(1500)], plane, rcond=None)
    explained = 1 - fit[1] / (1500 * plane.var(0))
    assert (explained > 0.9).all()


@pytest.mark.parametrize("scale", [1e30, 1e19, 1e-19, 1e-30])
def test_data_whose_squares_float32_cannot_hold_are_refused(scale, data):
    """One large row is enough; 1e13 is no trouble, nor are data of zeros only."""
    large = np.float32(scale) * np.asarray(data, np.float32)
    for x in (large, *([np.concatenate([np.asarray(data, np.float32), large])] if scale > 1 else [])):
        with pytest.raises(ValueError, match=r"largest magnitude .* scale them"):
            SelfOrganizingMap(3, 3).fit(x, seed=0)
    whole = SelfOrganizingMap(3, 3).fit(np.float32(1e13) * np.asarray(data, np.float32), seed=0)
    assert 0 < whole.quantization_error(np.float32(1e13) * np.asarray(data, np.float32)) < np.inf
    assert SelfOrganizingMap(3, 3).fit(np.zeros((9, 4), np.float32), seed=0).quantization_error(np.zeros((9, 4))) == 0


def test_bad_input_is_refused(data):
    settings = SelfOrganizingMap(3, 3)
    with pytest.raises(ValueError, match="either seed or weights"):
        settings.fit(data)
    with pytest.raises(ValueError, match="finite"):
        settings.fit(np.where(data > 3, np.nan, data), seed=0)
