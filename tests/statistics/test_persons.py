"""Sums over images as sums over persons: the same sum, and the variance that samples of persons give it."""

import numpy as np
import pytest

from bias_jax.randomness import key_for
from bias_jax.statistics import (
    bootstrap_weights,
    by_person,
    deviations,
    effective_trials,
    home_groups,
    percentile_interval,
    shuffled_blocks,
    stratified_bootstrap,
    wilson_interval,
)


def test_sum_stays_and_one_image_a_person_changes_nothing(rng):
    values, strata = rng.standard_normal((3, 40)), np.arange(40) % 3
    people = rng.permutation(np.arange(40) % 9)
    sums, groups = by_person(values, strata, people)
    assert sums.shape == (3, 9) and groups.shape == (9,)
    np.testing.assert_allclose(sums.sum(axis=1), values.sum(axis=1))
    assert by_person(values, strata, None) == (values, strata)
    alone, same = by_person(values, strata, np.arange(40))
    assert (same == strata).all()
    np.testing.assert_allclose(deviations(alone, same), deviations(values, strata), atol=1e-12)


def test_variance_of_a_rate_of_persons_with_unequal_numbers_of_images(rng):
    """Means of images by group, added: against the variance over 4000 drawn samples of 60 persons, to 10 %."""
    sizes = np.array([1, 2, 3, 8, 1, 5] * 10)
    people, group = np.repeat(np.arange(60), sizes), np.repeat(np.arange(60) % 2, sizes)

    def sample(rng):
        x = rng.standard_normal(60)[people] + 0.5 * rng.standard_normal(len(people))
        return np.where(group == 0, x / (group == 0).sum(), x / (group == 1).sum())

    drawn = np.array([sample(rng).sum() for _ in range(4000)])
    estimates, naive = np.transpose([
        [np.square(deviations(*by_person(x, group, people))).sum(), np.square(deviations(x, group)).sum()]
        for x in (sample(rng) for _ in range(400))
    ])  # fmt: skip
    assert estimates.mean() == pytest.approx(drawn.var(), rel=0.1)
    assert naive.mean() < 0.4 * drawn.var()
    rows, strata = by_person(sample(rng)[None], group, people)
    draws = stratified_bootstrap(rows, strata, draws=4000, key=key_for(0, "x"))
    assert draws.var() == pytest.approx(np.square(deviations(rows, strata)).sum(), rel=0.1)


def test_weights_are_those_of_the_person(rng):
    people, strata = np.repeat(np.arange(12), 3), np.repeat(np.arange(12) % 2, 3)
    weights = bootstrap_weights(strata, draws=50, key=key_for(0, "x"), people=people)
    assert (weights[:, ::3] == weights[:, 1::3]).all() and weights.std() > 0.5
    np.testing.assert_allclose(weights[:, ::3].sum(axis=1), 12, rtol=1e-6)
    values = rng.standard_normal((1, 12))  # one value a person: the same draws
    sums = stratified_bootstrap(values, np.arange(12) % 2, draws=50, key=key_for(0, "x"))
    np.testing.assert_allclose(weights[:, ::3] @ values.T, sums, atol=1e-5)


def test_home_is_where_most_images_are():
    assert home_groups(np.array([3, 1, 1, 2, 2, 0]), np.array([0, 0, 0, 1, 1, 1])).tolist() == [1, 2]
    assert home_groups(np.array([4, 2]), np.array([0, 0])).tolist() == [2]


def test_effective_trials_of_copies_are_the_persons(rng):
    """Four copies of each of 50 trials: 49 (1.972 / 2.010)^2 by hand; without persons 200."""
    hits = rng.random(50) < 0.3
    people = np.repeat(np.arange(50), 4)
    assert effective_trials(np.repeat(hits, 4), people) == pytest.approx(47.2, abs=0.1)
    assert effective_trials(np.repeat(hits, 4), None) == 200
    assert effective_trials(np.zeros(200, bool), people) == 50  # nobody
    assert effective_trials(hits, rng.permutation(50)) == 50  # everyone alone
    assert effective_trials(np.tile([True, False, True, False], 50), people) == 200  # all alike
    assert effective_trials(hits[:4], np.zeros(4, int)) == 1


def test_intervals_of_a_rate_among_persons_cover(rng):
    """30 persons with 1 to 6 images of one outcome each, rate 0.3: nominal 95 %, 300 repeats; without persons less."""
    people = np.repeat(np.arange(30), np.arange(30) % 6 + 1)
    covered = {"persons": 0, "images": 0}
    for _ in range(300):
        hits = (rng.random(30) < 0.3)[people]
        for name, given in (("persons", people), ("images", None)):
            trials = effective_trials(hits, given)
            low, high = wilson_interval(np.array(hits.mean() * trials), np.array(trials))
            covered[name] += low <= 0.3 <= high
    assert covered["persons"] >= 0.92 * 300 and covered["images"] < 0.8 * 300, covered


def test_blocks_of_equal_size_change_places_whole(rng):
    people = np.repeat([5, 2, 9, 7], 3)
    label = np.repeat([0, 1, 2, 3], 3)
    orders = [shuffled_blocks(people, rng, 12) for _ in range(50)]
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert all((np.ptp(label[order].reshape(4, 3), axis=1) == 0).all() for order in orders)
    assert len({tuple(label[order]) for order in orders}) > 10
    uneven = np.repeat([0, 1, 2], [1, 4, 2])
    assert all(sorted(shuffled_blocks(uneven, rng, 7)) == list(range(7)) for _ in range(20))
    first, second = np.random.default_rng(1), np.random.default_rng(1)
    assert (shuffled_blocks(None, first, 7) == second.permutation(7)).all()


def test_percentiles_of_persons_and_images(rng):
    """Copies of each image: the interval of persons is twice as wide as that of 4 x as many images."""
    values, people = np.repeat(rng.standard_normal((1, 100)), 4, axis=1) / 400, np.repeat(np.arange(100), 4)

    def width(given):
        sums, strata = by_person(values, np.zeros(400, int), given)
        low, high = percentile_interval(stratified_bootstrap(sums, strata, draws=4000, key=key_for(1, "y")))
        return high - low

    wide, narrow = width(people), width(None)
    assert wide / narrow == pytest.approx(2.0, rel=0.1)
