"""Inverses by elimination against NumPy's in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.probes.axes import principal_axes
from bias_jax.probes.between_folds import ask, centred_signs, responses
from bias_jax.probes.biases import bias_hessian
from bias_jax.probes.inverse import positive_inverse
from bias_jax.probes.objective import ABSENT_CLASS_LOGIT, cross_entropy, to_margins
from bias_jax.probes.problems import class_problems
from bias_jax.probes.solver import begin, newton_step


@pytest.mark.parametrize("size", [1, 2, 8, 24, 64, 96])
def test_inverses_are_those_of_float64(size, rng):
    """Also of a matrix near the edge: a class of few images, and one without any."""
    x = 3.0 * rng.standard_normal((3, size, 300))
    rate = np.exp(x - x.max(axis=1, keepdims=True))
    rate /= rate.sum(axis=1, keepdims=True)
    hessian = np.eye(size) * rate.mean(axis=2)[:, None] - np.einsum("pcn,pdn->pcd", rate, rate) / 300 + 1.0 / size
    hessian[1, 0] = hessian[1, :, 0] = 0.0
    hessian[1, 0, 0] = 1e-6
    found = np.asarray(jax.jit(positive_inverse)(jnp.asarray(hessian, jnp.float32)), np.float64)
    expected = np.linalg.inv(hessian)
    condition = np.linalg.cond(hessian[[0, 2]]).max()
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other).max() <= 1e-7 * 10 * condition * np.abs(other).max()
    np.testing.assert_allclose(found[0] @ hessian[0], np.eye(size), atol=1e-6 * condition)


def test_biases_of_classes_that_are_told_apart_keep_their_digits(rng):
    """126 classes of four images, nearly separated: curvatures from 1e-6 to 1e-4 beside that of equal biases."""
    y = np.arange(504) % 126
    problems = class_problems(y, 126, np.ones((1, 504), bool))
    logits = rng.standard_normal((1, problems.present.shape[1], 504)).astype(np.float32)
    logits[0, y, np.arange(504)] += rng.uniform(9.0, 14.0, 504)
    logits[0, 126:] = ABSENT_CLASS_LOGIT

    @jax.jit
    def both(logits):
        fit = cross_entropy(to_margins(logits, problems), problems)
        hessian = bias_hessian(fit.residual, problems)
        return fit.loss, hessian, positive_inverse(hessian)

    loss, hessian, inverse = (np.asarray(a, float)[0] for a in both(logits))
    assert 1e-4 < loss < 1e-2
    np.testing.assert_allclose(hessian @ inverse, np.eye(128), atol=1e-5)


def test_nothing_that_devices_do_side_by_side_waits_in_a_library(rng):
    """Batched decompositions of LAPACK wait for threads of the pool they run in: enough at once, and none is left."""
    y, folds = np.arange(24) % 3, np.arange(24) // 8
    coordinates = principal_axes(jax.device_put(rng.standard_normal((24, 4)).astype(np.float32))).coordinates
    problems = class_problems(y, 3, np.stack([folds != f for f in range(3)]))
    coefficients = jnp.zeros((3, problems.present.shape[1], coordinates.features.shape[1]))
    l2 = jnp.ones(3)
    asked = ask(y, folds, centred_signs(y, 2, rng))
    exchanged = jax.make_jaxpr(responses)(coordinates, problems, coefficients, l2, *asked)

    def step(coefficients):
        at = begin(coordinates, problems, coefficients)
        return newton_step(coordinates, problems, l2, at, jnp.float32(1e-5), jnp.int32(9), "float32")

    for program in (exchanged, jax.make_jaxpr(step)(coefficients)):
        assert "dot_general" in str(program)
        for decomposition in ("lu", "cholesky", "eigh", "qr", "svd", "triangular_solve", "ffi_call"):
            assert f" {decomposition}[" not in str(program)
