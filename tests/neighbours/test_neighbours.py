"""Neighbours and votes against scikit-learn; what is owed to neighbours against leaving images out."""

import jax
import numpy as np
import pytest
from scipy.stats import binom
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from bias_jax.errors import InputError
from bias_jax.neighbours import METRICS, nearest_images, neighbour_values, retrieval_scores, vote_scores
from bias_jax.neighbours.nearest import BLOCK
from bias_jax.statistics import Exchange, cross_validated_spread, deviations


def sklearn_order(features, metric, apart):
    """All others sorted by scikit-learn's distance, then by number, without those that are apart."""
    x = features.astype(np.float64)
    distance = NearestNeighbors(n_neighbors=len(x), metric=metric, algorithm="brute").fit(x).kneighbors(x)
    full = np.empty((len(x), len(x)))
    np.put_along_axis(full, distance[1], distance[0].round(9), axis=1)
    full[apart[:, None] == apart] = np.inf
    return np.lexsort((np.broadcast_to(np.arange(len(x)), full.shape), full))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("images", [BLOCK + 9, 40])
def test_scikit_learns_neighbours(rng, metric, images):
    features = rng.standard_normal((images, 7)).astype(np.float32) + 20.0
    own = np.arange(images)
    with jax.transfer_guard("disallow"):
        found = nearest_images(jax.device_put(features), 12, metric)
    np.testing.assert_array_equal(found, sklearn_order(features, metric, own)[:, :12])
    persons = own // 3
    found = nearest_images(jax.device_put(features), 12, metric, persons)
    np.testing.assert_array_equal(found, sklearn_order(features, metric, persons)[:, :12])
    assert (persons[found] != persons[:, None]).all()


@pytest.mark.parametrize("metric", METRICS)
def test_of_equally_near_images_the_first(rng, metric):
    """Features of few values: images are equal, or equally far."""
    features = rng.integers(0, 2, (90, 5)).astype(np.float32)
    features[:4] = 0.0  # without a direction
    found = nearest_images(jax.device_put(features), 20, metric)
    expected = sklearn_order(features, metric, np.arange(90))[:, :20]
    if metric == "euclidean":
        np.testing.assert_array_equal(found, expected)
    else:  # products of irrational numbers may differ in their last digit; equal images do not
        unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
        cosine = unit @ unit.T
        np.testing.assert_allclose(
            np.take_along_axis(cosine, found, 1), np.take_along_axis(cosine, expected, 1), atol=1e-6
        )
        same = (features[found[:, 1:]] == features[found[:, :-1]]).all(axis=2)
        assert (np.diff(found, axis=1)[same] > 0).all() and same.any()


def test_votes_are_scikit_learns(rng):
    """Of folds: the vote of those in other folds, of equally frequent labels the first."""
    labels, folds = rng.integers(0, 3, 120), np.arange(120) % 4
    features = rng.standard_normal((120, 4)).astype(np.float32) + labels[:, None]
    nearest = nearest_images(jax.device_put(features), 7, "euclidean", folds)
    found = vote_scores(nearest, labels, 6, 3).score
    for f in range(4):
        peer = KNeighborsClassifier(6, algorithm="brute").fit(features[folds != f], labels[folds != f])
        np.testing.assert_array_equal(found[folds == f], peer.predict(features[folds == f]) == labels[folds == f])
    shares = retrieval_scores(nearest, labels, 6).score
    np.testing.assert_allclose(shares, (labels[nearest[:, :6]] == labels[:, None]).mean(axis=1))


@pytest.mark.parametrize("kind", ["votes", "retrieval"])
def test_what_is_owed_is_what_leaving_out_changes(rng, kind):
    images, k = 60, 5
    labels, weights = rng.integers(0, 3, images), rng.random(images)
    features = rng.standard_normal((images, 3)).astype(np.float32) + 0.5 * labels[:, None]

    def values(kept):
        nearest = nearest_images(jax.device_put(features[kept]), k + 1, "euclidean")
        own = nearest, labels[kept], k
        scores = vote_scores(*own, 3) if kind == "votes" else retrieval_scores(*own)
        return neighbour_values(scores, weights[kept], np.ones((1, len(kept))))

    whole = values(np.arange(images))
    for j in (0, 17, 59):
        kept = np.delete(np.arange(images), j)
        change = whole.values[kept].sum() - values(kept).values.sum()
        assert whole.exchange.influence[j] == pytest.approx(change, abs=1e-9)
    # With signs of ones, b 1 sums up rows, and b' 1 columns.
    assert whole.exchange.learned.sum() == pytest.approx(whole.exchange.influence.sum())
    np.testing.assert_allclose(whole.exchange.taught[0], whole.exchange.influence)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_intervals_cover(shift):
    """200 sets of 120 images: the mean of all sets lies within 1.96 standard errors in about 95 %."""
    errors, found = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        labels = np.arange(120) % 3
        features = rng.standard_normal((120, 8)).astype(np.float32)
        features[:, 0] += shift * labels
        nearest = nearest_images(jax.device_put(features), 11, "cosine")
        signs = deviations(rng.choice((-1.0, 1.0), (2, 120)), labels)
        weights = np.full(120, 1 / 120)
        pair = [neighbour_values(scores, weights, signs)
                for scores in (vote_scores(nearest, labels, 10, 3), retrieval_scores(nearest, labels, 10))]  # fmt: skip
        spread = [cross_validated_spread(v.values, Exchange(*v.exchange), labels) for v in pair]
        errors.append(
            [s * np.sqrt(np.square(deviations(v.values, labels)).sum()) for s, v in zip(spread, pair, strict=True)]
        )
        found.append([v.values.sum() for v in pair])
    found, errors = np.array(found), np.array(errors)
    covered = (np.abs(found - found.mean(axis=0)) <= 1.96 * errors).sum(axis=0)
    print(covered, errors.mean(axis=0) / found.std(axis=0))
    low, high = binom.ppf([0.001, 0.999], 200, 0.95)
    assert (covered >= low).all() and (shift == 0 or (covered <= high).all())


def test_bad_input(rng):
    features = jax.device_put(rng.standard_normal((10, 3)).astype(np.float32))
    with pytest.raises(InputError, match="10 neighbours are asked for, but an image has 9"):
        nearest_images(features, 10)
    with pytest.raises(InputError, match="has 5 others"):
        nearest_images(features, 6, apart=np.arange(10) % 2)
    with pytest.raises(InputError, match="unknown distance"):
        nearest_images(features, 2, "manhattan")
