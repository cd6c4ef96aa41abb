import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bias_jax.disparity.losses import LOSSES

SCORES = np.array([[2.0, 1.0, 0.0, -1.0], [0.5, -0.5, 1.5, 0.0]])
LABELS = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
GOLDEN = {"pairwise_softmax": 0.374486, "target_softmax": 0.743098, "binary_cross_entropy": 0.473664, "zlpr": 1.459584}

# Compiled once per shape.
COMPILED = {name: jax.jit(loss) for name, loss in LOSSES.items()}
GRADIENTS = {name: jax.jit(jax.value_and_grad(loss)) for name, loss in LOSSES.items()}


def naive(name, s, y):
    """Loops in float64, straight from the formulas."""
    terms, images = [], []
    for row, labels in zip(s, y, strict=True):
        positive, negative = row[labels == 1], row[labels == 0]
        if not len(positive) + len(negative):
            continue
        everything = np.concatenate([positive, negative])
        if name == "pairwise_softmax":
            terms += [-np.log(np.exp(p) / (np.exp(p) + np.exp(negative).sum())) for p in positive]
        elif name == "binary_cross_entropy":
            terms += [*np.log1p(np.exp(-positive)), *np.log1p(np.exp(negative))]
        elif name == "target_softmax":
            shares = np.exp(positive) / np.exp(everything).sum()
            images.append(-np.log(shares).mean() if len(positive) else 0.0)
        else:
            images.append(np.log1p(np.exp(negative).sum()) + np.log1p(np.exp(-positive).sum()))
    values = terms + images
    return np.mean(values) if values else 0.0


def naive_traceable(name, s, y):
    """The formulas without any care for numbers, for `jax.grad`; every image has positives and negatives."""
    total = jnp.exp(s).sum(axis=1, keepdims=True)
    negatives = (jnp.exp(s) * (1 - y)).sum(axis=1, keepdims=True)
    if name == "pairwise_softmax":
        return -(y * jnp.log(jnp.exp(s) / (jnp.exp(s) + negatives))).sum() / y.sum()
    if name == "target_softmax":
        return -(y / y.sum(axis=1, keepdims=True) * jnp.log(jnp.exp(s) / total)).sum() / len(s)
    if name == "binary_cross_entropy":
        p = 1 / (1 + jnp.exp(-s))
        return -(y * jnp.log(p) + (1 - y) * jnp.log(1 - p)).mean()
    return (jnp.log(1 + negatives[:, 0]) + jnp.log(1 + (y * jnp.exp(-s)).sum(axis=1))).mean()


def ragged(rng, n=7, c=5, unknown=0.3):
    y = (rng.random((n, c)) < 0.4).astype(float)
    return 3 * rng.standard_normal((n, c)), np.where(rng.random((n, c)) < unknown, np.nan, y)


@pytest.mark.parametrize("name", LOSSES)
def test_golden_vector(name):
    assert float(LOSSES[name](SCORES, LABELS)) == pytest.approx(GOLDEN[name], abs=1e-6)
    assert float(COMPILED[name](SCORES, LABELS.astype(bool))) == pytest.approx(GOLDEN[name], abs=1e-6)
    assert float(COMPILED[name](SCORES, LABELS.astype(int))) == pytest.approx(GOLDEN[name], abs=1e-6)


