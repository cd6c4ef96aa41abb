"""Convolutions by Winograd, by shifted products and by XLA against sums in float64, on sizes of all sorts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from bias_jax.networks import convolution
from bias_jax.networks.convolution import MANY_CHANNELS, conv2d, depthwise, winograd_3x3

TOLERANCE = 2e-6  # of the largest output


def by_xla(x, kernel, stride, padding):
    sides = [(p, p) for p in padding]
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), sides, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def expected(x, kernel, stride, padding, groups=1):
    """Sums of products over windows, float64."""
    if groups > 1:
        parts = zip(np.split(x, groups, axis=-1), np.split(kernel, groups, axis=-1), strict=True)
        return np.concatenate([expected(*part, stride, padding) for part in parts], axis=-1)
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


@pytest.mark.parametrize(
    ("size", "groups", "outputs", "kernel_size", "stride", "padding"),
    [
        ((9, 10), 6, 6, (5, 5), 1, (2, 2)),
        ((8, 10), 6, 6, (3, 5), 2, (1, 2)),
        ((9, 7), 6, 6, (2, 2), 3, (0, 0)),
        ((5, 6), 6, 12, (3, 3), 1, (1, 1)),  # two outputs of every channel
        ((9, 6), 2, 4, (3, 3), 2, (1, 1)),
    ],
)
def test_groups(size, groups, outputs, kernel_size, stride, padding, monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return depthwise(*arguments)

    monkeypatch.setattr(convolution, "depthwise", counted)
    x, kernel = drawn((2, *size, 6), (*kernel_size, 6 // groups, outputs))
    found = jax.jit(conv2d, static_argnums=(2, 3, 4))(x, kernel, stride, padding, groups)
    close(np.asarray(found), expected(x, kernel, stride, padding, groups))
    assert bool(calls) == (groups == outputs)


def test_a_group_of_many_channels_is_not_transformed():
    x, kernel = drawn((1, 4, 4, 2 * MANY_CHANNELS), (3, 3, MANY_CHANNELS, 4))
    found = jax.jit(conv2d, static_argnums=(2, 3, 4))(x, kernel, 1, (1, 1), 2)
    close(np.asarray(found), expected(x, kernel, 1, (1, 1), 2))


def test_gradient():
    """Of a sum of squares by the input, against XLA's own convolution."""
    x, kernel = drawn((2, 7, 7, MANY_CHANNELS), (3, 3, MANY_CHANNELS, 6))

    def slopes(convolution):
        return np.asarray(jax.jit(jax.grad(lambda x: jnp.square(convolution(x, kernel, 1, (1, 1))).sum()))(x))

    found, wanted = slopes(conv2d), slopes(by_xla)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
