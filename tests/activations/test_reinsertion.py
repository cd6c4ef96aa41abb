"""Layers put back changed: what is added to pooled features is what they change by, by the least change of the map."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.activations import RULES, answers_to_changes, pool, spread
from bias_jax.activations.pooling import grid_shape
from bias_jax.networks import NETWORKS, Transform, forward, random_params
from tests.conftest import toy_dataset
from tests.data.test_decoding import encoded
from tests.small import SMALL

TRANSFORM = Transform(28, 24)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("sides", [(11, 17), (5, 3)])
def test_the_least_change_with_this_effect(rng, rule, sides):
    """Against least squares over all positions at once, also where windows overlap."""
    shape = (2, *sides, 3)
    width = int(np.prod(grid_shape(rule, shape)))
    added = rng.standard_normal((2, width)).astype(np.float32)
    found = np.asarray(spread(rule, jnp.asarray(added), shape))
    assert found.shape == shape
    np.testing.assert_allclose(pool(rule, jnp.asarray(found)), added, atol=2e-5)
    every = np.eye(sides[0] * sides[1], dtype=np.float32).reshape(-1, *sides, 1)
    pooling = np.asarray(pool(rule, jnp.asarray(every)), float).T  # [h * w, H * W]
    least = np.linalg.pinv(pooling) @ added.reshape(2, -1, 3)
    np.testing.assert_allclose(found.reshape(2, -1, 3), least, atol=2e-5)


def test_means_move_every_position_alike():
    added = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = np.asarray(spread("mean", jnp.asarray(added), (2, 7, 5, 3)))
    np.testing.assert_array_equal(found, np.broadcast_to(added[:, None, None], found.shape))
    np.testing.assert_array_equal(spread("grid", jnp.asarray(added), (2, 3)), added)


@pytest.fixture
def setting(monkeypatch):
    """Thirteen pictures: more than one batch, the last one not full."""
    arrays = np.random.default_rng(0).integers(0, 255, (13, 40, 40, 3), dtype=np.uint8)
    monkeypatch.setitem(NETWORKS, "small", SMALL)
    params = random_params("small", 0, jax.jit(TRANSFORM.on_device)(arrays), {**SMALL.usual, "classes": 5})
    files = [encoded(a) for a in arrays]
    images = replace(toy_dataset([[13]]), read_bytes=files.__getitem__)
    return images, jax.jit(TRANSFORM.on_device)(arrays), params


@pytest.mark.parametrize("layer", ["first", "second", "fc"])
def test_unchanged_layers_give_the_output_and_changed_ones_what_is_behind_them(setting, layer):
    """Unchanged to 1e-6 of the largest logit; changed to 1e-5, computed layer by layer."""
    images, prepared, params = setting
    output, activations = jax.jit(lambda x: forward("small", params, x))(prepared)
    output, before = np.asarray(output), np.asarray(activations[layer])
    rng, width = np.random.default_rng(1), before.shape[-1]
    directions = rng.standard_normal((2, width)).astype(np.float32)
    amounts = np.zeros((4, 13, 2), np.float32)
    amounts[1:] = 0.2 * rng.standard_normal((3, 13, 2))
    with jax.transfer_guard("disallow"):
        found = answers_to_changes("small", params, TRANSFORM, images, (40, 40), layer, "mean", directions, amounts)
    scale = np.abs(output).max()
    assert found.shape == (4, 13, 5)
    np.testing.assert_allclose(found[0], output, rtol=0, atol=1e-6 * scale)
    for change, answer in zip(amounts[1:], found[1:], strict=True):
        shift = (change @ directions).reshape(13, *[1] * (before.ndim - 2), width)
        after = before + shift
        expected = after
        if layer == "first":
            expected = forward("small", params, prepared, offsets={"first": jnp.broadcast_to(shift, before.shape)})[0]
        elif layer == "second":
            expected = after.mean(axis=(1, 2)) @ np.asarray(params["fc"]["kernel"]) + np.asarray(params["fc"]["bias"])
        assert np.abs(answer - output).max() > 0.01 * scale
        np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5 * scale)


def test_nothing_to_change(setting):
    images, prepared, params = setting
    no = np.zeros((0, 16), np.float32), np.zeros((1, 13, 0), np.float32)
    found = answers_to_changes("small", params, TRANSFORM, images, (40, 40), "second", "mean", *no)
    output = np.asarray(forward("small", params, prepared)[0])
    np.testing.assert_allclose(found[0], output, rtol=0, atol=1e-6 * np.abs(output).max())
