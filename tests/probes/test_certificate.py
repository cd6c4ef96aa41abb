"""The certified gap is a bound also where classes are rare and lie in blocks, against scikit-learn in float64."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bias_jax.probes import fit_convex


def objective(x, y, weights, bias, l2):
    logits = x @ weights + bias
    top = logits.max(axis=1)
    loss = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[np.arange(len(y)), y]
    return loss.mean() + l2 / 2 * np.square(weights).sum()


@pytest.mark.parametrize("seed", [1, 7, 9])
@pytest.mark.parametrize("tolerance", [1e-5, 1e-4])
def test_excess_is_below_the_gap_and_the_gap_below_the_tolerance(seed, tolerance):
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(300) < 0.9, 0, np.arange(300) % 4)  # gradients of biases alone say little about them
    x = rng.standard_normal((300, 20)) / (1.0 + np.arange(20))
    x[:, 3] += 2.0 * np.where(y >= 2, 1.0, -1.0)
    x = x.astype(np.float32)
    found = fit_convex({"layer": x}, {"y": y}, l2=[1e-3], tolerance=tolerance)
    scaled = x.astype(float) - x.astype(float).mean(axis=0)
    scaled /= np.sqrt(np.square(scaled).mean())
    model = LogisticRegression(C=1 / (1e-3 * len(y)), tol=1e-12, max_iter=100_000, solver="newton-cg").fit(scaled, y)
    reference = objective(scaled, y, model.coef_.T, model.intercept_, 1e-3)
    value, gap = found.objective("layer", "y", 1e-3), found.gap("layer", "y", 1e-3)
    assert value - reference <= gap + 1e-6 * value  # what float32 rounds
    assert gap <= tolerance * value
