"""Findings of Krug & Stober 2025 on planted tables: supported, not supported and not decidable, each of them."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from bias_jax.published.finding import NOT_DECIDABLE, NOT_SUPPORTED, SUPPORTED, all_of, as_excerpt, judged, undecided
from bias_jax.published.krug2025.confusions import FREQUENT, GROUPS, confusion_rows, frequent_errors, share
from bias_jax.published.krug2025.distances import common_square, jackknife, pair_squares
from bias_jax.published.krug2025.errors import CLAIMS, error_finding, flipped_gender, race_and_age
from bias_jax.published.krug2025.findings import LEVEL
from bias_jax.published.krug2025.maps import age_steps, genders_and_races, pronounced_ages
from bias_jax.statistics import wilson_interval
from tests.published.planted import confusions, profiles, shares

WHITE, BLACK, LATINO, EAST = 0, 1, 2, 3
# Pairs of (race, age, gender), of which finding 1 to 4 is true; and false.
TRUE = {
    "1": [((WHITE, a, 0), (BLACK, a, 0), 20) for a in range(9)],
    "2": [((WHITE, a, 0), (BLACK, a + 1, 0), 20) for a in range(8)],
    "3": [((WHITE, a, 0), (WHITE, a + 1, 0), 20) for a in range(8)],
    "4": [((LATINO, a, 0), (WHITE, a, 0), 20) for a in range(9)],
}
FALSE = {
    "1": [((WHITE, a, 0), (WHITE, a, 1), 20) for a in range(9)],
    "2": [((WHITE, a, 0), (BLACK, a, 0), 20) for a in range(8)],
    "3": [((WHITE, a, 0), (WHITE, a + 2, 0), 20) for a in range(7)],
    "4": [((WHITE, a, 0), (EAST, a, 0), 20) for a in range(9)],
}


def finding(name, pairs, protocol="honest"):
    right = [((r, a, g), (r, a, g), 3) for r in range(7) for a in range(9) for g in range(2)]
    return error_finding(next(c for c in CLAIMS if c.name == name), protocol, confusions([*right, *pairs]), LEVEL)


@pytest.mark.parametrize("name", TRUE)
def test_errors_that_are_as_published_and_that_are_not(name):
    for pairs, verdict in ((TRUE[name], SUPPORTED), (FALSE[name], NOT_SUPPORTED)):
        for protocol in ("honest", "as published"):
            found = finding(name, pairs, protocol)
            assert found.verdict == verdict and found.low <= found.number <= found.high
            assert found.sentence in found.line and found.verdict in found.line


@pytest.mark.parametrize("name", TRUE)
def test_few_errors_decide_nothing(name):
    """19 errors, all on one side; and 30, of both kinds."""
    few = finding(name, [(*TRUE[name][0][:2], 19)])
    assert few.verdict == NOT_DECIDABLE and "fewer than 20 errors" in few.why and few.number in (0.0, 1.0)
    share_of_true = {"1": 27, "3": 27}.get(name, 15)
    mixed = finding(name, [(*TRUE[name][0][:2], share_of_true), (*FALSE[name][0][:2], 30 - share_of_true)])
    assert mixed.verdict == NOT_DECIDABLE and "fewer" not in mixed.why
    none = finding(name, [])
    assert none.verdict == NOT_DECIDABLE and math.isnan(none.number) and none.shown == "no number"


@pytest.mark.parametrize("name", TRUE)
def test_errors_of_a_probe_that_guesses_decide_nothing(name):
    claim = next(c for c in CLAIMS if c.name == name)
    found = error_finding(claim, "honest", confusions(TRUE[name]), LEVEL)
    assert found.verdict == NOT_DECIDABLE and found.why.startswith("the probe is not surely better")


def test_shares_are_counts_with_wilsons_interval(rng):
    true, predicted = rng.integers(0, GROUPS.size, (2, 500))
    rows = confusion_rows(true, predicted)
    assert sum(row["images"] for row in rows) == 500
    a, b = (np.stack(np.unravel_index(x, GROUPS.shape)) for x in (true, predicted))
    off = a != b
    found = share(rows, race_and_age, LEVEL)
    assert (found.hits, found.trials) == ((off[0] & off[1]).sum(), off.any(axis=0).sum())
    low, high = wilson_interval(np.array(found.hits), np.array(found.trials), LEVEL)
    assert (found.low, found.high) == (low, high)
    dealt = [share(confusion_rows(true, rng.permutation(predicted)), flipped_gender, 0.95).value for _ in range(60)]
    assert abs(share(rows, flipped_gender, 0.95).dealt - np.mean(dealt)) < 4 * np.std(dealt) / np.sqrt(60)


def test_frequent_errors_include_ties():
    """What no order of names can decide stays in."""
    often = [((0, a, 0), (1, a, 0), 5) for a in range(9)]
    tied = [((r, a, 0), (r, a, 1), 2) for r in range(7) for a in range(9)]
    single = [((6, 8, 1), (0, 0, 0), 1), ((0, 0, 0), (0, 0, 0), 50)]
    rows = frequent_errors(confusions([*single, *tied, *often]))
    assert len(rows) == 9 + 63 > FREQUENT and [row["images"] for row in rows[:10]] == [5] * 9 + [2]
    assert frequent_errors(confusions(single)) == []


def test_squares_of_common_differences_are_unbiased(rng):
    """Noise ten times the difference: the mean over 2000 draws is the planted square, 4 standard errors."""
    planted = rng.standard_normal((3, 5))
    drawn = [common_square(planted + 10 * rng.standard_normal((6, 3, 5))) for _ in range(2000)]
    error = np.abs(np.mean(drawn, axis=0) - (planted**2).sum(axis=1))
    assert (error < 4 * np.std(drawn, axis=0) / np.sqrt(2000)).all()
    cells = rng.standard_normal((4, 3, 5))
    pairs = pair_squares(cells)
    for k in range(3):
        for j in range(3):
            np.testing.assert_allclose(pairs[k, j], common_square(cells[:, k] - cells[:, j]), atol=1e-12)


def test_jackknife_of_a_mean_is_students_interval(rng):
    x = rng.standard_normal(9)
    value, low, high = jackknife(lambda kept: x[kept].mean(), 9, 0.9)
    half = student.ppf(0.95, 8) * x.std(ddof=1) / 3
    np.testing.assert_allclose([value, low, high], [x.mean(), x.mean() - half, x.mean() + half], rtol=1e-12)


def test_age_steps(rng):
    assert age_steps(profiles(rng, strong=4.0), LEVEL).verdict == SUPPORTED
    assert age_steps(profiles(rng, strong=0.1), LEVEL).verdict == NOT_SUPPORTED
    assert age_steps(profiles(rng, noise=50.0), LEVEL).verdict == NOT_DECIDABLE
    values = profiles(rng)
    values[: 11 * 9] = np.nan  # ages are missing in most cells
    found = age_steps(values, LEVEL)
    assert found.verdict == NOT_DECIDABLE and math.isnan(found.number) and "images of all ages" in found.why


def test_genders_and_races(rng):
    assert genders_and_races(profiles(rng), LEVEL).verdict == SUPPORTED
    assert genders_and_races(profiles(rng, race=5.0), LEVEL).verdict == NOT_SUPPORTED
    assert genders_and_races(profiles(rng, middle=0.3), LEVEL).verdict == NOT_SUPPORTED
    assert genders_and_races(profiles(rng, noise=50.0), LEVEL).verdict == NOT_DECIDABLE
    assert genders_and_races(np.full((126, 4), np.nan), LEVEL).verdict == NOT_DECIDABLE


def test_noise_alone_decides_nothing():
    """Of 40 draws without any difference between groups, at 95 % for seven findings: at most one verdict."""
    decided = 0
    for seed in range(40):
        values = profiles(np.random.default_rng(seed), noise=1.0, step=0.0, strong=0.0, race=0.0, gender=0.0)
        decided += sum(f(values, LEVEL).verdict != NOT_DECIDABLE for f in (age_steps, genders_and_races))
    assert decided <= 1


def test_pronounced_ages(rng):
    old, racial = profiles(rng, middle=1.0), profiles(rng, step=0.01, strong=0.01, race=5.0)
    assert pronounced_ages(shares(0.7, 0.2, 0.1), old, "deep", "toy").verdict == SUPPORTED
    assert pronounced_ages(shares(0.1, 0.7, 0.2), racial, "deep", "toy").verdict == NOT_SUPPORTED
    assert pronounced_ages(shares(0.4, 0.35, 0.2), old, "deep", "toy").verdict == NOT_DECIDABLE
    disagree = pronounced_ages(shares(0.7, 0.2, 0.1), racial, "deep", "toy")
    assert disagree.verdict == NOT_DECIDABLE and "does not say so" in disagree.why
    assert pronounced_ages([], old, "deep", "toy").verdict == NOT_DECIDABLE
    control = pronounced_ages([*shares(0.7, 0.2, 0.1), *shares(0.3, 0.5, 0.1, layer="pixels")], old, "deep", "toy")
    assert "in the pixels race 50.0 %, age 30.0 %, gender 10.0 %" in control.why


def test_words_of_verdicts():
    assert judged(math.nan, math.nan, 0.5, "above") == NOT_DECIDABLE
    assert judged(0.1, 0.2, 0.5, "below") == SUPPORTED and judged(0.6, 0.7, 0.5, "below") == NOT_SUPPORTED
    assert all_of([SUPPORTED, SUPPORTED]) == SUPPORTED and all_of([SUPPORTED, NOT_DECIDABLE]) == NOT_DECIDABLE
    assert all_of([NOT_DECIDABLE, NOT_SUPPORTED]) == NOT_SUPPORTED and all_of([]) == NOT_DECIDABLE
    found = finding("2", TRUE["2"])
    less = undecided(found, "untrained")
    assert less.verdict == NOT_DECIDABLE and less.why.startswith("untrained; by its number alone: supported; ")
    assert as_excerpt([found, less], "t", "n").rows[1][2] == NOT_DECIDABLE
