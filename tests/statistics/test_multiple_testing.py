import numpy as np
import pytest
from scipy.stats import beta, false_discovery_control

from bias_jax.statistics import benjamini_hochberg, clopper_pearson_interval, holm, max_t


def test_holm_by_hand():
    """Holm 1979: 4 tests; 4 * 0.005, 3 * 0.01, 2 * 0.03, then not below the one before."""
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1.0, 1.0])


def test_holm_rejects_what_its_definition_rejects(rng):
    """Step down from the smallest, stop at the first p above level / (M - k)."""
    for _ in range(50):
        p = rng.random(12) ** 3
        ordered = np.sort(p)
        for level in (0.01, 0.05, 0.2):
            fails = np.flatnonzero(ordered > level / (12 - np.arange(12)))
            rejected = fails[0] if len(fails) else 12
            assert (holm(p) <= level).sum() == rejected


def test_benjamini_hochberg_against_scipy(rng):
    for size in (1, 2, 30):
        p = rng.random(size) ** 2
        np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p))
    p = np.array([0.02, 0.02, 0.5])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.03, 0.03, 0.5])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_what_is_no_p_value_is_refused(adjust):
    assert len(adjust([])) == 0
    for bad in ([0.1, np.nan], [1.1], [-0.1], [[0.1]]):
        with pytest.raises(ValueError, match="p-values"):
            adjust(bad)


def test_max_t_keeps_its_level_with_correlated_tests_of_any_scale(rng):
    """No test is true: 1,000 repeats reject any of eight at 5 % in 5 +- 2.1 % (three errors)."""
    scale = 10.0 ** np.arange(8)
    rejected = 0
    for _ in range(1000):
        draws = (rng.standard_normal((200, 1)) + rng.standard_normal((200, 8))) * scale - 3.0
        rejected += (max_t(draws[0], draws[1:]) <= 0.05).any()
    assert rejected / 1000 == pytest.approx(0.05, abs=0.021)


def test_max_t_by_hand():
    """Draws are +-1 when scaled, and the larger of the two tests is 1 in all of them."""
    draws = np.array([[1.0, -2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, 2.0]])
    np.testing.assert_allclose(max_t([5.0, 2.0], draws), [1 / 5, 5 / 5])
    np.testing.assert_allclose(max_t([5.0, np.nan], draws), [1 / 5, np.nan])
    np.testing.assert_allclose(max_t([0.0, 0.0], np.zeros((3, 2))), [1.0, 1.0])
    with pytest.raises(ValueError, match="max-T"):
        max_t([1.0], draws)


def test_clopper_pearson_inverts_the_binomial(rng):
    k, n = np.array([0, 3, 17, 20]), np.array([20, 20, 20, 20])
    low, high = clopper_pearson_interval(k, n)
    assert low[0] == 0.0 and high[3] == 1.0
    np.testing.assert_allclose(low[1:], beta.ppf(0.025, k[1:], n[1:] - k[1:] + 1))
    np.testing.assert_allclose(high[:3], beta.ppf(0.975, k[:3] + 1, n[:3] - k[:3]))
