"""Paired differences: values by hand, and calibration of p-values and intervals."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, kstest, ttest_1samp

from bias_jax.probes import OutOfFold, attribute_pairs, compare_probes, layer_pairs, model_pairs, probe_values
from bias_jax.randomness import key_for
from bias_jax.statistics import paired_differences

SHAPES = {"race": (("race", 2),), "age": (("age", 3),)}


def predictions(rng, shares, images=120):
    truth = np.stack([rng.integers(0, 2, (1, images)), rng.integers(0, 3, (1, images))], axis=1)
    wrong = (truth + 1) % np.array([2, 3])[:, None]
    guess = np.where(rng.random(truth.shape) < np.array(shares)[:, None], truth, wrong)
    return truth, guess


def out_of_fold(truth, guess):
    log_p = np.full(truth.shape, -0.5)
    images = truth.shape[-1]
    alone, inner = np.zeros((1, 2, 2, 1, images)), np.zeros((2, 1, 2, images))
    fields = truth, guess, log_p, guess, log_p, alone[..., 0, :], alone, alone, inner.astype(int), inner
    return OutOfFold(*fields, np.arange(images) % 3, np.ones((2, 3)), np.zeros(2))


@pytest.fixture(scope="module")
def results():
    rng = np.random.default_rng(0)
    truth, weak = predictions(rng, (0.6, 0.5))
    _, strong = predictions(rng, (0.9, 0.5))
    strong = np.where(rng.random(truth.shape) < 0.9, truth, strong)
    return {"early": out_of_fold(truth, weak), "late": out_of_fold(truth, strong)}


def test_pairs_and_values(results):
    values = probe_values("m", results, SHAPES, "adjusted_balanced_accuracy")
    probes = list(values)
    assert [(a.target, a.layer, b.layer) for a, b in layer_pairs(probes)] == [
        ("race", "early", "late"), ("age", "early", "late")]  # fmt: skip
    assert [(a.layer, a.target, b.target) for a, b in attribute_pairs(probes, ["race", "age"])] == [
        ("early", "race", "age"), ("late", "race", "age")]  # fmt: skip
    others = [probe._replace(model="n") for probe in probes[:3]]
    assert len(model_pairs(probes, others)) == 3
    truth = results["early"].truth[0]
    rows = compare_probes("adjusted_balanced_accuracy", values, layer_pairs(probes), truth[0] * 3 + truth[1],
                          draws=300, key=key_for(0, "x"))  # fmt: skip
    for t, row in enumerate(rows):
        size = (2, 3)[t]
        recalls = [[(r.predicted[0, t] == c)[truth[t] == c].mean() for c in range(size)] for r in results.values()]
        adjusted = [(np.mean(x) - 1 / size) / (1 - 1 / size) for x in recalls]
        assert row.value == pytest.approx(adjusted[0] - adjusted[1])
        assert row.low <= row.value <= row.high and row.p_holm >= row.p_value
    assert rows[0].p_value < 1e-4 and rows[0].versus_layer == "late"


def test_a_single_class_has_nothing_to_compare(results):
    alone = replace(results["early"], truth=results["early"].truth * np.array([0, 1])[:, None])
    values = probe_values("m", {"early": alone}, SHAPES, "adjusted_balanced_accuracy")
    assert [probe.target for probe in values] == ["age"]
    assert len(probe_values("m", {"early": alone}, SHAPES, "information_bits")) == 2


def test_perfect_probes_of_unequal_targets_do_not_differ():
    """Their values differ image by image, and sums only by rounding."""
    groups = np.repeat(np.arange(5), (20, 50, 70, 30, 133))
    values = np.stack([np.full(303, 1 / 303), 1 / (5 * np.bincount(groups)[groups])])
    found = paired_differences(values, np.array([[0, 1]]), groups, draws=100, key=key_for(0, "x"))
    assert found.p_value[0] == 1 and found.low[0] <= found.value[0] <= found.high[0]
    none = paired_differences(values, np.empty((0, 2), int), groups, draws=100, key=key_for(0, "x"))
    assert len(none.value) == 0


def test_one_stratum_is_the_paired_t_test():
    """With one stratum the standard error is that of the mean; at 500 images normal and t agree."""
    values = np.random.default_rng(0).standard_normal((2, 500)) + [[0.1], [0.0]]
    found = paired_differences(values / 500, np.array([[0, 1]]), np.zeros(500, int), draws=500, key=key_for(0, "x"))
    assert found.p_value[0] == pytest.approx(ttest_1samp(values[0] - values[1], 0).pvalue, rel=0.05)


def test_degenerate_strata():
    pair = np.array([[0, 1]])
    single = paired_differences(np.eye(2, 5), pair, np.arange(5), draws=100, key=key_for(0, "x"))
    assert np.isnan(single.p_value[0])
    equal = paired_differences(np.ones((2, 6)), pair, np.arange(6) % 2, draws=100, key=key_for(0, "x"))
    assert equal.p_value[0] == 1 and equal.value[0] == 0


@pytest.mark.parametrize("difference", [0.0, 0.1])
def test_calibration_over_repeats(difference):
    """Two classifiers of accuracy 0.6 + difference and 0.6 on the same images, 500 repeats."""
    rng = np.random.default_rng(7)
    strata = np.repeat(np.arange(10), 20)
    p, covered = [], 0
    for repeat in range(500):
        values = (rng.random((2, 200)) < np.array([[0.6 + difference], [0.6]])) / 200
        found = paired_differences(values, np.array([[0, 1]]), strata, draws=300, key=key_for(repeat, "x"))
        p.append(found.p_value[0])
        covered += found.low[0] <= difference <= found.high[0]
    low, high = binom.ppf([0.001, 0.999], 500, 0.95)
    assert low <= covered <= high
    if difference == 0.0:
        assert kstest(np.array(p) + rng.uniform(-1, 1, 500) * 1e-9, "uniform").pvalue > 0.001
