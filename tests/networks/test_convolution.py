"""Winograd's convolution against XLA's own in float64, on sizes that the networks do and do not meet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.networks import convolution
from bias_jax.networks.convolution import MANY_CHANNELS, conv2d, winograd_3x3

TOLERANCE = 2e-6  # of the largest output


def expected(x, kernel, stride, padding):
    with jax.enable_x64(True):
        y = jax.lax.conv_general_dilated(
            x.astype(np.float64), kernel.astype(np.float64), (stride, stride), [(p, p) for p in padding],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
        return np.asarray(y)


def drawn(shape, kernel_shape):
    rng = np.random.default_rng(0)
    return (rng.standard_normal(s).astype(np.float32) for s in (shape, kernel_shape))


def close(found, wanted):
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE * np.abs(wanted).max())


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (3, 4), (1, 5)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (1, 0), (2, 2)])
def test_winograd(size, padding):
    if min(s + 2 * p for s, p in zip(size, padding, strict=True)) < 3:
        pytest.skip("nothing fits")
    x, kernel = drawn((2, *size, 5), (3, 3, 5, 4))
    close(np.asarray(winograd_3x3(jnp.asarray(x), jnp.asarray(kernel), padding)), expected(x, kernel, 1, padding))


@pytest.mark.parametrize(
    ("channels", "kernel_size", "stride", "padding", "transforms"),
    [
        (MANY_CHANNELS, (3, 3), 1, (1, 1), True),
        (MANY_CHANNELS, (3, 3), 1, (0, 0), True),
        (MANY_CHANNELS - 1, (3, 3), 1, (1, 1), False),
        (MANY_CHANNELS, (3, 3), 2, (1, 1), False),
        (MANY_CHANNELS, (1, 3), 1, (0, 1), False),
        (MANY_CHANNELS, (1, 1), 1, (0, 0), False),
    ],
)
def test_both_ways_give_the_convolution(channels, kernel_size, stride, padding, transforms, monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return winograd_3x3(*arguments)

    monkeypatch.setattr(convolution, "winograd_3x3", counted)
    x, kernel = drawn((3, 9, 10, channels), (*kernel_size, channels, 6))
    found = jax.jit(conv2d, static_argnums=(2, 3))(x, kernel, stride, padding)
    close(np.asarray(found), expected(x, kernel, stride, padding))
    assert bool(calls) == transforms
    half = conv2d(jnp.asarray(x, jnp.bfloat16), jnp.asarray(kernel, jnp.bfloat16), stride, padding)
    assert half.dtype == jnp.bfloat16


def test_gradient():
    """Of a sum of squares by the input, against XLA's own convolution."""
    x, kernel = drawn((2, 7, 7, MANY_CHANNELS), (3, 3, MANY_CHANNELS, 6))

    def own(x):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    found = jax.grad(lambda x: jnp.square(conv2d(x, kernel, 1, (1, 1))).sum())(jnp.asarray(x))
    wanted = jax.grad(lambda x: jnp.square(own(x)).sum())(jnp.asarray(x))
    np.testing.assert_allclose(found, wanted, atol=1e-5 * float(jnp.abs(wanted).max()))
