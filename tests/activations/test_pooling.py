import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.activations import RULES, pool
from bias_jax.activations.pooling import grid_shape

SHAPES = [(2, 56, 56, 3), (2, 14, 14, 5), (2, 7, 7, 4), (2, 35, 17, 3), (2, 1, 1, 6)]


def naive(rule, x):
    """Written with loops, straight from the definitions."""
    n, height, width, units = x.shape
    rows, columns, _ = grid_shape(rule, x.shape)
    out = np.empty((n, rows, columns, units))
    for i in range(rows):
        for j in range(columns):
            if rule == "subsample":
                out[:, i, j] = x[:, i * -(-height // 8), j * -(-width // 8)]
            elif rule == "window":
                a, b = -(-height // 8), -(-width // 8)
                out[:, i, j] = x[:, i * a : (i + 1) * a, j * b : (j + 1) * b].mean((1, 2))
            else:
                top, bottom = int(np.floor(i * height / rows)), int(np.ceil((i + 1) * height / rows))
                left, right = int(np.floor(j * width / columns)), int(np.ceil((j + 1) * width / columns))
                out[:, i, j] = x[:, top:bottom, left:right].mean((1, 2))
    return out.reshape(n, -1)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", SHAPES)
def test_against_loops(rule, shape, rng):
    x = rng.standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(pool(rule, jnp.asarray(x)), naive(rule, x.astype(float)), atol=1e-5)


def test_published_shapes():
    expected = {"grid": 8, "window": 5, "subsample": 6, "mean": 1}
    assert {rule: grid_shape(rule, (1, 17, 17, 768))[0] for rule in expected} == expected
    assert grid_shape("grid", (1, 7, 7, 2048)) == (7, 7, 2048)
    assert grid_shape("grid", (1, 4096)) == (1, 1, 4096)


def test_equal_width_is_nearly_equal():
    layers = [(1, 56, 56, 256), (1, 28, 28, 512), (1, 14, 14, 1024), (1, 7, 7, 2048)]
    widths = [np.prod(grid_shape("equal", shape)) for shape in layers]
    assert max(widths) / min(widths) < 1.3


def test_vectors_pass_through(rng):
    x = rng.standard_normal((3, 10)).astype(np.float32)
    for rule in RULES:
        assert (pool(rule, jnp.asarray(x)) == x).all()


@pytest.mark.parametrize("rule", ["mean", "grid", "window"])
def test_averages_of_bfloat16_are_those_of_its_values(rule, rng):
    """Windows have sizes that bfloat16 cannot divide by, and sums that it cannot hold."""
    x = jnp.asarray(rng.uniform(1.0, 2.0, (2, 35, 17, 3)), jnp.bfloat16)
    np.testing.assert_allclose(pool(rule, x), naive(rule, np.asarray(x, float)), rtol=1e-6)
