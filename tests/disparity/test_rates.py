import jax
import numpy as np
import pytest

from bias_jax.disparity import (
    ALL,
    MEAN,
    best_thresholds,
    class_scores,
    group_rates,
    group_rows,
    image_events,
    matched_thresholds,
    paired_rows,
    resampling,
    spread_rows,
    top_associations,
    top_labels,
)
from bias_jax.disparity.comparisons import from_others, interval
from bias_jax.disparity.rates import average_precision, f_beta
from bias_jax.statistics import bootstrap_weights, stratified_bootstrap

CLASSES = ("a", "b", "c")


def rates_of(rng, n=60, size=3, seeds=2, draws=100, unknown=0.2, groups=None, decided=None, labels=None, scores=None):
    if labels is None:
        labels = np.where(rng.random((n, 3)) < unknown, np.nan, rng.random((n, 3)) < 0.4)
    if scores is None:
        scores = rng.standard_normal((seeds, *labels.shape)).round(1) + np.nan_to_num(labels)
    decided = scores > 0.5 if decided is None else decided
    groups = rng.integers(0, size, len(labels)) if groups is None else groups
    families = {"harm": top_associations(scores, np.array([2]), 1)}
    events = image_events(decided, labels, CLASSES, [0, 2], families)
    weights = resampling(groups, draws, jax.random.key(0))
    found = group_rates(events, scores, labels, CLASSES, [0, 2], groups, size, weights)
    return found, labels, scores, decided, groups


