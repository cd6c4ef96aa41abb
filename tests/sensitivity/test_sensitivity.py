"""Directions between groups against differences of means, their tests and intervals on drawn data."""

import numpy as np
import pytest
from scipy.stats import binom, kstest, ttest_1samp

from bias_jax.sensitivity import between, beyond, contrast, mean_interval, permuted_test, span_of
from bias_jax.statistics import shuffled_blocks


@pytest.mark.parametrize(("images", "width"), [(30, 8), (10, 40)])
def test_directions_are_differences_of_means(rng, images, width):
    features = (rng.standard_normal((images, width)) + 5).astype(np.float32)
    inside = np.arange(images) % 3 == 0
    span = span_of(features)
    assert len(span.basis) == min(width, images - 1)
    found = between(contrast(inside), span.coordinates, span.scale) @ span.basis
    expected = features[inside].mean(axis=0, dtype=float) - features[~inside].mean(axis=0, dtype=float)
    assert span.scale == pytest.approx(np.sqrt(features.var(axis=0, dtype=float).sum()))
    np.testing.assert_allclose(found, span.scale * expected / np.linalg.norm(expected), rtol=0, atol=1e-5)


def test_a_layer_that_does_not_vary_has_no_direction():
    span = span_of(np.ones((6, 3)))
    assert span.scale == 0 and span.basis.shape == (1, 3)
    contrasts = contrast(np.arange(6) < 3)[None]
    orders = np.stack([np.random.default_rng(i).permutation(6) for i in range(9)])
    found = permuted_test(contrasts, span.coordinates, span.scale, np.ones((1, 2)), orders, 2)
    assert (found.value == 0).all() and (found.p_value == 1).all() and (found.strength == 0).all()


def test_p_values_are_ranks_among_permutations(rng):
    span, inside = span_of(rng.standard_normal((12, 3))), np.arange(12) < 4
    slopes, orders = rng.standard_normal((3, 5)), np.stack([rng.permutation(12) for _ in range(19)])
    found = permuted_test(contrast(inside)[None], span.coordinates, span.scale, slopes, orders, 4)
    every = [between(contrast(inside[order]), span.coordinates, span.scale) @ slopes
             for order in (np.arange(12), *orders)]  # fmt: skip
    size = np.abs(every)
    np.testing.assert_allclose(found.value[0], every[0], rtol=1e-6)
    np.testing.assert_allclose(found.p_value[0], (size >= size[0]).mean(axis=0))
    statistic = size / np.sqrt(np.square(size).mean(axis=0))
    assert found.largest == pytest.approx(statistic.max(axis=1), abs=1e-4)
    np.testing.assert_allclose(found.strength[:, 0], np.sqrt(np.square(size[:, :4]).mean(axis=1)), rtol=1e-5)
    expected = [(statistic.max(axis=1) >= one - 1e-5).mean() for one in statistic[0]]
    np.testing.assert_allclose(beyond(found.statistic[0], found.largest), expected)


def test_intervals_are_students(rng):
    """Of images; and of persons with equally many, whose means are what varies."""
    values = rng.standard_normal((2, 12))
    mean, low, high = mean_interval(values, None)
    expected = [ttest_1samp(row, 0).confidence_interval() for row in values]
    np.testing.assert_allclose(np.stack([low, high], axis=1), expected)
    people = np.repeat([5, 7, 9, 11], 3)
    _, low, high = mean_interval(values, people)
    expected = [ttest_1samp(row.reshape(4, 3).mean(axis=1), 0).confidence_interval() for row in values]
    np.testing.assert_allclose(np.stack([low, high], axis=1), expected)
    np.testing.assert_allclose(mean, values.mean(axis=1))
    assert np.isnan(mean_interval(values, np.zeros(12))[1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("each", [1, 3])
def test_without_a_difference_p_values_are_uniform(each):
    """500 drawn layers of 45 images, or of 15 persons with 3 alike ones; corrected ones reject in 5 % of the layers."""
    p, smallest = [], []
    for seed in range(500):
        rng = np.random.default_rng(seed)
        features = np.repeat(rng.standard_exponential((45 // each, 6)), each, axis=0) + 0.1 * rng.random((45, 6))
        people = None if each == 1 else np.arange(45) // each
        labels = np.repeat(rng.permutation(np.arange(45 // each) % 3), each)
        contrasts = np.stack([contrast(labels == g) for g in range(3)])
        span = span_of(features)
        orders = np.stack([shuffled_blocks(people, rng, 45) for _ in range(99)])
        slopes = rng.standard_normal((len(span.basis), 8))
        found = permuted_test(contrasts, span.coordinates, span.scale, slopes, orders, 8)
        p.append(found.p_value[0, 0])
        smallest.append(beyond(found.statistic, found.largest).min())
    jitter = np.random.default_rng(0).random(len(p)) / 100  # ranks of 100 are discrete
    assert kstest(np.array(p) - jitter, "uniform").pvalue > 0.001
    assert binom(500, 0.05).ppf(0.0005) <= (np.array(smallest) <= 0.05).sum() <= binom(500, 0.05).ppf(0.9995)


@pytest.mark.slow
@pytest.mark.parametrize("people", [None, np.repeat(np.arange(16), [1, 2, 3, 4] * 4)])
def test_intervals_cover(people):
    """Slopes of 40 images, or of 16 persons with 1 to 4 each who vary among each other: 93 to 97 % of 2,000 draws."""
    rng = np.random.default_rng(0)
    values = 0.3 + rng.standard_normal((2000, 40))
    if people is not None:
        values += rng.standard_normal((2000, 16))[:, people]
    _, low, high = mean_interval(values, people)
    covered = ((low <= 0.3) & (high >= 0.3)).mean()
    print(f"covered: {covered:.3f}")
    assert 0.93 < covered < 0.97
