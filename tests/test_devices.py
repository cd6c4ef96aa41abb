"""Meshes of one process: what lies on them whole or in parts, and how it comes back."""

import jax
import numpy as np
import pytest

from bias_jax.devices import device_mesh, first_device, gather, own_devices, replicate, spread
from bias_jax.errors import InputError


@pytest.mark.parametrize("count", [1, 3, 8])
def test_what_is_spread_comes_back_whole_on_the_first_device(count, rng):
    mesh = device_mesh(count)
    assert list(own_devices(mesh).values()) == jax.devices()[:count] and first_device(mesh) == jax.devices()[0]
    x = {"x": rng.standard_normal((2 * count, 3)).astype(np.float32), "labels": np.arange(count)}
    with jax.transfer_guard("disallow"):
        parts = spread(mesh, x)
        whole = gather(mesh, parts)
        copies = replicate(mesh, whole["x"])
    for i, shard in enumerate(parts["x"].addressable_shards):
        np.testing.assert_array_equal(shard.data, x["x"][2 * i : 2 * i + 2])
        assert shard.device == jax.devices()[i]
    assert len(copies.addressable_shards) == count and copies.is_fully_replicated
    np.testing.assert_array_equal(copies, x["x"])
    for name in x:
        assert whole[name].devices() == {jax.devices()[0]}
        np.testing.assert_array_equal(whole[name], x[name])


def test_meshes_that_cannot_be():
    assert device_mesh().size == len(jax.devices())
    for count in (0, -1, len(jax.devices()) + 1):
        with pytest.raises(InputError, match=f"--devices {count}, but there .* leave --devices out"):
            device_mesh(count)
