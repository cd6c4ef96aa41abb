"""CKA and RSA against independent NumPy, their jackknife against leaving images out, and coverage."""

import jax
import numpy as np
import pytest
from scipy.stats import binom

from bias_jax.errors import InputError
from bias_jax.similarity import cka, group_distances, image_products, rsa
from bias_jax.similarity.cka import _hollow, _hsic


def two_layers(rng, images=40, shared=3):
    common = rng.standard_normal((images, shared))
    return [
        common @ rng.standard_normal((shared, width)) + rng.standard_normal((images, width)) + 5.0 for width in (6, 90)
    ]


def naive_hsic(x, y):
    """Song et al. 2012, equation 5, from features."""
    k, l = (a @ a.T * (1 - np.eye(len(a))) for a in (x, y))  # noqa: E741
    n, one = len(x), np.ones(len(x))
    return (
        np.trace(k @ l) + one @ k @ one * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ k @ l @ one
    ) / (n * (n - 3))


def products(x):
    with jax.transfer_guard("disallow"):
        return image_products(jax.device_put(x.astype(np.float32)))


def test_cka_is_that_of_the_formula(rng):
    x, y = two_layers(rng)
    expected = naive_hsic(x, y) / np.sqrt(naive_hsic(x, x) * naive_hsic(y, y))
    found = cka(products(x), products(y), np.zeros(40, int))
    assert found.value == pytest.approx(expected, abs=1e-5) and found.low < found.value < found.high
    turned = x @ np.linalg.qr(rng.standard_normal((6, 6)))[0] * 3.0 - 2.0
    assert cka(products(x), products(turned), np.zeros(40, int)).value == pytest.approx(1.0, abs=1e-5)


def test_unrelated_layers_of_many_dimensions_are_at_zero(rng):
    found = [
        cka(*(products(rng.standard_normal((30, 300))) for _ in range(2)), np.zeros(30, int)).value for _ in range(40)
    ]
    assert abs(np.mean(found)) < 0.1


def test_the_jackknife_leaves_each_image_out(rng):
    x, y = (_hollow(products(a)) for a in two_layers(rng, 15))
    whole = _hsic(x, y)
    for i in (0, 8, 14):
        rest = np.delete(np.arange(15), i)
        assert whole[1 + i] == pytest.approx(_hsic(x[np.ix_(rest, rest)], y[np.ix_(rest, rest)])[0], rel=1e-9)


def grouped(rng, images=48, groups=6, noise=1.0):
    labels = np.arange(images) % groups
    means = rng.standard_normal((groups, 4))
    layers = [
        means @ rng.standard_normal((4, w)) + 0.3 * rng.standard_normal((groups, w)) for w in (5, 20)
    ]  # fmt: skip
    return labels, [m[labels] + noise * rng.standard_normal((images, m.shape[1])) for m in layers]


def naive_distances(x, labels):
    """Means over all pairs of different images of (a - b)(c - d), images of two groups."""
    groups = labels.max() + 1
    found = np.zeros((groups, groups))
    for g in range(groups):
        for h in range(groups):
            if g != h:
                a, b = x[labels == g], x[labels == h]
                noise = a.var(axis=0, ddof=1).sum() / len(a) + b.var(axis=0, ddof=1).sum() / len(b)
                found[g, h] = np.square(a.mean(axis=0) - b.mean(axis=0)).sum() - noise
    return found


def test_rsa_is_that_of_the_definition(rng):
    labels, (x, y) = grouped(rng)
    expected = [naive_distances(a, labels) for a in (x, y)]
    found = [group_distances((a - a.mean(axis=0)) @ (a - a.mean(axis=0)).T, labels) for a in (x, y)]
    for (distances, without), e, a in zip(found, expected, (x, y), strict=True):
        np.testing.assert_allclose(distances, e, atol=1e-9)
        for i in (0, 20, 47):
            rest = np.delete(np.arange(48), i)
            np.testing.assert_allclose(without[i], naive_distances(a[rest], labels[rest])[labels[i]], atol=1e-9)
    upper = np.triu_indices(6, 1)
    result = rsa(*found, labels)
    assert result.value == pytest.approx(np.corrcoef(expected[0][upper], expected[1][upper])[0, 1])
    assert result.low < result.value < result.high


def test_persons_are_left_out_together(rng):
    labels, (x, y) = grouped(rng, 12)
    rows = np.repeat(np.arange(12), 4)
    a, b = (products(layer[rows]) for layer in (x, y))
    alone, together = (cka(a, b, labels[rows], people) for people in (None, rows))
    assert alone.value == together.value and together.high - together.low > 1.2 * (alone.high - alone.low)


def test_groups_of_one_image_still_vary(rng):
    x, y = (products(layer) for layer in two_layers(rng))
    one, alone, some = (cka(x, y, groups) for groups in (np.zeros(40, int), np.arange(40), np.r_[np.zeros(39, int), 1]))
    assert one == alone == some and one.high > one.low


def test_constant_layers_and_bad_input(rng):
    x = products(rng.standard_normal((10, 3)))
    assert np.isnan(cka(x, products(np.ones((10, 4))), np.zeros(10, int)).value)
    with pytest.raises(InputError, match="not all finite"):
        image_products(jax.device_put(np.full((4, 2), np.nan, np.float32)))


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_intervals_cover(noise):
    """200 sets of 96 images of the same layers and groups: intervals cover the mean of all sets."""
    rng = np.random.default_rng(3)
    groups = np.arange(96) % 8
    means, mixing = rng.standard_normal((8, 4)), [rng.standard_normal((4, w)) for w in (5, 20)]
    found = {"cka": [], "rsa": []}
    for _ in range(200):
        hidden = means[groups] + noise * rng.standard_normal((96, 4))
        layers = [np.tanh(0.5 * hidden @ mixing[0]), hidden @ mixing[1] + rng.standard_normal((96, 20))]
        own = [(a - a.mean(axis=0)) @ (a - a.mean(axis=0)).T for a in layers]
        found["cka"].append(cka(*own, groups))
        found["rsa"].append(rsa(*(group_distances(k, groups) for k in own), groups))
    low = binom.ppf(0.0005, 200, 0.95)
    for name, own in found.items():
        value, lower, upper = np.array(own).T
        covered = ((lower <= value.mean()) & (value.mean() <= upper)).sum()
        print(name, noise, value.mean(), value.std(), covered, (upper - lower).mean() / (2 * 1.96 * value.std()))
        assert low <= covered <= 200, name
