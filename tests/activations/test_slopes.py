"""Derivatives of a network's answer along directions of a layer, against finite differences in float64."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from bias_jax.activations import answer_slopes
from bias_jax.networks import NETWORKS, Transform, class_count, forward, random_params, vit_family
from tests.conftest import toy_dataset
from tests.data.test_decoding import encoded
from tests.networks.vit_case import tiny_row
from tests.small import SMALL

TRANSFORM = Transform(28, 24)
STEP, LONG = 1e-6, 3e-3  # of finite differences
FAMILIES = np.array([[1, 0, 1, 0, 0], [0, 1, 1, 1, 1]], bool)


@pytest.fixture
def setting(monkeypatch):
    """Eleven pictures, more than one batch, the last one not full; and a network of five classes."""
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 255, (11, 40, 40, 3), dtype=np.uint8)
    monkeypatch.setitem(NETWORKS, "small", SMALL)
    variant = {**SMALL.usual, "classes": 5}
    params = random_params("small", 0, jax.jit(TRANSFORM.on_device)(arrays), variant)
    files = [encoded(a) for a in arrays]
    return replace(toy_dataset([[11]]), read_bytes=files.__getitem__), arrays, params


def log_probabilities(name, params, prepared, layer, offset, families=FAMILIES):
    """Of classes and families, in float64."""
    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
        shape = np.asarray(forward(name, params, prepared)[1][layer]).shape
        added = {layer: jax.numpy.asarray(np.broadcast_to(offset, shape))}
        logits = np.asarray(forward(name, params, prepared, offsets=added)[0])
    assert logits.dtype == np.float64
    log_p = log_softmax(logits, axis=1)
    return np.concatenate([log_p, *(logsumexp(log_p[:, f], axis=1)[:, None] for f in families)], axis=1)


@pytest.mark.parametrize("layer", ["first", "second", "fc"])
def test_slopes_are_finite_differences(setting, layer):
    """To 2e-5 of the largest; an addition at all positions of feature maps, and of a layer without any."""
    images, arrays, params = setting
    rng, width = np.random.default_rng(1), {"first": 8, "second": 16, "fc": 5}[layer]
    directions, combinations = rng.standard_normal((3, width)), rng.standard_normal((2, 3))
    with jax.transfer_guard("disallow"):
        found = answer_slopes("small", params, TRANSFORM, images, (40, 40), layer, directions, combinations, FAMILIES)
    prepared = np.asarray(jax.jit(TRANSFORM.on_device)(arrays), np.float64)
    up, down = ([log_probabilities("small", params, prepared, layer, s * v) for v in directions] for s in (STEP, -STEP))
    expected = (np.array(up) - np.array(down)) / (2 * STEP)  # [R, N, C + F]
    assert found.mean.shape == (3, 7) and found.along.shape == (2, 11, 7) and np.abs(expected).max() > 1e-3
    tolerance = 2e-5 * np.abs(expected).max()
    np.testing.assert_allclose(found.mean, expected.mean(axis=1), rtol=0, atol=tolerance)
    along = np.einsum("gr,rnc->gnc", combinations, expected)
    np.testing.assert_allclose(found.along, along, rtol=0, atol=3 * tolerance)


def test_pictures_of_several_sizes_and_no_families(setting):
    """Prepared on the host; the two ways to resize differ by rounding to grey levels, derivatives a little more."""
    images, _, params = setting
    directions = np.eye(8)[:2]
    one = answer_slopes("small", params, TRANSFORM, images, (40, 40), "first", directions, np.eye(2), FAMILIES[:0])
    other = answer_slopes("small", params, TRANSFORM, images, None, "first", directions, np.eye(2), FAMILIES[:0])
    assert other.mean.shape == (2, 5)
    np.testing.assert_allclose(one.mean, other.mean, rtol=0, atol=0.05 * np.abs(one.mean).max())


def test_slopes_of_transformers(monkeypatch):
    """Patches behind a block, changed between two loops over blocks; to 1e-3 of the largest.

    Their norms are float32 always, so differences must be long, and the network's curvature shows.
    """
    row = tiny_row("vit_b_16")
    monkeypatch.setitem(NETWORKS, "vit_tiny", vit_family.definition(row))
    side = row.architecture.patch * row.architecture.grid
    transform, rng = Transform(side, side), np.random.default_rng(0)
    arrays = rng.integers(0, 255, (3, side, side, 3), dtype=np.uint8)
    params = random_params("vit_tiny", 0, jax.jit(transform.on_device)(arrays), NETWORKS["vit_tiny"].usual)
    files = [encoded(a) for a in arrays]
    images = replace(toy_dataset([[3]]), read_bytes=files.__getitem__)
    layer = next(layer for layer in NETWORKS["vit_tiny"].layers if layer.endswith("patches"))
    direction = rng.standard_normal((1, row.architecture.blocks.width))
    outputs = class_count("vit_tiny", params)
    families = np.arange(outputs)[None] < 2
    found = answer_slopes("vit_tiny", params, transform, images, (side, side), layer, direction, np.eye(1), families)
    prepared = np.asarray(jax.jit(transform.on_device)(arrays), np.float64)
    up, down = (log_probabilities("vit_tiny", params, prepared, layer, s * direction[0], families)
                for s in (LONG, -LONG))  # fmt: skip
    expected = (up - down) / (2 * LONG)
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(found.along[0], expected, rtol=0, atol=1e-3 * np.abs(expected).max())
