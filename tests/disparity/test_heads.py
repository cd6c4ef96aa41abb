import jax
import numpy as np
import pytest
from scipy.sparse import csr_array

from bias_jax.disparity import HeadConfig, dense, head_logits, head_weights, train_heads
from bias_jax.disparity.heads import initial_weights, minibatches

SEEDS = (3, 4)
CONFIG = HeadConfig(learning_rates=(0.05, 0.5), weight_decays=(0.0, 0.1), epochs=3, minibatch=8)


def problem(rng, n=40, d=5, c=3):
    """Features of two layers, and labels of which a third are unverified."""
    known = np.where(rng.random((n, c)) < 0.4, 1, -1) * (rng.random((n, c)) < 0.7)
    known[0] = 0  # an image without labels
    return rng.standard_normal((2, n, d)) * [1.0, 2.0, 0.5, 3.0, 1.0] + 1.0, csr_array(known.astype(np.int8))


def gradient(name, s, y):
    """Slopes of the loss with respect to the logits, in float64 loops."""
    known, p = ~np.isnan(y), 1 / (1 + np.exp(-s))
    if name == "binary_cross_entropy":
        return np.where(known, p - np.nan_to_num(y), 0.0) / known.sum()
    found = np.zeros_like(s)
    for i, (row, labels) in enumerate(zip(s, y, strict=True)):
        negative, e = labels == 0, np.exp(row)
        for positive in np.flatnonzero(labels == 1):
            share = e[negative].sum() / (e[positive] + e[negative].sum())
            found[i, positive] -= share
            if negative.any():
                found[i, negative] += share * e[negative] / e[negative].sum()
    return found / max(1, (y == 1).sum())


def replay(features, y, rows, seed, name, rate, decay, config):
    """Nesterov's momentum for one head, in float64."""
    mean, scale = features[rows].mean(axis=0), features[rows].std(axis=0)
    x = np.column_stack([(features - mean) / scale, np.ones(len(features))])
    w = np.vstack([np.asarray(initial_weights(seed, features.shape[1], y.shape[1]), float), np.zeros(y.shape[1])])
    velocity = np.zeros_like(w)
    steps = len(rows) // config.minibatch
    batches = minibatches(rows, seed, steps, config.minibatch)
    total, step = config.epochs * steps, 0
    for _ in range(config.epochs):
        for batch in next(batches):
            slope = x[batch].T @ gradient(name, x[batch] @ w, y[batch])
            slope[:-1] += decay * w[:-1]
            velocity = config.momentum * velocity + slope
            factor = 0.5 * (1 + np.cos(np.pi * step / total))
            w = w - rate * factor * (slope + config.momentum * velocity)
            step += 1
    return w[:-1] / scale[:, None], w[-1] - (mean / scale) @ w[:-1]


@pytest.mark.parametrize("unverified", ["mask", "negative"])
def test_every_head_equals_a_float64_loop_of_its_own(unverified, rng):
    features, labels = problem(rng)
    config = HeadConfig(**{**vars(CONFIG), "unverified": unverified})
    training = [(rng.permutation(40)[:33], seed) for seed in SEEDS]
    bank = jax.device_put(features.astype(np.float32))
    with jax.transfer_guard("disallow"):
        heads = train_heads(bank, labels, training, config)
        y = dense(labels, unverified).astype(float)
        for head, (name, rate, decay) in enumerate(config.heads):
            if name not in ("binary_cross_entropy", "pairwise_softmax"):
                continue
            for layer in range(2):
                for replicate, (rows, seed) in enumerate(training):
                    expected = replay(features[layer], y, rows, seed, name, rate, decay, config)
                    found = head_weights(heads, (layer, replicate, head))
                    np.testing.assert_allclose(found[0], expected[0], atol=2e-5)
                    np.testing.assert_allclose(found[1], expected[1], atol=5e-5)
                    some = np.array([4, 1, 39])
                    logits = head_logits(bank, heads, (layer, replicate, head), some, 7)
                    np.testing.assert_allclose(logits, features[layer][some] @ found[0] + found[1], atol=1e-4)


def test_adam_reaches_the_regularised_optimum_of_each_loss(rng):
    """Long training against scikit-learn for the one loss that it has."""
    sklearn = pytest.importorskip("sklearn.linear_model")
    x = rng.standard_normal((60, 3))
    y = (x @ [1.0, -1.0, 0.5] + rng.standard_normal(60) > 0).astype(int)
    config = HeadConfig(
        losses=("binary_cross_entropy",), learning_rates=(0.02,), weight_decays=(0.05,), epochs=400, minibatch=60,
        optimiser="adam",
    )  # fmt: skip
    labels = csr_array(np.where(y, 1, -1).astype(np.int8)[:, None])
    heads = train_heads(jax.device_put(x[None].astype(np.float32)), labels, [(np.arange(60), 0)], config)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    oracle = sklearn.LogisticRegression(C=1 / (60 * 0.05), tol=1e-10).fit(scaled, y)
    np.testing.assert_allclose(np.asarray(heads.weights)[0, 0, :3, 0, 0], oracle.coef_[0], atol=2e-4)
    np.testing.assert_allclose(np.asarray(heads.weights)[0, 0, 3, 0, 0], oracle.intercept_[0], atol=2e-4)


def test_same_seed_same_weights_and_other_companions_change_nothing(rng):
    features, labels = problem(rng)
    bank = jax.device_put(features.astype(np.float32))
    rows = np.arange(40)
    together = train_heads(bank, labels, [(rows, 3), (rows, 4)], CONFIG)
    again = train_heads(bank, labels, [(rows, 3), (rows, 4)], CONFIG)
    np.testing.assert_array_equal(together.weights, again.weights)
    alone = train_heads(bank[:1], labels, [(rows, 4)], CONFIG)
    np.testing.assert_allclose(together.weights[:1, 1:], alone.weights, atol=1e-5)
    assert np.abs(together.weights[:, 0] - together.weights[:, 1]).max() > 1e-3


def test_a_constant_feature_and_few_images(rng):
    features, labels = problem(rng)
    features[:, :, 0] = 1e6 / 3
    heads = train_heads(jax.device_put(features.astype(np.float32)), labels, [(np.arange(5), 0)], CONFIG)
    assert np.isfinite(heads.weights).all()  # fewer images than a batch: one step with all of them


def test_thousands_of_classes_with_few_labels_each(rng):
    classes, n = 3000, 64
    labels = csr_array((np.ones(2 * n, np.int8), (np.repeat(np.arange(n), 2), rng.integers(0, classes, 2 * n))),
                       shape=(n, classes))  # fmt: skip
    labels.data[:] = 1
    config = HeadConfig(losses=("pairwise_softmax",), learning_rates=(3.0,), weight_decays=(0.0,), epochs=30,
                        unverified="negative")  # fmt: skip
    features = rng.standard_normal((1, n, 80)).astype(np.float32)
    heads = train_heads(jax.device_put(features), labels, [(np.arange(n), 0)], config)
    logits = head_logits(jax.device_put(features), heads, (0, 0, 0), np.arange(n), n)
    top = np.argsort(-logits, axis=1)[:, :2]
    truth = dense(labels, "negative")
    assert np.take_along_axis(truth, top, axis=1).mean() > 0.9  # 80 features remember 64 images
