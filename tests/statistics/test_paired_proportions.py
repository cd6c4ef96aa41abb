"""Changes between two looks at the same images: published values, exact coverage, and agreement with SciPy."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, multinomial, ttest_1samp

from bias_jax.statistics import combined_interval, mcnemar_exact, mean_change, paired_change, wilson_interval


def cells(both, gained, lost, neither):
    after = np.repeat([1, 1, 0, 0], [both, gained, lost, neither])
    return np.repeat([1, 0, 1, 0], [both, gained, lost, neither]), after


def test_no_change_among_few_images_is_no_point():
    value, low, high = paired_change(*cells(0, 0, 0, 8))
    assert value == 0.0 and -0.5 < low < -0.2 and high == pytest.approx(-low)
    assert mcnemar_exact(*cells(3, 0, 0, 5)) == 1.0


def test_unpaired_rates_give_newcombes_interval_of_two_samples():
    """Independent looks: the correlation is 0, and what is left is his method 10 for two samples."""
    value, low, high = paired_change(*cells(12, 18, 8, 12))  # 20 of 50 before, 30 of 50 after
    ends = wilson_interval(np.array([30, 20]), np.array([50, 50]))
    assert value == pytest.approx(0.2)
    assert low == pytest.approx(0.2 - np.hypot(0.6 - ends[0][0], ends[1][1] - 0.4))
    assert high == pytest.approx(0.2 + np.hypot(ends[1][0] - 0.6, 0.4 - ends[0][1]))


@pytest.mark.parametrize("chances", [(0.7, 0.1, 0.1, 0.1), (0.1, 0.05, 0.2, 0.65), (0.9, 0.02, 0.03, 0.05)])
def test_coverage_of_paired_changes(chances):
    """All tables of 16 images, by their chances: intervals cover in 93 % at least."""
    true, covered = chances[1] - chances[2], 0.0
    for both, gained, lost in product(range(17), repeat=3):
        if (neither := 16 - both - gained - lost) >= 0:
            _, low, high = paired_change(*cells(both, gained, lost, neither))
            covered += multinomial.pmf((both, gained, lost, neither), 16, chances) * (low <= true <= high)
    assert 0.93 <= covered <= 1.0


def test_tests_are_scipys(rng):
    for gained, lost in ((5, 1), (0, 3), (4, 4)):
        expected = binomtest(gained, gained + lost, 0.5).pvalue
        assert mcnemar_exact(*cells(2, gained, lost, 3)) == pytest.approx(expected)
    changes = rng.standard_normal(12) + 0.4
    value, low, high, p = mean_change(changes)
    peer = ttest_1samp(changes, 0.0)
    np.testing.assert_allclose((low, high), peer.confidence_interval(0.95))
    assert value == pytest.approx(changes.mean()) and p == pytest.approx(peer.pvalue)
    assert mean_change(np.zeros(5)) == (0.0, 0.0, 0.0, 1.0)
    assert np.isnan(mean_change([0.3])[1:]).all()


def test_sums_of_estimates_by_hand():
    """A difference is Newcombe's: the sides that face each other."""
    value, low, high = combined_interval(np.array([1.0, -1.0]), *np.array([[0.5, 0.2], [0.4, 0.1], [0.7, 0.5]]))
    assert (value, low, high) == pytest.approx((0.3, 0.3 - np.hypot(0.1, 0.3), 0.3 + np.hypot(0.2, 0.1)))
