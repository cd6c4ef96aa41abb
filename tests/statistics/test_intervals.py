import numpy as np
import pytest

from bias_jax.randomness import key_for
from bias_jax.statistics import percentile_interval, stratified_bootstrap, wilson_interval


def test_bootstrap_variance_against_the_formula(rng):
    """Variance of a stratified total: sum over strata of n s^2, with the unbiased s^2."""
    strata = np.repeat([0, 1, 2], [10, 25, 4])
    values = rng.standard_normal((3, 39)) * np.array([1.0, 3.0, 0.5])[strata]
    draws = stratified_bootstrap(values, strata, draws=20000, key=key_for(0, "a"))
    assert draws.shape == (20000, 3)
    np.testing.assert_allclose(draws.mean(0), values.sum(1), atol=0.5)
    expected = sum(n * values[:, strata == s].var(axis=1, ddof=1) for s, n in ((0, 10), (1, 25), (2, 4)))
    np.testing.assert_allclose(draws.var(0), expected, rtol=0.05)  # standard error of a variance: 1 %


def test_bootstrap_keeps_every_stratum_and_pairs_statistics(rng):
    strata = np.array([3, 1, 3, 1, 1, 7])
    indicator = np.stack([(strata == s) for s in (1, 3, 7)]).astype(float)
    draws = stratified_bootstrap(indicator, strata, draws=300, key=key_for(0, "b"))
    np.testing.assert_allclose(draws, np.tile([3, 2, 1], (300, 1)), rtol=1e-6)
    both = stratified_bootstrap(np.stack([indicator[0], -indicator[0]]), strata, draws=50, key=key_for(0, "b"))
    np.testing.assert_allclose(both[:, 0], -both[:, 1])


def test_bootstrap_does_not_depend_on_block_size_of_draws_kept(rng):
    values = rng.standard_normal((2, 50))
    strata = np.repeat(np.arange(5), 10)
    few = stratified_bootstrap(values, strata, draws=100, key=key_for(1, "c"))
    many = stratified_bootstrap(values, strata, draws=600, key=key_for(1, "c"))
    np.testing.assert_array_equal(few, many[:100])


def test_bootstrap_interval_covers_at_its_nominal_rate(rng):
    """Accuracy 0.6 in 20 groups of 10 images: 95 % intervals of 300 repeats cover in 95 +- 3.8 % (three errors)."""
    strata = np.repeat(np.arange(20), 10)
    correct = (rng.random((300, 200)) < 0.6) / 200
    low, high = percentile_interval(stratified_bootstrap(correct, strata, draws=2000, key=key_for(2, "d")))
    assert np.mean((low <= 0.6) & (high >= 0.6)) == pytest.approx(0.95, abs=0.038)


def test_wilson_against_published_values():
    """Newcombe 1998, Table I: 81/263, 15/148, 0/20, 1/29."""
    low, high = wilson_interval(np.array([81, 15, 0, 1]), np.array([263, 148, 20, 29]))
    np.testing.assert_allclose(low, [0.2553, 0.0624, 0.0000, 0.0061], atol=5e-5)
    np.testing.assert_allclose(high, [0.3662, 0.1605, 0.1611, 0.1718], atol=5e-5)
    assert np.isnan(wilson_interval(np.array([0]), np.array([0]))).all()
