"""Mistakes in SimCLRv2 that the comparison with Google's graph must show.

Those in the code are chosen when the network runs, so that all of them share one compilation for each size of images.
Some can be seen at even sizes only, others at odd ones.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bias_jax.networks import forward, jit_network, simclr
from converters import convert
from tests.networks import simclr_case as oracle
from tests.networks.simclr_case import TOLERANCE

NAME = "r50_1x_sk1"
MISTAKES = ("none", "SAME at stride 2", "max-pool padded before", "average counts padding", "average without zeros",
            "selection swapped", "epsilon", "relu of the selection", "variances")  # fmt: skip


@cache
def mistaken_network():
    """(params, images, number of the mistake) -> (logits, activations); and how often each was met on the way."""
    convolution, pool, average = jax.lax.conv_general_dilated, nnx.max_pool, simclr.average_pool_2x2
    softmax, rsqrt, relu = jax.nn.softmax, jax.lax.rsqrt, nnx.relu
    met = dict.fromkeys(MISTAKES, 0)

    def network(params, images, mistake):
        def choose(which, wrong, right):
            met[which] += 1
            return jnp.where(mistake == MISTAKES.index(which), wrong, right)

        def same(x, kernel, strides, padding, **options):
            right = convolution(x, kernel, strides, padding, **options)
            if strides != (2, 2) or kernel.shape[0] == 1:
                return right
            return choose("SAME at stride 2", convolution(x, kernel, strides, "SAME", **options), right)

        def before(x, window, strides, padding):
            wrong = pool(x, window, strides, [(1, 1), (1, 1)])
            return choose("max-pool padded before", wrong, pool(x, window, strides, padding))

        def averages(x, stride):
            right = average(x, stride)
            if stride == 1:
                sums = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
                sums = sums[:, :-1] + sums[:, 1:]
                return choose("average counts padding", (sums[:, :, :-1] + sums[:, :, 1:]) / 4, right)
            edge = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
            return choose("average without zeros", average(edge, 2)[:, : right.shape[1], : right.shape[2]], right)

        def swapped(x, axis):
            right = softmax(x, axis=axis)
            return choose("selection swapped", right[::-1], right) if x.shape[0] == 2 and axis == 0 else right

        def root(x):
            right = rsqrt(x)
            return choose("epsilon", rsqrt(x + (1e-3 - 1e-5)), choose("variances", rsqrt(x * 1.1), right))

        def forgetful(x):
            return choose("relu of the selection", x, relu(x)) if x.shape[1:3] == (1, 1) else relu(x)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jax.lax, "conv_general_dilated", same)
            patch.setattr(nnx, "max_pool", before)
            patch.setattr(simclr, "average_pool_2x2", averages)
            patch.setattr(jax.nn, "softmax", swapped)
            patch.setattr(jax.lax, "rsqrt", root)
            patch.setattr(nnx, "relu", forgetful)
            return forward(f"simclrv2_{NAME}", params, images)

    return jit_network(network), met


def error(size, directory, mistake="none", params=None):
    """Largest difference of all endpoints."""
    network, met = mistaken_network()
    number = jnp.int32(MISTAKES.index(mistake))
    found = oracle.run(NAME, size, params, lambda p, x: network(p, x, number))
    assert mistake == "none" or met[mistake]
    return np.max(list(oracle.errors(found, NAME, size, directory).values()))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_at_an_even_size(mistake, oracles_dir):
    unseen = ("none", "average without zeros")
    assert (error(64, oracles_dir, mistake) < TOLERANCE) == (mistake in unseen)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_at_an_odd_size(mistake, oracles_dir):
    unseen = ("none", "SAME at stride 2", "max-pool padded before")
    assert (error(65, oracles_dir, mistake) < TOLERANCE) == (mistake in unseen)


def test_mistakes_in_weights(oracles_dir):
    """A projection that is transposed; halves of a selecting convolution interleaved; numbers sorted as text."""
    right = oracle.seeded_variables(NAME)
    transposed = {"head_contrastive/nl_0/dense/kernel": right["head_contrastive/nl_0/dense/kernel"].T}
    halves = right[key := "base_model/conv2d_5/kernel"]
    interleaved = {key: halves.reshape(*halves.shape[:3], 2, -1).swapaxes(3, 4).reshape(halves.shape)}
    names = [name for name in right if name.startswith("base_model/conv2d")]
    shape = right["base_model/conv2d_10/kernel"].shape
    alike = [name for name in names if right[name].shape == shape]
    numeric = sorted(alike, key=lambda name: int(name.split("/")[1].removeprefix("conv2d_")))
    assert numeric != sorted(alike)
    as_text = {name: right[other] for name, other in zip(numeric, sorted(alike), strict=True)}
    for mistake in (transposed, interleaved, as_text):
        params = convert(f"simclrv2_{NAME}", {**right, **mistake})
        assert error(64, oracles_dir, params=params) > 100 * TOLERANCE