def test_rates_equal_counting_and_scikit_learn(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    found, labels, scores, decided, groups = rates_of(rng, seeds=1)
    value = {name: found.values[0, :, i] for i, name in enumerate(found.names)}
    for g in range(3):
        for c in (0, 2):
            rows = np.flatnonzero((groups == g) & ~np.isnan(labels[:, c]))
            truth, guess = labels[rows, c] == 1, decided[0, rows, c]
            label = CLASSES[c]
            assert value["recall", label][g] == pytest.approx(metrics.recall_score(truth, guess))
            assert value["precision", label][g] == pytest.approx(metrics.precision_score(truth, guess))
            assert value["false_positive_rate", label][g] == pytest.approx(guess[~truth].mean())
            assert value["label_rate", label][g] == pytest.approx(truth.mean())
            expected = metrics.average_precision_score(truth, scores[0, rows, c])
            assert value["average_precision", label][g] == pytest.approx(expected, rel=1e-6)
            assert value["predicted_rate", label][g] == pytest.approx(decided[0, groups == g, c].mean())
        rows = groups == g
        known = ~np.isnan(labels[rows])
        expected = (decided[0, rows] & (labels[rows] == 1)).sum() / (labels[rows] == 1).sum()
        assert value["recall", ALL][g] == pytest.approx(expected)
        f2 = [
            metrics.fbeta_score(y[k] == 1, p[k], beta=2, zero_division=1)
            for y, p, k in zip(labels[rows], decided[0, rows], known, strict=True)
        ]
        assert value["f2", ALL][g] == pytest.approx(np.mean(f2))
        assert value["association", "harm"][g] == pytest.approx((scores[0, rows].argmax(axis=1) == 2).mean())
        assert value["recall", MEAN][g] == pytest.approx((value["recall", "a"][g] + value["recall", "c"][g]) / 2)


def test_precision_standardised_removes_prevalence(rng):
    """Groups that are recognised alike but differ in prevalence differ in precision, not in the standardised one."""
    labels = np.concatenate([np.arange(10_000) % 10 < 5, np.arange(10_000) % 10 < 1]).astype(float)[:, None]
    decided = (rng.random(20_000) < np.where(labels[:, 0] == 1, 0.8, 0.1))[None, :, None]
    groups = np.repeat([0, 1], 10_000)
    events = image_events(decided, labels, ["x"], [0], {})
    found = group_rates(
        events, decided * 1.0, labels, ["x"], [0], groups, 2, resampling(groups, 100, jax.random.key(0))
    )
    value = {name: found.values[0, :, i] for i, name in enumerate(found.names)}
    assert value["precision", "x"][0] - value["precision", "x"][1] > 0.3
    assert abs(np.diff(value["precision_standardised", "x"])[0]) < 0.05


def test_weighted_average_precision_with_ties_equals_scikit_learn(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    scores, weights = rng.standard_normal(80).round(1), rng.integers(0, 4, (5, 80)).astype(float)
    labels = (rng.random(80) < 0.3).astype(float)
    found = average_precision(scores, labels, weights)
    for value, w in zip(found, weights, strict=True):
        assert value == pytest.approx(metrics.average_precision_score(labels, scores, sample_weight=w))
    assert np.isnan(average_precision(scores, np.zeros(80), weights)).all()
    assert np.isnan(average_precision(scores, np.full(80, np.nan), weights)).all()


def test_f2_of_the_challenge():
    assert f_beta(np.array([0, 0, 1]), np.array([0, 3, 2]), np.array([0, 0, 1])).tolist() == [1.0, 0.0, 5 / 6]


def test_seeds_are_averaged_and_their_spread_is_told(rng):
    both, labels, scores, decided, groups = rates_of(rng)
    single = [
        rates_of(rng, labels=labels, scores=scores[[s]], decided=decided[[s]], groups=groups)[0] for s in range(2)
    ]
    i = both.names.index(("recall", "a"))
    values = np.stack([s.values[0, :, i] for s in single])
    np.testing.assert_allclose(both.values[0, :, i], values.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(both.seed_deviation[:, i], values.std(axis=0, ddof=1), rtol=1e-4, atol=1e-7)


def test_empty_groups_and_missing_labels_are_undefined(rng):
    labels = np.zeros((30, 3))
    labels[:10, 2] = np.nan
    groups = np.repeat([0, 2], 15)
    found, *_ = rates_of(rng, labels=labels, groups=groups, size=3)
    rows = list(group_rows(found, ["x", "empty", "y"], np.bincount(groups, minlength=3)))
    assert all(np.isnan(r["value"]) and np.isnan(r["low"]) for r in rows if r["group"] == "empty")
    assert all(np.isnan(r["value"]) and r["trials"] == 0 for r in rows if r["metric"] == "recall" and r["label"] == "a")
    spreads = list(spread_rows(found, ["x", "empty", "y"], 100, 0))
    assert {r["groups"] for r in spreads} == {2}
    assert not [r for r in spreads if r["metric"] == "recall"]


def test_difference_of_two_groups_and_ratio_with_zero():
    values = np.array([[0.5, 0.2, np.nan], [0.25, 0.0, 0.3]])  # [G, M]
    difference, ratio = from_others(values)
    np.testing.assert_allclose(difference, [[0.25, 0.2, np.nan], [-0.25, -0.2, np.nan]])
    np.testing.assert_allclose(ratio, [[2.0, np.nan, np.nan], [0.5, 0.0, np.nan]])


def test_interval_is_that_of_numpy_and_ignores_undefined_draws(rng):
    draws = rng.standard_normal((101, 4))
    draws[:20, 1], draws[:60, 2] = np.nan, np.nan
    low, high = interval(draws)
    for i in (0, 1, 3):
        expected = np.nanpercentile(draws[:, i], [2.5, 97.5])
        np.testing.assert_allclose([low[i], high[i]], expected)
    assert np.isnan(low[2]) and np.isnan(high[2])


def test_interval_of_a_difference_covers_at_its_level():
    """200 data sets with a known difference of recalls, 60 images a group."""
    rng, covered = np.random.default_rng(1), 0
    groups, labels = np.repeat([0, 1], 60), np.ones((120, 1))
    weights = resampling(groups, 400, jax.random.key(1))
    for _ in range(200):
        decided = (rng.random(120) < np.where(groups == 0, 0.8, 0.6))[None, :, None]
        events = image_events(decided, labels, ["x"], [0], {})
        found = group_rates(events, decided * 1.0, labels, ["x"], [0], groups, 2, weights)
        row = next(r for r in group_rows(found, ["x", "y"], np.array([60, 60])) if r["metric"] == "recall")
        covered += row["difference_low"] <= 0.2 <= row["difference_high"]
    assert 0.90 <= covered / 200 <= 0.99  # binomial error of 200 repeats is 0.015


def test_spread_is_judged_against_permuted_groups():
    """Without any disparity the p-value is uniform; the mean spread under permutation is that of many small groups."""
    rng = np.random.default_rng(2)
    groups, labels = np.repeat(np.arange(10), 12), np.ones((120, 1))
    weights = np.ones((1, 120), np.float32)
    names = [str(g) for g in range(10)]
    p_values, excess = [], []
    for repeat in range(150):
        decided = (rng.random(120) < 0.5)[None, :, None]
        events = image_events(decided, labels, ["x"], [0], {})
        found = group_rates(events, decided * 1.0, labels, ["x"], [0], groups, 10, weights)
        row = next(r for r in spread_rows(found, names, 200, repeat) if r["metric"] == "recall")
        p_values.append(row["p_value"])
        excess.append(row["spread"] - row["permuted_spread"])
    assert np.mean(np.array(p_values) <= 0.1) <= 0.17 and np.mean(p_values) > 0.45
    assert row["permuted_spread"] > 0.3 and abs(np.mean(excess)) < 0.03


def test_losses_are_compared_on_the_same_images(rng):
    first, labels, scores, decided, groups = rates_of(rng)
    worse = decided & (rng.random(decided.shape) < 0.7)
    second, *_ = rates_of(rng, labels=labels, scores=scores, decided=worse, groups=groups)
    counts = np.bincount(groups, minlength=3)
    rows = list(paired_rows({"one": first, "two": second}, ["x", "y", "z"], counts))
    i = first.names.index(("recall", "a"))
    row = next(r for r in rows if (r["metric"], r["label"], r["group"]) == ("recall", "a", "y"))
    assert row["value"] == pytest.approx(first.values[0, 1, i] - second.values[0, 1, i], abs=1e-6)
    assert row["value_low"] <= row["value"] <= row["value_high"] and row["value"] > 0
    same = list(paired_rows({"one": first, "again": first}, ["x", "y", "z"], counts))
    assert all(r["value_low"] == r["value_high"] == 0 for r in same if not np.isnan(r["value"]))


def test_bootstrap_weights_are_those_of_the_bootstrap(rng):
    strata = rng.integers(0, 4, 50)
    values = rng.standard_normal((3, 50))
    key = jax.random.key(5)
    with jax.transfer_guard("disallow"):
        weights = bootstrap_weights(strata, draws=300, key=key)
        sums = stratified_bootstrap(values, strata, draws=300, key=key)
    np.testing.assert_allclose(weights @ values.T, sums, atol=1e-3)
    for g in range(4):
        np.testing.assert_allclose(weights[:, strata == g].sum(axis=1), (strata == g).sum(), rtol=1e-5)


@pytest.mark.parametrize("loss", ["pairwise_softmax", "target_softmax"])
def test_scores_of_softmax_losses(loss, rng):
    logits = 3 * rng.standard_normal((5, 2, 4))
    found = class_scores(logits, loss)
    for index in np.ndindex(logits.shape):
        others = np.delete(logits[index[:2]], index[2])
        assert found[index] == pytest.approx(logits[index] - np.log(np.exp(others).sum()), abs=1e-10)
    np.testing.assert_allclose(class_scores(logits + 700.0, loss), found, atol=1e-9)
    extreme = class_scores(np.array([[1e4, 0.0, -1e4]]), loss)
    np.testing.assert_allclose(extreme, [[1e4, -1e4, -2e4]])
    np.testing.assert_array_equal(class_scores(logits[..., :1], loss), logits[..., :1])


def test_matched_thresholds_give_as_many_labels_as_there_are(rng):
    scores = rng.standard_normal((50, 4))
    labels = (rng.random((50, 4)) < [0.1, 0.5, 1.1, -1.0]).astype(float)
    labels[:5, 1] = np.nan
    threshold = matched_thresholds(scores, labels)
    known = ~np.isnan(labels)
    np.testing.assert_array_equal(((scores > threshold) & known).sum(axis=0), np.nansum(labels, axis=0))
    assert threshold[2] == -np.inf and threshold[3] == np.inf
    tied = matched_thresholds(np.array([[1.0], [1.0], [0.0]]), np.array([[1.0], [0.0], [0.0]]))
    assert tied[0] == 0.5  # equal scores stay together


def test_best_thresholds_equal_a_search(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    labels = (rng.random((40, 3)) < 0.3).astype(float)
    labels[:, 2] = 0
    scores = (rng.standard_normal((40, 3)) + labels).round(1)
    threshold = best_thresholds(scores, labels)
    for c in range(2):
        candidates = [-np.inf, *((np.unique(scores[:, c])[1:] + np.unique(scores[:, c])[:-1]) / 2)]
        best = max(metrics.fbeta_score(labels[:, c], scores[:, c] > t, beta=2) for t in candidates)
        found = metrics.fbeta_score(labels[:, c], scores[:, c] > threshold[c], beta=2)
        assert found == pytest.approx(best)
    assert threshold[2] == np.inf


def test_the_rule_of_the_inclusive_images_solution(rng):
    logits = 4 * rng.standard_normal((30, 12))
    found = top_labels(logits, pool=6, threshold=0.55)
    for row, chosen in zip(logits, found, strict=True):
        order = np.argsort(-row)
        rest = np.log(np.exp(row[order[6:]]).sum())
        score = 1 / (1 + np.exp(-(row[order[:6]] - rest)))
        number = min(5, max(2, int((score > 0.55).sum())))
        np.testing.assert_array_equal(np.sort(order[:number]), np.flatnonzero(chosen))
    with pytest.raises(ValueError, match="pool < classes"):
        top_labels(logits, pool=12)


def test_associations_among_the_best():
    scores = np.array([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    assert top_associations(scores, np.array([1]), 2).tolist() == [True, False]
    assert top_associations(scores, np.array([1]), 4, least=1.5).tolist() == [True, False]


def test_rates_of_persons_with_several_images():
    """Nothing to find in 150 draws of 60 persons with 2 to 5 images each: intervals cover, p-values of spreads hold."""
    rng, names = np.random.default_rng(3), ["x", "y", "z"]
    people = np.repeat(np.arange(60), np.arange(60) % 4 + 2)
    groups, labels = (np.arange(60) % 3)[people], np.ones((len(people), 1))
    images = np.bincount(groups)
    found = {"persons": [], "images": []}
    for repeat in range(150):
        decided = ((rng.random(60) < 0.5)[people] ^ (rng.random(len(people)) < 0.05))[None, :, None]
        events = image_events(decided, labels, ["x"], [0], {})
        for name, given in (("persons", people), ("images", None)):
            weights = resampling(groups, 200, jax.random.key(repeat), given)
            rates = group_rates(events, decided * 1.0, labels, ["x"], [0], groups, 3, weights, given)
            row = next(r for r in group_rows(rates, names, images) if (r["metric"], r["label"]) == ("recall", "x"))
            spread = next(r for r in spread_rows(rates, names, 100, repeat) if r["metric"] == "recall")
            assert row["trials"] == images[0]
            found[name].append((
                row["low"] <= 0.5 <= row["high"], row["difference_low"] <= 0.0 <= row["difference_high"],
                spread["p_value"] <= 0.1,
            ))  # fmt: skip
    persons, alone = (np.mean(rows, axis=0) for rows in found.values())
    assert (persons[:2] >= 0.89).all() and persons[2] <= 0.18, persons
    assert (alone[:2] < 0.82).all() and alone[2] > 0.25, alone


def test_rates_of_persons_with_one_image_each_are_those_of_images(rng):
    _, labels, scores, decided, groups = rates_of(rng)
    families = {"harm": top_associations(scores, np.array([2]), 1)}
    events = image_events(decided, labels, CLASSES, [0, 2], families)
    found = []
    for people in (None, np.arange(60)):
        weights = resampling(groups, 100, jax.random.key(0), people)
        rates = group_rates(events, scores, labels, CLASSES, [0, 2], groups, 3, weights, people)
        found.append(list(group_rows(rates, ["x", "y", "z"], np.bincount(groups))))
        np.testing.assert_allclose(rates.effective, rates.trials, rtol=1e-6)
    for one, other in zip(*found, strict=True):
        for name, value in one.items():
            assert value == other[name] or np.isnan(value) or value == pytest.approx(other[name], rel=1e-5), name
