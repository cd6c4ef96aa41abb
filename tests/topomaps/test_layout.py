import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.topomaps import SelfOrganizingMap, group_profiles, som_layout, triangulate, unit_profiles


def test_profiles_against_numpy(rng):
    bank = (rng.standard_normal((60, 24)) + 50).astype(np.float32)
    labels = rng.choice([0, 1, 3], 60, p=[0.6, 0.3, 0.1]).astype(np.int32)
    profiles = jax.device_get(group_profiles(jnp.asarray(bank), jnp.asarray(labels), 4))
    means = np.stack([bank[labels == g].astype(float).mean(0) for g in (0, 1, 3)])
    np.testing.assert_allclose(profiles[[0, 1, 3]], means - means.mean(0), atol=2e-5)
    assert np.isnan(profiles[2]).all()
    occurring = np.array([0, 1, 3])
    units, values = unit_profiles(jnp.asarray(profiles), occurring, (2, 3, 4))
    assert units.shape == (4, 3 * 6) and values.shape == (3, 4)
    # Channels run fastest in the bank: unit 1 owns columns 1, 5, 9, ...
    np.testing.assert_allclose(units[1], profiles[occurring][:, 1::4].ravel(), rtol=1e-6)
    np.testing.assert_allclose(values[:, 1], profiles[occurring][:, 1::4].mean(1), atol=1e-6)


@pytest.mark.parametrize("units", [1, 2, 3, 5, 64, 200])
def test_layouts_of_any_size_fill_the_unit_square(units, rng):
    positions, fitted = som_layout(jnp.asarray(rng.standard_normal((units, 6)).astype(np.float32)), seed=0)
    side = int(np.sqrt(units)) + 1
    assert fitted.weights.shape[:2] == (side, side)
    assert positions.shape == (units, 2) and (positions >= 0).all() and (positions <= 1).all()
    assert len(np.unique(positions.round(9), axis=0)) == units  # no two units at one place


def test_identical_units_stay_apart():
    positions, _ = som_layout(jnp.zeros((10, 4)), seed=0, som=SelfOrganizingMap(4, 4, epochs=5))
    assert np.isfinite(positions).all() and len(np.unique(positions.round(9), axis=0)) == 10


def test_interpolation_reproduces_linear_functions_and_units(rng):
    positions = rng.uniform(0, 1, (80, 2))
    interpolation = triangulate(positions, side=50)
    coefficients = rng.standard_normal((3, 3))
    values = (coefficients @ np.c_[positions, np.ones(80)].T).astype(np.float32)
    images = jax.device_get(interpolation.images(values))
    axis = (np.arange(50) + 0.5) / 50
    down, right = np.meshgrid(axis, axis, indexing="ij")
    expected = np.einsum("gk,kij->gij", coefficients, np.stack([down, right, np.ones_like(down)]))
    inside = ~np.isnan(images)
    assert 0.7 < inside.mean() < 1.0
    np.testing.assert_allclose(images[inside], expected[inside], atol=1e-3)


def test_interpolation_against_scipy(rng):
    griddata = pytest.importorskip("scipy.interpolate").griddata
    positions = rng.uniform(0, 1, (60, 2))
    values = rng.standard_normal((4, 60)).astype(np.float32)
    images = jax.device_get(triangulate(positions, side=30).images(values))
    axis = (np.arange(30) + 0.5) / 30
    pixels = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    for image, v in zip(images, values, strict=True):
        expected = griddata(positions, v, pixels, method="linear")
        both = ~np.isnan(image) & ~np.isnan(expected)
        assert both.mean() > 0.7
        np.testing.assert_allclose(image[both], expected[both], atol=2e-3)


def test_too_few_units_for_a_triangle_are_drawn_as_nearest_unit():
    images = jax.device_get(triangulate(np.array([[0.0, 0.0], [1.0, 1.0]]), side=10).images(np.array([[1.0, 2.0]])))
    assert images[0, 0, 0] == 1.0 and images[0, 9, 9] == 2.0
