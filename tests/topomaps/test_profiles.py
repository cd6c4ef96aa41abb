"""Profiles: weights, contrasts, error modes, and sums made batch by batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.topomaps import add_to_sums, contrast, empty_sums, error_groups, group_means, group_profiles


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


def test_batches_give_the_means_of_the_bank(bank):
    """To 1e-5 of activations near 100, also with padded rows in no group."""
    features, labels = bank
    total = empty_sums(4, jnp.asarray(features[0]))
    for start in range(0, 96, 32):
        batch, mine = np.zeros((32, 12), np.float32), np.full(32, -1, np.int32)
        rows = features[start : start + 32]
        batch[: len(rows)], mine[: len(rows)] = rows, labels[start : start + 32]
        total = add_to_sums(total, jnp.asarray(batch), jnp.asarray(mine))
    of_groups = means(features, labels)
    np.testing.assert_array_equal(total.counts, np.bincount(labels, minlength=4))
    np.testing.assert_allclose(contrast(total.means())[np.array([0, 1, 3])], of_groups - of_groups.mean(0), atol=1e-5)


def test_error_modes():
    labels, predicted = np.array([0, 1, 2, 2]), np.array([0, 2, 2, 1])
    assert list(error_groups(labels, predicted, 3, "correct")) == [1, 2, 5, 4]
    assert list(error_groups(labels, predicted, 3, "confusion")) == [0, 5, 8, 7]
    with pytest.raises(ValueError, match="4 labels, but 3"):
        error_groups(labels, predicted[:3], 3, "correct")
