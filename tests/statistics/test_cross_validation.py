"""Spread of cross-validated sums: against the variance of a sum with planted influences, and at its ends."""

import numpy as np
import pytest

from bias_jax.statistics import Exchange, cross_validated_spread, deviations

STRATA = np.repeat([0, 1, 2], 40)


def planted(rng, own, teaching, mutual, signs=40):
    """Values, exchange and sum, where image i learns ``mutual * s[i] * s[j] * images`` from image j."""
    images = len(STRATA)
    e, s = rng.standard_normal((2, images))
    b = mutual * np.outer(s, s)
    np.fill_diagonal(b, 0.0)
    z = deviations(rng.choice((-1.0, 1.0), (signs, images)), STRATA)
    influence = teaching * e + b.sum(axis=0)
    return own * e + b.sum(axis=1), Exchange(influence, z @ b.T, z @ b), (own + teaching) * e.sum() + b.sum()


@pytest.mark.parametrize(("own", "teaching", "mutual"), [(1.0, 0.0, 0.0), (1.0, 0.5, 0.0), (1.0, 0.3, 0.05)])
def test_variance_of_a_sum_with_planted_influences(rng, own, teaching, mutual):
    """Closed form: N (own + teaching)^2 + 2 N (N - 1) mutual^2; mean of 400 repeats, to 5 %."""
    images, found = len(STRATA), []
    for _ in range(400):
        values, exchange, _ = planted(rng, own, teaching, mutual)
        spread = cross_validated_spread(values, exchange, STRATA)
        found.append(spread**2 * np.square(deviations(values, STRATA)).sum())
    expected = images * (own + teaching) ** 2 + 2 * images * (images - 1) * mutual**2
    assert np.mean(found) == pytest.approx(expected, rel=0.05)
    sums = [planted(rng, own, teaching, mutual, signs=1)[2] for _ in range(4000)]
    assert np.var(sums) == pytest.approx(expected, rel=0.1)  # the closed form itself; four standard errors


def test_ends():
    """Influences beyond what values vary by are taken to be smaller; values that do not vary stay so."""
    ones = np.where(np.arange(120) % 2, 1.0, -1.0)
    wild = Exchange(np.zeros(120), 1e3 * ones[None], 1e3 * ones[None])
    assert cross_validated_spread(ones, wild, STRATA) == pytest.approx(np.sqrt(2.0))
    apart = Exchange(1e3 * ones, 1e3 * ones[None], -1e3 * ones[None])
    assert cross_validated_spread(ones, apart, STRATA) == pytest.approx(2.0)
    assert cross_validated_spread(0 * ones, wild, STRATA) == 1.0


def test_deviations():
    values = np.array([[1.0, 3.0, 5.0, 7.0, 9.0], [1.0, 1.0, 2.0, 2.0, 2.0]])
    found = deviations(values, np.array([4, 4, 7, 7, 9]))
    root = np.sqrt(2.0)
    np.testing.assert_allclose(found, [[-root, root, -root, root, 0.0], [0.0] * 5], atol=1e-12)
