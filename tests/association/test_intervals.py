import numpy as np
import pytest
from scipy.stats import bootstrap

from bias_jax.association import effect_size_interval, ieat, interval_from_cosines


def one_column(s):
    """Associations as cosines with a single A, and with a B at right angles to everything."""
    return s[:, None], np.zeros((len(s), 1))


def effect(x, y, axis):
    both = np.concatenate([x, y], axis=axis)
    return (x.mean(axis=axis) - y.mean(axis=axis)) / both.std(axis=axis, ddof=1)


@pytest.mark.parametrize("kind", ["bca", "percentile"])
def test_against_scipy(kind, rng):
    s = rng.standard_normal(45) + 1.2 * (np.arange(45) < 25)
    found = interval_from_cosines(*one_column(s), 25, kind=kind, draws=40_000)
    method = {"bca": "BCa", "percentile": "percentile"}[kind]
    generator = np.random.default_rng(0)
    other = bootstrap((s[:25], s[25:]), effect, n_resamples=20_000, method=method, rng=generator, vectorized=True)
    assert found.low == pytest.approx(other.confidence_interval.low, abs=0.03)
    assert found.high == pytest.approx(other.confidence_interval.high, abs=0.03)


def test_attributes_widen_the_interval(rng):
    x, y, a, b = (rng.standard_normal((n, 10)) for n in (20, 15, 6, 5))
    targets, both = (effect_size_interval(x, y, a, b, resampled=r) for r in ("targets", "targets and attributes"))
    d = ieat(x, y, a, b).effect_size
    assert targets.low < d < targets.high and both.low < d < both.high
    assert both.high - both.low > targets.high - targets.low
    assert not targets.small and effect_size_interval(x[:4], y, a, b).small


def test_few_images_and_no_spread():
    draws = interval_from_cosines(*one_column(np.array([1.0, 1.0, 2.0, 2.0])), 2, draws=500)
    assert not np.isnan(draws.low) and draws.small
    single = interval_from_cosines(*one_column(np.array([1.0, 2.0])), 1, draws=100)
    assert single.low == pytest.approx(-np.sqrt(2)) == single.high
    flat = interval_from_cosines(*one_column(np.ones(8)), 4, draws=100)
    assert np.isnan(flat.low) and np.isnan(flat.high)
    partly = interval_from_cosines(*one_column(np.array([0.0, 1.0, 0.0, 1.0])), 2, draws=2000)
    assert 0 < partly.undefined < 2000 and not np.isnan(partly.low)


def test_coverage(rng):
    """True d of 0.74, 20 images a side, 300 repeats: BCa covers in 95 +- 4 %."""
    true = 0.8 / np.sqrt(1 + 0.8**2 / 4)
    hits = 0
    for repeat in range(300):
        s = rng.standard_normal(40) + 0.8 * (np.arange(40) < 20)
        found = interval_from_cosines(*one_column(s), 20, draws=800, seed=repeat)
        hits += found.low <= true <= found.high
    assert hits / 300 == pytest.approx(0.95, abs=0.04)


def test_bad_options(rng):
    with pytest.raises(ValueError, match="unknown interval"):
        interval_from_cosines(*one_column(np.arange(6.0)), 3, kind="normal")
