"""Winograd's convolution and XLA's own against sums in float64, on sizes that the networks do and do not meet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from bias_jax.networks import convolution
from bias_jax.networks.convolution import MANY_CHANNELS, conv2d, winograd_3x3

TOLERANCE = 2e-6  # of the largest output


def by_xla(x, kernel, stride, padding):
    sides = [(p, p) for p in padding]
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), sides, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def expected(x, kernel, stride, padding):
    """Sums of products over windows, float64."""
    x = np.pad(x.astype(np.float64), ((0, 0), *((p, p) for p in padding), (0, 0)))
    windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]  # [N, H', W', C, kh, kw]
    return np.einsum("nhwcab,abcd->nhwd", windows, kernel.astype(np.float64), optimize=True)


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
    found = jax.jit(winograd_3x3, static_argnums=2)(x, kernel, padding)
    close(np.asarray(found), expected(x, kernel, 1, padding))


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
    half = jax.eval_shape(lambda *a: conv2d(*(jnp.asarray(v, jnp.bfloat16) for v in a), stride, padding), x, kernel)
    assert half.dtype == jnp.bfloat16


def test_gradient():
    """Of a sum of squares by the input, against XLA's own convolution."""
    x, kernel = drawn((2, 7, 7, MANY_CHANNELS), (3, 3, MANY_CHANNELS, 6))

    def slopes(convolution):
        return np.asarray(jax.jit(jax.grad(lambda x: jnp.square(convolution(x, kernel, 1, (1, 1))).sum()))(x))

    found, wanted = slopes(conv2d), slopes(by_xla)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
