"""Counting in the middle and the grid bounds, against plain enumeration."""

import math
import time
from itertools import combinations

import numpy as np
import pytest

from bias_jax.association import permutation_test
from bias_jax.association.bounds import tail_bounds
from bias_jax.association.exact import all_subsets, count_subsets, feasible

SIZES = [(1, 1), (1, 5), (4, 4), (3, 6), (7, 2), (6, 6), (5, 8), (9, 1)]
KINDS = ("normal", "ties", "small integers", "shared images")


def values(kind, n_x, n_y, seed):
    rng = np.random.default_rng(seed)
    n = n_x + n_y
    if kind == "normal":
        return rng.standard_normal(n)
    if kind == "ties":
        return 0.1 * rng.integers(-2, 3, n) + 0.3  # not representable: sums depend on their order
    if kind == "small integers":
        return rng.integers(0, 2, n).astype(float)
    return rng.standard_normal(max(n_x, n_y))[rng.permutation(n) % max(n_x, n_y)]  # images of X again in Y


def enumerated(s, n_x, alternative):
    """Counts >= and > by exact rational arithmetic on decimals, one subset after the other."""
    s = [round(v * 10**12) for v in s]
    n, everything = len(s), sum(s)

    def statistic(total):
        centred = n * total - n_x * everything
        return abs(centred) if alternative == "two-sided" else centred

    observed = statistic(sum(s[:n_x]))
    sums = [statistic(sum(chosen)) for chosen in combinations(s, n_x)]
    slack = 2 * n * n_x  # what rounding to integers can change, in the units of the statistic
    return sum(v >= observed - slack for v in sums), sum(v > observed + slack for v in sums)


@pytest.mark.filterwarnings("ignore:all associations are equal")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
@pytest.mark.parametrize("sizes", SIZES)
def test_counts_equal_enumeration(sizes, alternative, kind):
    for seed in range(4):
        s = values(kind, *sizes, seed)
        found = permutation_test(s[: sizes[0]], s[sizes[0] :], method="exact", alternative=alternative)
        if np.isnan(found.effect_size):
            assert np.ptp(s) < 1e-12
            continue
        assert (found.count, found.count_strict) == enumerated(s, sizes[0], alternative)
        assert found.total == math.comb(len(s), sizes[0])
        assert found.p_value == found.p_low == found.p_high == found.count / found.total


@pytest.mark.filterwarnings("ignore:all associations are equal")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
@pytest.mark.parametrize("sizes", SIZES)
def test_bounds_bracket_enumeration(sizes, alternative, kind):
    for seed in range(4):
        s = values(kind, *sizes, seed)
        x, y = s[: sizes[0]], s[sizes[0] :]
        exact = permutation_test(x, y, method="exact", alternative=alternative)
        bounds = permutation_test(x, y, method="bounds", alternative=alternative)
        assert bounds.p_low <= exact.p_value <= bounds.p_high == bounds.p_value
        # Two lattice sums may be as close as the grid; nothing more may fall between the bounds.
        assert bounds.p_high - bounds.p_low <= (exact.count - exact.count_strict + 2) / exact.total + 1e-9
        assert bounds.count is None


@pytest.mark.parametrize("sizes", [(20, 20), (12, 25), (3, 60)])
def test_bounds_bracket_counts_that_cannot_be_enumerated(sizes, rng):
    s = rng.standard_normal(sum(sizes))
    for threshold in (0.0, 2.0, 6.0):
        p = count_subsets(s, sizes[0], [threshold])[0] / math.comb(sum(sizes), sizes[0])
        low, high = tail_bounds(s, sizes[0], threshold)
        assert low <= p <= high and high - low < 0.002


def test_far_tail_has_relative_accuracy(rng):
    s = np.sort(rng.standard_normal(40))[::-1]
    for threshold in np.linspace(0.8, 0.97, 4) * s[:20].sum():
        p = count_subsets(s, 20, [threshold])[0] / math.comb(40, 20)
        low, high = tail_bounds(s, 20, threshold)
        assert p < 1e-5 and 0.9 * p < low <= p <= high < 1.1 * p
    assert tail_bounds(s, 20, float(s[:20].sum()) + 1.0) == (0.0, 0.0)


@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
def test_forty_images_a_side_within_0_002(alternative, rng):
    for _ in range(3):
        s = rng.standard_normal(80)
        found = permutation_test(s[:40], s[40:], alternative=alternative)
        assert found.method == "bounds" and 0 < found.p_high - found.p_low <= 0.002


def test_twenty_images_a_side_in_under_a_second(rng):
    s = rng.standard_normal(40)
    start = time.process_time()
    found = permutation_test(s[:20], s[20:])
    assert time.process_time() - start < 1.0
    assert found.method == "exact" and found.total == math.comb(40, 20)
    # 2e5 independent draws of NumPy agree within four standard errors.
    sums = rng.permuted(np.tile(s, (200_000, 1)), axis=1)[:, :20].sum(axis=1)
    share = (sums >= s[:20].sum()).mean()
    assert share == pytest.approx(found.p_value, abs=4 * math.sqrt(found.p_value * (1 - found.p_value) / 200_000))


def test_images_repeated_in_both_sets_are_ties():
    """The order of summation must not decide: X and Y hold the same images, so most relabellings tie in pairs."""
    x = np.array([0.1, 0.2, 0.3, 0.7, 0.9, 1.1])
    found = permutation_test(x, x[::-1], method="exact")
    sums = all_subsets(12, 6) @ np.rint(10 * np.concatenate([x, x]))
    assert found.count == (sums >= 33).sum() and found.count_strict == (sums > 33).sum()


def test_what_is_out_of_reach_is_refused():
    assert feasible(44, 22) and feasible(300, 2) and not feasible(60, 30)
    with pytest.raises(ValueError, match="out of reach"):
        permutation_test(np.arange(30.0), np.arange(30.0), method="exact")
    assert permutation_test(np.arange(2.0), np.arange(298.0)).method == "exact"
