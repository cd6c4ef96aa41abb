"""Fixes for groups, against what they mean: images that are there more often, groups of one size, a search by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

from bias_jax.disparity import (
    LOSSES,
    HeadConfig,
    balanced_rows,
    best_thresholds,
    group_thresholds,
    group_weights,
    head_weights,
    matched_thresholds,
    train_heads,
)


@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_is_a_number_of_copies(name, rng):
    """But for the number that the sum is divided by: that of the images, not of the copies."""
    logits, labels = 2 * rng.standard_normal((6, 4)), (rng.random((6, 4)) < 0.4).astype(float)
    labels[0, :2], labels[1], labels[rng.random((6, 4)) < 0.2] = (0, 1), np.nan, np.nan
    copies = np.array([1, 3, 0, 2, 1, 2])
    rows = np.repeat(np.arange(6), copies)
    counted = {"pairwise_softmax": labels == 1, "binary_cross_entropy": labels >= 0}.get(
        name, (labels >= 0).any(axis=1)
    )
    with jax.enable_x64(True):
        found, slope = jax.value_and_grad(LOSSES[name])(jnp.asarray(logits), jnp.asarray(labels), jnp.asarray(copies))
        expected, slopes = jax.value_and_grad(LOSSES[name])(jnp.asarray(logits[rows]), jnp.asarray(labels[rows]))
        ratio = counted[rows].sum() / counted.sum()
        np.testing.assert_allclose(found, expected * ratio, rtol=1e-12)
        summed = np.zeros((6, 4))
        np.add.at(summed, rows, np.asarray(slopes) * ratio)
        np.testing.assert_allclose(slope, summed, rtol=1e-10, atol=1e-14)
        nothing = LOSSES[name](jnp.asarray(logits), jnp.asarray(labels), jnp.zeros(6))
        assert nothing == 0


@pytest.mark.parametrize("name", LOSSES)
def test_minibatches_are_on_average_as_heavy_as_the_whole(name, rng):
    logits, groups = rng.standard_normal((24, 4)), (np.arange(24) < 3).astype(int)
    labels = rng.permuted(np.tile([1.0, 1.0, 0.0, 0.0], (24, 1)), axis=1)  # as many positives in every image
    weights = group_weights(groups, np.arange(24))
    with jax.enable_x64(True):
        loss = jax.jit(LOSSES[name])
        batches = rng.permutation(24).reshape(6, 4)
        parts = [loss(*map(jnp.asarray, (logits[rows], labels[rows], weights[rows]))) for rows in batches]
        np.testing.assert_allclose(np.mean(parts), loss(*map(jnp.asarray, (logits, labels, weights))), rtol=1e-12)


@pytest.mark.parametrize("minibatch", [16, 32])
def test_reweighted_heads_find_the_weighted_optimum(minibatch, rng):
    """scikit-learn's logistic regression with a weight for each sample, on the same standardised features.

    What is left is the noise of minibatches. Divided by the sum of its own weights, a batch of 16 would be off by 0.18.
    """
    n, decay = 1920, 0.01
    groups = (np.arange(n) < n // 10).astype(int)
    features = rng.standard_normal((n, 3)).astype(np.float32)
    direction = np.where(groups[:, None] == 1, [-1.5, 1.0, 0.0], [1.5, 0.0, 0.5])
    labels = (rng.random(n) < 1 / (1 + np.exp(-(features * direction).sum(axis=1)))).astype(int)
    weights = group_weights(groups, np.arange(n))
    config = HeadConfig(
        ("binary_cross_entropy",), (0.03,), (decay,), epochs=60, minibatch=minibatch, unverified="negative"
    )
    sparse = csr_array(labels[:, None].astype(np.int8))
    heads = train_heads(jax.device_put(features[None]), sparse, [(np.arange(n), 0)], config, weights=[weights])
    standardised = (features - features.mean(axis=0)) / features.std(axis=0)
    oracle = LogisticRegression(C=1 / (n * decay), tol=1e-8).fit(standardised, labels, sample_weight=weights)
    w = np.asarray(heads.weights)[0, 0, :, 0, 0]
    np.testing.assert_allclose(w, [*oracle.coef_[0], *oracle.intercept_], atol=0.03)


def test_weights_give_every_group_the_same_sum(rng):
    groups, rows = rng.integers(0, 4, 50), np.sort(rng.permutation(50)[:30])
    weights = group_weights(groups, rows)
    sums = np.bincount(groups, weights)
    np.testing.assert_allclose(sums[np.unique(groups[rows])], 30 / len(np.unique(groups[rows])), rtol=1e-6)
    assert (weights[np.setdiff1d(np.arange(50), rows)] == 0).all() and weights.dtype == np.float32


@pytest.mark.parametrize("sizes", [(5, 20, 5), (1, 40, 3), (10, 10, 10), (30,)])
def test_samples_hold_as_many_of_every_group_and_use_all_images_alike(sizes):
    groups, rows = np.repeat(np.arange(len(sizes)), sizes), np.arange(sum(sizes))
    drawn = balanced_rows(groups, rows, 3)
    assert len(drawn) == len(rows) and (np.diff(drawn) >= 0).all()
    counts = np.bincount(groups[drawn])
    assert counts.max() - counts.min() <= 1
    for group in range(len(sizes)):
        often = np.bincount(drawn, minlength=len(rows))[groups == group]
        assert often.max() - often.min() <= 1
    np.testing.assert_array_equal(drawn, balanced_rows(groups, rows, 3))
    assert sizes != (5, 20, 5) or not np.array_equal(drawn, balanced_rows(groups, rows, 4))


@pytest.mark.parametrize("choose", [matched_thresholds, best_thresholds])
def test_thresholds_are_those_of_each_group_alone(choose, rng):
    scores, groups = rng.standard_normal((60, 3)), rng.integers(0, 3, 60)
    labels = (scores + groups[:, None] + rng.standard_normal((60, 3)) > 1).astype(float)
    labels[groups == 1, 2] = 0  # no image of the group has the label
    labels[np.flatnonzero(groups == 0)[9:], 1] = np.nan  # of nine images of the group it is known
    of = np.array([2, 0, 1, 7])
    found = group_thresholds(choose, scores, labels, groups, of)
    for row, group in zip(found[:3], of[:3], strict=True):
        expected = choose(scores[groups == group], labels[groups == group])
        np.testing.assert_array_equal(row[0], expected[0])
        np.testing.assert_array_equal(row[1], choose(scores, labels)[1] if group == 0 else expected[1])
    np.testing.assert_array_equal(found[2, 2], choose(scores, labels)[2])
    np.testing.assert_array_equal(found[3], choose(scores, labels))  # nobody of that group is there for tuning
    if choose is matched_thresholds:  # as many are given the label as have it, in every group
        for group in (0, 2):
            mine = groups == group
            given = (scores[mine] > found[list(of).index(group)]).sum(axis=0)
            own = [0, 2] if group == 0 else [0, 1, 2]
            np.testing.assert_array_equal(given[own], labels[mine].sum(axis=0)[own])


def test_a_label_that_the_group_is_made_of_is_not_given_for_the_group(rng):
    scores, groups = rng.standard_normal((60, 1)), np.repeat([0, 1], 30)
    labels = (groups == 1).astype(float)[:, None]
    found = group_thresholds(matched_thresholds, scores, labels, groups, np.array([0, 1]))
    np.testing.assert_array_equal(found, np.tile(matched_thresholds(scores, labels), (2, 1)))


def test_reweighting_recognises_a_small_group_that_differs(rng):
    """A label shows in one direction in 90 % of the images, in another one in the rest, where it is also rarer."""
    n, small = 400, 40
    groups = (np.arange(n) < small).astype(int)
    labels = np.where(groups == 1, rng.random(n) < 0.3, rng.random(n) < 0.6)
    features = rng.standard_normal((n, 6)).astype(np.float32)
    features[:, 0] += np.where(groups == 0, 1.5 * labels, 0) + 2.0 * groups
    features[:, 1] += np.where(groups == 1, 1.5 * labels, 0)
    config = HeadConfig(("binary_cross_entropy",), (0.1,), (1e-4,), epochs=15, unverified="negative")
    sparse, rows = csr_array(labels[:, None].astype(np.int8)), np.arange(n)
    recall = {}
    for name, weights, drawn in (
        ("none", None, rows),
        ("ones", [np.ones(n, np.float32)], rows),
        ("reweighted", [group_weights(groups, rows)], rows),
        ("balanced", None, balanced_rows(groups, rows, 0)),
    ):
        heads = train_heads(jax.device_put(features[None]), sparse, [(drawn, 0)], config, weights=weights)
        w, b = head_weights(heads, (0, 0, 0))
        loss = np.logaddexp(0, features @ w + b)[:, 0] - labels * (features @ w + b)[:, 0]
        recall[name] = loss[groups == 1].mean(), loss[groups == 0].mean()
    np.testing.assert_allclose(recall["ones"], recall["none"], rtol=1e-5)
    for name in ("reweighted", "balanced"):
        assert recall[name][0] < 0.85 * recall["none"][0] and recall[name][1] > recall["none"][1]
