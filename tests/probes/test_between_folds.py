"""What images do to each other's held-out values: influences against refits in float64, and their traces."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from bias_jax.probes import between_folds
from bias_jax.probes.axes import principal_axes
from bias_jax.probes.between_folds import VALUES, answer, ask, centred_signs, responses
from bias_jax.probes.paths import solve_path
from bias_jax.probes.problems import class_problems
from bias_jax.statistics import deviations

IMAGES, CLASSES, FOLDS, STRENGTH = 42, 3, 3, 0.3
BITS = VALUES.index("information_bits")


def refit(x, y, weights):
    """Float64 optimum [C, D + 1] of the weighted objective; the last column of x is all ones."""

    def objective(flat):
        w = flat.reshape(CLASSES, -1)
        log_p = log_softmax(x @ w.T, axis=1)
        residual = weights[:, None] * (np.exp(log_p) - np.eye(CLASSES)[y])
        penalised = np.where(np.arange(x.shape[1]) < x.shape[1] - 1, w, 0.0)
        value = -(weights * log_p[np.arange(len(y)), y]).sum() + STRENGTH / 2 * np.square(penalised).sum()
        return value, (residual.T @ x + STRENGTH * penalised).ravel()

    start = np.zeros(CLASSES * x.shape[1])
    return minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-10}).x.reshape(CLASSES, -1)


@pytest.fixture(scope="module", autouse=True)
def exact():
    """A variance needs few digits, so linear systems are solved to 5 % in use; here to 0.1 %."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(between_folds, "REDUCTION", 1e-3)
        yield


@pytest.fixture(scope="module")
def small():
    """Coordinates, problems, solution, and the influence matrix [N, N] of the bits from refits with changed weights.

    Rows are scaled by how much larger residuals of unseen images are than those of training images.
    """
    rng = np.random.default_rng(3)
    y = np.arange(IMAGES) % CLASSES
    x = rng.standard_normal((IMAGES, 4)).astype(np.float32)
    x[:, 0] += y
    folds = rng.permutation(np.arange(IMAGES) % FOLDS)
    coordinates = principal_axes(jax.device_put(x)).coordinates
    problems = class_problems(y, CLASSES, np.stack([folds != f for f in range(FOLDS)]))
    l2 = jax.device_put(np.full(FOLDS, STRENGTH, np.float32))
    solution = jax.tree.map(lambda a: a[0], solve_path(coordinates, problems, np.array([STRENGTH]), 1e-7, 500))
    features = np.asarray(coordinates.features, float)
    features = features[:, features.any(axis=0)]  # without what only fills the array
    influence, factor = np.zeros((IMAGES, IMAGES)), np.zeros(IMAGES)
    for f in range(FOLDS):
        own = folds == f
        w = refit(features, y, ~own / (~own).sum())
        squares = np.square(np.exp(log_softmax(features @ w.T, axis=1)) - np.eye(CLASSES)[y]).sum(axis=1)
        factor[own] = np.sqrt(squares[own].mean() / squares[~own].mean())
    for f, j in np.argwhere(folds != np.arange(FOLDS)[:, None]):
        own, log_p = folds == f, []
        for change in (-1e-3, 1e-3):
            weights = np.where(own, 0.0, 1.0)
            weights[j] += change
            logits = features[own] @ refit(features, y, weights / weights.sum()).T
            log_p.append(log_softmax(logits, axis=1)[np.arange(own.sum()), y[own]])
        influence[own, j] = (log_p[1] - log_p[0]) / 2e-3 / np.log(2.0) / IMAGES
    return coordinates, problems, solution, l2, y, folds, factor[:, None] * influence


@pytest.fixture(scope="module")
def found(small):
    """Signs, 3 to compare and 400 to average over, and what images exchange, in one call."""
    coordinates, problems, solution, l2, y, folds, _ = small
    z = np.concatenate([centred_signs(y, repeats, np.random.default_rng(s)) for s, repeats in enumerate((3, 400))])
    asked = ask(y, folds, z)
    found = jax.jit(responses)(coordinates, problems, solution.coefficients, l2, *asked)
    return z, answer(*jax.device_get(found), len(z))


def test_influences_against_refits(small, found):
    influence, (z, exchanged) = small[-1], found
    assert exchanged.learned.shape == exchanged.taught.shape == (2, 403, IMAGES)
    assert exchanged.influence.shape == (2, IMAGES)
    z, first = z[:3], (exchanged.influence, exchanged.learned[:, :3], exchanged.taught[:, :3])
    for values, expected in zip(first, (influence.sum(axis=0), z @ influence.T, z @ influence), strict=True):
        np.testing.assert_allclose(values[BITS], expected, atol=0.03 * np.abs(expected).max())


def test_mean_over_signs_is_the_trace(small, found):
    """Of the influence matrix centred on both sides; 400 signs, five standard errors."""
    y, influence = small[4], small[-1]
    learned, taught = found[1].learned[:, 3:], found[1].taught[:, 3:]
    products = (deviations(learned, y) * taught).sum(axis=-1)[BITS]
    centring = deviations(np.eye(IMAGES), y)
    expected = np.trace(centring @ influence @ centring @ influence)
    assert products.mean() == pytest.approx(expected, abs=5 * float(products.std()) / 20)
    assert products.std() / 20 < 0.1 * abs(expected)


def test_signs_have_the_covariance_of_a_stratified_draw():
    strata = np.array([0, 0, 0, 1, 1, 2])
    z = centred_signs(strata, 20000, np.random.default_rng(0))
    expected = np.zeros((6, 6))
    for s in range(3):
        own = np.flatnonzero(strata == s)
        if len(own) > 1:
            expected[np.ix_(own, own)] = (np.eye(len(own)) - 1 / len(own)) * len(own) / (len(own) - 1)
    np.testing.assert_allclose(z.T @ z / 20000, expected, atol=0.04)