def test_golden_gradient():
    expected = [[-0.052068, -0.111586, 0.119641, 0.044014], [0.071032, 0.026131, -0.140247, 0.043083]]
    np.testing.assert_allclose(GRADIENTS["pairwise_softmax"](SCORES, LABELS)[1], expected, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_values_equal_loops_and_gradients_finite_differences(name):
    with jax.enable_x64(True):
        for seed in range(5):
            s, y = ragged(np.random.default_rng(seed))
            y[seed % len(y)] = np.nan  # an image without any known label
            value, found = (np.asarray(x) for x in GRADIENTS[name](s, y))
            assert value == pytest.approx(naive(name, s, y), abs=1e-12)
            for index in np.ndindex(s.shape):
                step = np.zeros_like(s)
                step[index] = 1e-5
                difference = (naive(name, s + step, y) - naive(name, s - step, y)) / 2e-5
                assert found[index] == pytest.approx(difference, abs=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_equal_those_of_the_naive_formula(name, rng):
    with jax.enable_x64(True):
        s, y = ragged(rng, unknown=0.0)
        y[:, 0], y[:, 1] = 1.0, 0.0
        expected = jax.jit(jax.grad(lambda x: naive_traceable(name, x, y)))(s)
        np.testing.assert_allclose(GRADIENTS[name](s, y)[1], expected, atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [1e4, -1e4, 3e6])
@pytest.mark.parametrize("kind", ["ragged", "none", "all", "unknown"])
def test_large_logits_and_empty_sets_stay_finite(name, size, kind, rng):
    s, y = ragged(rng)
    y = {"ragged": y, "none": np.zeros_like(y), "all": np.ones_like(y), "unknown": np.full_like(y, np.nan)}[kind]
    for logits in (np.sign(s) * size, np.full_like(s, size)):
        value, gradient = GRADIENTS[name](logits.astype(np.float32), y)
        assert np.isfinite(value) and value >= 0 and np.isfinite(gradient).all()
        assert not np.asarray(gradient)[np.isnan(y)].any()


def test_meaning_of_empty_sets(rng):
    s = rng.standard_normal((3, 4))
    ones, zeros, unknown = np.ones((3, 4)), np.zeros((3, 4)), np.full((3, 4), np.nan)
    assert COMPILED["pairwise_softmax"](s, ones) == COMPILED["pairwise_softmax"](s, zeros) == 0
    assert COMPILED["target_softmax"](s, zeros) == 0
    assert all(loss(s, unknown) == 0 for loss in COMPILED.values())
    y = LABELS[[0, 1, 1]]
    y[2] = 1.0  # its four positives count in the mean, as 0
    expected = naive("pairwise_softmax", s[:2], y[:2]) * 3 / 7
    assert float(COMPILED["pairwise_softmax"](s, y)) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), shift=st.floats(-50, 50))
def test_invariances(seed, shift):
    s, y = ragged(np.random.default_rng(seed), n=4, c=6)
    for name in ("pairwise_softmax", "target_softmax"):
        assert float(GRADIENTS[name](s + shift, y)[0]) == pytest.approx(float(GRADIENTS[name](s, y)[0]), 1e-4, 1e-5)
    order = np.random.default_rng(seed).permutation(6)
    for gradient in GRADIENTS.values():
        np.testing.assert_allclose(gradient(s[:, order], y[:, order])[1], gradient(s, y)[1][:, order], atol=1e-6)


def test_unknown_entries_count_as_though_they_were_not_there(rng):
    s, y = ragged(rng, unknown=0.0)
    for loss in COMPILED.values():
        expected = float(loss(s[:4, :3], y[:4, :3]))
        masked = np.where((np.arange(7) < 4)[:, None] & (np.arange(5) < 3), y, np.nan)
        assert float(loss(s, masked)) == pytest.approx(expected, rel=1e-6)


def test_one_label_per_image_makes_both_softmax_losses_equal(rng):
    s = rng.standard_normal((9, 5))
    y = np.eye(5)[rng.integers(0, 5, 9)]
    pairwise, target = (float(COMPILED[f"{name}_softmax"](s, y)) for name in ("pairwise", "target"))
    assert pairwise == pytest.approx(target, rel=1e-6)


def test_low_precision_logits_are_summed_in_float32():
    assert COMPILED["zlpr"](jnp.asarray(SCORES, jnp.bfloat16), LABELS).dtype == jnp.float32
    assert COMPILED["binary_cross_entropy"](jnp.zeros((0, 3)), jnp.zeros((0, 3))) == 0
