"""Derivatives of a network's answer along directions of a layer, against finite differences in float64."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from bias_jax.activations import answer_slopes
from bias_jax.networks import NETWORKS, Transform, forward, random_params
from tests.conftest import toy_dataset
from tests.data.test_decoding import encoded
from tests.small import SMALL

TRANSFORM = Transform(28, 24)
STEP = 1e-6  # of finite differences
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


def log_probabilities(params, prepared, layer, offset):
    """Of classes and families, in float64."""
    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
        shape = np.asarray(forward("small", params, prepared)[1][layer]).shape
        added = {layer: jax.numpy.asarray(np.broadcast_to(offset, shape))}
        logits = np.asarray(forward("small", params, prepared, offsets=added)[0])
    assert logits.dtype == np.float64
    log_p = log_softmax(logits, axis=1)
    return np.concatenate([log_p, *(logsumexp(log_p[:, f], axis=1)[:, None] for f in FAMILIES)], axis=1)


@pytest.mark.parametrize("layer", ["first", "second", "fc"])
def test_slopes_are_finite_differences(setting, layer):
    """To 2e-5 of the largest; an addition at all positions of feature maps, and of a layer without any."""
    images, arrays, params = setting
    rng, width = np.random.default_rng(1), {"first": 8, "second": 16, "fc": 5}[layer]
    directions, combinations = rng.standard_normal((3, width)), rng.standard_normal((2, 3))
    with jax.transfer_guard("disallow"):
        found = answer_slopes("small", params, TRANSFORM, images, (40, 40), layer, directions, combinations, FAMILIES)
    prepared = np.asarray(jax.jit(TRANSFORM.on_device)(arrays), np.float64)
    up, down = ([log_probabilities(params, prepared, layer, s * v) for v in directions] for s in (STEP, -STEP))
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
