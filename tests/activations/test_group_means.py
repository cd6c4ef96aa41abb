"""Means of groups: from sums made batch by batch, and streamed through a network, against those of a bank."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.activations import (
    OUTPUT,
    Need,
    activation_shapes,
    add_to_sums,
    empty_sums,
    extract_wave,
    group_means,
    pack,
)
from bias_jax.networks import NETWORKS, Transform, random_params
from tests.conftest import toy_dataset
from tests.data.test_decoding import encoded
from tests.small import SMALL

TRANSFORM = Transform(36, 32)
LABELS = np.array([0, 1, 3, -1, 0, 1, 1, 0, -1, 3, 0])  # nobody in group 2, two images in no group


def centred(features, labels, groups):
    """Group means minus the mean of the groups there are, float64 [G, D]; NaN without images."""
    found = np.full((groups, features.shape[1]), np.nan)
    for g in np.unique(labels[labels >= 0]):
        found[g] = features[labels == g].astype(float).mean(axis=0)
    return found - np.nanmean(found, axis=0)


def without_shift(means):
    return np.asarray(means) - np.nanmean(means, axis=0)


def test_batches_give_the_means_of_the_bank(rng):
    """To 1e-5 of activations near 100, also with padded rows in no group."""
    features = (rng.standard_normal((80, 12)) + 100).astype(np.float32)
    labels = rng.choice([0, 1, 3], 80, p=[0.7, 0.2, 0.1])
    total = empty_sums(4, jnp.asarray(features[0]))
    for start in range(0, 96, 32):
        batch, mine = np.zeros((32, 12), np.float32), np.full(32, -1, np.int32)
        rows = features[start : start + 32]
        batch[: len(rows)], mine[: len(rows)] = rows, labels[start : start + 32]
        total = add_to_sums(total, jnp.asarray(batch), jnp.asarray(mine))
    at_once = group_means(jnp.asarray(features), jnp.asarray(labels, jnp.int32), 4)
    for found in (total.means(), at_once):
        np.testing.assert_array_equal(found.counts, np.bincount(labels, minlength=4))
        np.testing.assert_allclose(without_shift(found.means), centred(features, labels, 4), atol=1e-5)


@pytest.fixture(scope="module")
def setting():
    """Eleven images of noise, no multiple of the batch, and an untrained network; their bank and whole feature maps."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 255, (40, 40, 3), dtype=np.uint8) for _ in range(11)]
    files = [encoded(a) for a in arrays]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "small", SMALL)
        params = random_params("small", 0, jax.jit(TRANSFORM.on_device)(np.stack(arrays)))
        yield replace(toy_dataset([[11]]), read_bytes=lambda i: files[i]), params


def extract(setting, needs, labels=None, chosen=slice(None)):
    dataset, params = setting
    wave = pack(activation_shapes("small", params, TRANSFORM), needs, 11, 1.0, of="small").waves[0]
    numbered = {i: labels[chosen] for i, plan in enumerate(wave) if plan.groups}
    images = dataset.take(np.arange(11)[chosen])
    found = extract_wave(images, (40, 40), "small", params, TRANSFORM, wave, numbered, batch_size=4)
    return {(plan.name, plan.rule, bool(plan.groups)): kept for plan, kept in zip(wave, found, strict=True)}


def test_streamed_means_are_those_of_a_bank(setting):
    """To 1e-4 of activations near 1, with positions averaged and with all of them kept, and beside a bank."""
    needs = [Need("first", rule, groups, "maps") for rule in ("mean", "none") for groups in (0, 4)]
    found = extract(setting, needs, LABELS)
    for rule, features in (("mean", 8), ("none", 15 * 15 * 8)):
        bank, means = np.asarray(found["first", rule, False]), found["first", rule, True]
        assert bank.shape == (11, features) and means.means.shape == (4, features)
        np.testing.assert_array_equal(means.counts, [4, 3, 0, 2])
        assert np.isnan(means.means[2]).all()
        np.testing.assert_allclose(without_shift(means.means), centred(bank, LABELS, 4), atol=1e-4)
    positions = np.asarray(found["first", "none", True].means).reshape(4, 15 * 15, 8)
    averaged = np.asarray(found["first", "mean", True].means)
    np.testing.assert_allclose(without_shift(positions.mean(axis=1)), without_shift(averaged), atol=1e-4)


def test_images_in_no_group_do_not_count(setting):
    """Left out, as an image that cannot be read is, or in no group: the same means, to 1e-4."""
    needs = [Need("first", "mean", 4, "maps"), Need(OUTPUT, "mean", 4, "maps")]
    whole, fewer = extract(setting, needs, LABELS), extract(setting, needs, LABELS, LABELS >= 0)
    for layer in whole:
        np.testing.assert_array_equal(whole[layer].counts, fewer[layer].counts)
        np.testing.assert_allclose(
            without_shift(whole[layer].means), without_shift(fewer[layer].means), atol=1e-4, rtol=1e-4
        )
