"""The certificate holds whatever arithmetic the conjugate gradients use: the true gap, in float64, is below it."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from bias_jax import arithmetic
from bias_jax.probes import ProbeConfig, curvature, fit_convex, jobs

N, D, CLASSES, L2 = 300, 24, 6, (1e-1, 1e-2, 1e-3)


@pytest.fixture(scope="module")
def planted():
    """Features [N, D] of a falling spectrum, scaled as probes are, and labels [N]."""
    rng = np.random.default_rng(5)
    y = rng.permutation(np.arange(N) % CLASSES)
    x = rng.standard_normal((N, D)) / (1.0 + np.arange(D))
    x[:, :CLASSES] += 0.5 * np.eye(CLASSES)[y]
    return x.astype(np.float32), y


def scaled(x):
    x = x.astype(float) - x.astype(float).mean(axis=0)
    return x / np.sqrt(np.square(x).mean())


def value(x, y, weights, bias, l2):
    logits = x @ weights + bias
    return (logsumexp(logits, axis=1) - logits[np.arange(N), y]).mean() + l2 / 2 * np.square(weights).sum()


@pytest.fixture(scope="module")
def optima(planted):
    """Strength -> lowest value, in float64."""
    x, y = scaled(planted[0]), planted[1]
    found = {}
    for l2 in L2:

        def gradient(flat, l2=l2):
            w, b = flat[:-CLASSES].reshape(D, CLASSES), flat[-CLASSES:]
            logits = x @ w + b
            residual = (np.exp(logits - logsumexp(logits, axis=1, keepdims=True)) - np.eye(CLASSES)[y]) / N
            slope = np.concatenate([(x.T @ residual + l2 * w).ravel(), residual.sum(axis=0)])
            return value(x, y, w, b, l2), slope

        options = {"maxiter": 10000, "maxfun": 100000, "gtol": 1e-12, "ftol": 1e-16, "maxcor": 50}
        found[l2] = minimize(gradient, np.zeros((D + 1) * CLASSES), jac=True, method="L-BFGS-B", options=options).fun
    return found


def bfloat16(subscripts, a, b, _):
    """One product of bfloat16: less exact than anything that can be asked for."""
    bits = arithmetic.BFLOAT16_BITS
    return arithmetic.einsum(subscripts, arithmetic.rounded(a, bits), arithmetic.rounded(b, bits))


@pytest.mark.parametrize("inner", ["float32", "tf32", "bfloat16_x3", "bfloat16"])
def test_the_true_gap_is_below_the_reported_one(inner, planted, optima, monkeypatch):
    """To what float32 rounds of a value, 1e-6; and the reported one below the tolerance."""
    x, y = planted
    if inner == "bfloat16":
        monkeypatch.setattr(curvature, "fast_einsum", bfloat16)
    jobs._solving.cache_clear()
    found = fit_convex({"l": x}, {"y": y}, l2=L2, tolerance=1e-5, arithmetic="tf32" if inner == "bfloat16" else inner)
    steps = [found.steps("l", "y", l2) for l2 in L2]
    jobs._solving.cache_clear()
    deviation = np.sqrt(np.square(x - x.mean(axis=0)).mean())
    for l2 in L2:
        w, b = (np.asarray(a, float) for a in found.weights("l", "y", l2))
        reached = value(scaled(x), y, w * deviation, b + x.astype(float).mean(axis=0) @ w, l2)
        reported = found.gap("l", "y", l2)
        assert reached - optima[l2] <= reported + 1e-6 * reached
        assert reached == pytest.approx(found.objective("l", "y", l2), rel=2e-6)
        assert 0 < reported <= 1e-5 * reached
    assert sum(steps) < 200


def test_margins_carried_along_would_report_another_gap(planted, optima, monkeypatch):
    """What the margins are taken anew for: as sums of products of bfloat16 they belong to other coefficients."""
    x, y = planted
    monkeypatch.setattr(curvature, "fast_einsum", bfloat16)
    jobs._solving.cache_clear()
    found = fit_convex({"l": x}, {"y": y}, l2=L2, tolerance=1e-6)  # says float32, and is not
    deviation = np.sqrt(np.square(x - x.mean(axis=0)).mean())
    ratios = []
    for l2 in L2:
        w, b = (np.asarray(a, float) for a in found.weights("l", "y", l2))
        reached = value(scaled(x), y, w * deviation, b + x.astype(float).mean(axis=0) @ w, l2)
        ratios.append((reached - optima[l2]) / found.gap("l", "y", l2))
    jobs._solving.cache_clear()
    assert max(ratios) > 1.5


def test_unknown_arithmetic_is_refused():
    with pytest.raises(ValueError, match="one of float32, tf32, bfloat16_x3, got 'half'"):
        ProbeConfig(arithmetic="half")
    with pytest.raises(ValueError, match="got 'half'"):
        fit_convex({"l": np.eye(4, dtype=np.float32)}, {"y": np.arange(4) % 2}, l2=[1.0], arithmetic="half")


def test_rounding_is_to_the_nearest_and_three_products_hold_sixteen_bits():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((40, 500)).astype(np.float32) for _ in range(2))
    exact = a.astype(float) @ b.astype(float).T
    errors = {
        kind: np.abs(np.asarray(arithmetic.fast_einsum("pd,nd->pn", *jax.device_put((a, b)), kind)) - exact).max()
        for kind in ("float32", "bfloat16_x3", "tf32")
    }
    # Between two kinds lies a factor of ten; the order in which a machine adds 500 products decides 1e-5 or 4e-5.
    assert errors["float32"] < 1e-4 < errors["bfloat16_x3"] < 2e-3 < errors["tf32"] < 0.1
    values = np.array([1.0, 1.0 + 2.0**-10, 1.0 + 2.0**-12, -3.0 - 2.0**-9], np.float32)
    kept = np.asarray(arithmetic.rounded(jax.device_put(values), arithmetic.TF32_BITS))
    assert kept.tolist() == [1.0, 1.0 + 2.0**-10, 1.0, -3.0 - 2.0**-9]
