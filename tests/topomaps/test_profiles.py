"""Profiles: weights, contrasts, error modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.activations import group_means
from bias_jax.topomaps import contrast, error_groups, group_profiles


@pytest.fixture
def bank(rng):
    return (rng.standard_normal((80, 12)) + 100).astype(np.float32), rng.choice([0, 1, 3], 80, p=[0.7, 0.2, 0.1])


def means(features, labels):
    return np.stack([features[labels == g].astype(float).mean(0) for g in (0, 1, 3)])


def test_weights_and_contrasts_against_numpy(bank):
    features, labels = bank
    found = group_means(jnp.asarray(features), jnp.asarray(labels, jnp.int32), 4)
    of_groups, sizes = means(features, labels), np.bincount(labels)[[0, 1, 3]]
    weighted = jax.device_get(contrast(found, size_weighted=True))
    np.testing.assert_allclose(weighted[[0, 1, 3]], of_groups - np.average(of_groups, 0, sizes), atol=2e-5)
    at_once = group_profiles(jnp.asarray(features), jnp.asarray(labels, jnp.int32), 4, size_weighted=True)
    np.testing.assert_allclose(weighted, at_once, atol=1e-6)
    two = jax.device_get(contrast(found, (1, 3)))
    np.testing.assert_allclose(two[[1, 3]], of_groups[1:] - of_groups[1:].mean(0), atol=2e-5)
    assert np.isnan(two[[0, 2]]).all()


def test_error_modes():
    labels, predicted = np.array([0, 1, 2, 2]), np.array([0, 2, 2, 1])
    assert list(error_groups(labels, predicted, 3, "correct")) == [1, 2, 5, 4]
    assert list(error_groups(labels, predicted, 3, "confusion")) == [0, 5, 8, 7]
    with pytest.raises(ValueError, match="4 labels, but 3"):
        error_groups(labels, predicted[:3], 3, "correct")
