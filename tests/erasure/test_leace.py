"""Erasers against the authors' implementation, a closed form, and what they promise."""

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bias_jax.erasure import fit_eraser, fit_erasers, load_eraser, prior_gain
from bias_jax.erasure.eraser import BLOCK
from bias_jax.erasure.solved import solved_erasers
from bias_jax.errors import InputError
from bias_jax.probes import fit_convex
from tests.reference.erasure_oracle import CASES, FILE, draw, erased

KINDS = {"shrunk": True, "plain": False}


def case(images, width, classes, seed=0, rank=None):
    features, labels = draw(images, width, rank or width, classes, seed)
    return features, labels


def centred_hot(labels):
    hot = np.eye(labels.max() + 1)[labels]
    return hot - hot.mean(axis=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_the_authors_values(name, kind):
    """Frozen, in float64: random features, linearly dependent ones, and more dimensions than images."""
    stored = np.load(FILE)
    features, labels = stored[f"{name} features"], stored[f"{name} labels"]
    expected, scale = stored[f"{name} {kind}"], np.abs(features - features.mean(axis=0)).max()
    found = fit_eraser(features, labels, shrinkage=KINDS[kind]).apply(features)
    np.testing.assert_allclose(found, expected, atol=1e-4 * scale)
    assert np.abs(found - expected).max() < 1e-6 * scale  # closer than asked for
    assert np.abs(found - features).max() > 0.05 * scale


@pytest.mark.parametrize("kind", KINDS)
def test_the_authors_program(kind):
    pytest.importorskip("torch")
    pytest.importorskip("concept_erasure")
    features, labels = case(300, 30, 5, seed=3)
    expected = erased(features, labels, KINDS[kind])
    found = fit_eraser(features, labels, shrinkage=KINDS[kind]).apply(features)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(features).max())


def test_two_dimensions_by_hand(rng):
    """Two classes: what is taken away is s s' inv(S) (x - mean) / (s' inv(S) s), with S and s the covariances."""
    labels = np.repeat([0, 1], [30, 20])
    x = rng.standard_normal((50, 2)) @ [[2.0, 0.7], [0.0, 0.4]] + np.outer(labels, [1.5, -0.5]) + [10.0, 3.0]
    mean = x.mean(axis=0)
    a, b, c = ((x[:, i] - mean[i]) @ (x[:, j] - mean[j]) / 50 for i, j in ((0, 0), (1, 1), (0, 1)))
    s = np.array([(labels - 0.4) @ (x[:, i] - mean[i]) / 50 for i in (0, 1)])
    inverse = np.array([[b, -c], [-c, a]]) / (a * b - c * c)
    taken = np.outer(s, inverse @ s) / (s @ inverse @ s)
    eraser = fit_eraser(x, labels, shrinkage=False)
    np.testing.assert_allclose(eraser.left @ eraser.right.T, taken, atol=1e-12)
    np.testing.assert_allclose(eraser.apply(x), x - (x - mean) @ taken.T, atol=1e-12)
    assert eraser.rank == 1
    assert eraser.removed == pytest.approx(np.square((x - mean) @ taken.T).sum() / np.square(x - mean).sum())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(200, 12), (60, 60), (40, 150)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_means_of_classes_become_equal_and_twice_is_once(shape, dtype, kind):
    features, labels = case(*shape, classes=4)
    features = features.astype(dtype)
    eraser = fit_eraser(features, labels, shrinkage=KINDS[kind])
    found, scale = eraser.apply(features), np.abs(features - features.mean(axis=0)).max()
    digits = {np.float32: 2e-6, np.float64: 1e-10}[dtype] * scale
    assert found.dtype == dtype and eraser.rank == 3
    assert np.abs(centred_hot(labels).T @ (found - features.mean(axis=0)) / len(labels)).max() < digits
    np.testing.assert_allclose(eraser.apply(found), found, atol=3 * digits)
    np.testing.assert_allclose(found.mean(axis=0), features.mean(axis=0), atol=digits)
    change = np.square(found.astype(float) - features).sum() / np.square(features - features.mean(axis=0)).sum()
    assert eraser.removed == pytest.approx(change, rel=1e-4)


def test_no_other_map_that_erases_changes_less(rng):
    features, labels = case(300, 6, 3)
    eraser = fit_eraser(features, labels, shrinkage=False)
    for size in (0.01, 0.1, 1.0):
        for _ in range(20):
            # Every map that erases takes `left` away; what it looks at may have anything added that left does not see.
            other = rng.standard_normal(eraser.right.shape)
            other -= np.linalg.pinv(eraser.left).T @ (eraser.left.T @ other)
            moved = (features - eraser.mean) @ (eraser.right + size * other) @ eraser.left.T
            assert np.square(moved).sum() > eraser.removed * np.square(features - eraser.mean).sum()
    shrunk = fit_eraser(features, labels)
    assert eraser.removed < shrunk.removed < 1.1 * eraser.removed


def test_shrinkage_changes_other_images_less(rng):
    """240 images of 200 dimensions: the pseudo-inverse takes from others what has nothing to do with the labels."""
    labels = np.arange(480) % 3
    features = rng.standard_normal((480, 200)) / np.sqrt(np.arange(1, 201)) + 0.3 * np.eye(3, 200)[labels]
    first, second = features[:240], features[240:]
    change, left = {}, {}
    for kind, shrinkage in KINDS.items():
        found = fit_eraser(first, labels[:240], shrinkage=shrinkage).apply(second)
        change[kind] = np.square(found - second).sum() / np.square(second - second.mean(axis=0)).sum()
        left[kind] = np.square(centred_hot(labels[240:]).T @ found / 240).sum()
    assert change["shrunk"] < 0.5 * change["plain"] and left["shrunk"] < left["plain"]


def test_the_best_linear_probe_knows_the_frequencies():
    features, labels = case(210, 15, 5)
    labels = np.where(np.arange(210) % 7 == 0, 0, labels)  # of unequal classes
    share = np.bincount(labels) / 210
    entropy = -(share * np.log(share)).sum()
    found = fit_eraser(features, labels).apply(features)
    peer = LogisticRegression(C=1e3, max_iter=1000, tol=1e-8).fit(found, labels)
    np.testing.assert_allclose(peer.predict_proba(found), np.tile(share, (210, 1)), atol=1e-5)
    bank = {"layer": jax.device_put(found.astype(np.float32)), "before": jax.device_put(features.astype(np.float32))}
    probes = fit_convex(bank, {"label": labels}, l2=[1e-4, 1e-3])
    assert probes.objective("layer", "label", 1e-4) == pytest.approx(entropy, rel=1e-5)
    assert probes.objective("before", "label", 1e-4) < 0.8 * entropy
    gained = prior_gain(bank["layer"], labels, 1e-4)
    assert 0.0 <= gained < 1e-6 and prior_gain(bank["before"], labels, 1e-4) <= entropy / np.log(2.0) + 1e-9


def test_the_certificate_bounds_what_probes_gain():
    features, labels = case(210, 5, 3)
    bank = {"layer": jax.device_put(0.01 * features.astype(np.float32))}
    probes = fit_convex(bank, {"label": labels}, l2=[0.3, 3.0])
    share = np.bincount(labels) / 210
    for l2 in (0.3, 3.0):
        gained = -(share * np.log2(share)).sum() - probes.objective("layer", "label", l2) / np.log(2.0)
        assert 0 < gained <= prior_gain(bank["layer"], labels, l2)
    assert gained > 0.3 * prior_gain(bank["layer"], labels, 3.0)  # at strong penalties it is close


def test_where_erasing_leaves_rounding_only_it_is_no_signal():
    features, labels = case(24, 40, 12)
    given = jax.device_put(features.astype(np.float32))
    left = fit_eraser(given, np.arange(24)).apply(given)  # every image is a class of its own: all become the mean
    assert prior_gain(left, labels, 1e-3, given) < 1e-6 < prior_gain(left, labels, 1e-3)


def test_far_more_dimensions_than_images(rng):
    """Against the same images in a basis of their own space, where dimensions are few."""
    basis = np.linalg.qr(rng.standard_normal((5001, 50)))[0]
    inner, labels = case(300, 50, 3)
    wide, narrow = (fit_eraser(x, labels, shrinkage=False) for x in (inner @ basis.T, inner))
    np.testing.assert_allclose(wide.apply(inner @ basis.T) @ basis, narrow.apply(inner), atol=1e-6)
    assert wide.left.shape == (5001, 2) and wide.removed == pytest.approx(narrow.removed)


def test_labels_may_be_any_numbers_and_features_any_array():
    features, labels = case(80, 8, 3)
    expected = fit_eraser(features, labels).apply(features)
    for given in (
        labels * 10 - 7,
        labels.astype(np.int8),
        labels.astype(float),
        jax.device_put(labels.astype(np.int32)),
    ):
        np.testing.assert_allclose(fit_eraser(features, given).apply(features), expected, atol=1e-10)
    on_device = jax.device_put(features.astype(np.float32))
    with jax.transfer_guard("disallow"):
        eraser = fit_eraser(on_device, labels)
        found = eraser.apply(on_device)
    assert isinstance(found, jax.Array) and found.dtype == np.float32 and found.devices() == on_device.devices()
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(eraser.apply(on_device[3]), found[3], atol=1e-5)
    assert fit_eraser((10 * features).astype(int), labels).rank == 2
    half = on_device.astype(jax.numpy.bfloat16)
    assert eraser.apply(half).dtype == jax.numpy.bfloat16 and eraser.apply(features[5]).shape == (8,)


def test_blocks_and_devices_give_the_same(rng):
    features, labels = case(3 * BLOCK + 17, 4, 2)
    features = features.astype(np.float32)
    eraser = fit_eraser(features, labels)
    expected = eraser.apply(features)
    np.testing.assert_allclose(eraser.apply(jax.device_put(features)), expected, atol=1e-5)
    second = jax.device_put(features[: BLOCK + 8], jax.devices()[1])
    assert eraser.apply(second).devices() == {jax.devices()[1]}
    mesh = jax.make_mesh((4,), ("images",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(features[:64], jax.NamedSharding(mesh, jax.P("images")))
    np.testing.assert_allclose(eraser.apply(spread), expected[:64], atol=1e-5)


def test_several_at_once_and_random_ones():
    features, labels = case(120, 10, 4)
    other = np.arange(120) // 30 % 2
    found = fit_erasers(features, {"a": labels, "b": other}, random={"r": ("a", 1), "again": ("a", 1), "s": ("a", 2)})
    for name, own in (("a", labels), ("b", other)):
        np.testing.assert_allclose(found[name].apply(features), fit_eraser(features, own).apply(features), atol=1e-10)
    assert [found[name].rank for name in ("a", "b", "r", "s")] == [3, 1, 3, 3]
    np.testing.assert_array_equal(found["r"].left, found["again"].left)
    assert np.abs(found["r"].left - found["s"].left).max() > 0.01
    np.testing.assert_allclose(found["r"].right.T @ found["r"].left, np.eye(3), atol=1e-9)


@pytest.mark.parametrize(("rank", "classes"), [(12, 4), (5, 4), (12, 20)])
def test_a_factor_does_what_the_axes_do(monkeypatch, rank, classes):
    """Also of linearly dependent features, and of more classes than dimensions; several targets at once."""
    features, labels = case(200, 12, classes, rank=rank)
    targets = {"a": labels, "b": np.arange(200) // 100}
    solved = fit_erasers(features, targets)
    asked = []
    monkeypatch.setattr("bias_jax.erasure.leace.solved_erasers", lambda *given: asked.append(given))
    by_axes = fit_erasers(features, targets)
    assert len(asked) == 1
    for name, own in targets.items():
        scale = np.abs(features - features.mean(axis=0)).max()
        np.testing.assert_allclose(solved[name].apply(features), by_axes[name].apply(features), atol=1e-9 * scale)
        assert solved[name].rank == by_axes[name].rank == min(len(np.unique(own)) - 1, rank)
        assert solved[name].removed == pytest.approx(by_axes[name].removed, rel=1e-8)
        np.testing.assert_allclose(solved[name].right.T @ solved[name].left, np.eye(solved[name].rank), atol=1e-9)


def test_where_a_factor_would_lose_digits_the_axes_are_taken(rng, monkeypatch):
    """Features of one direction have the worst condition that shrinkage leaves, about images x dimensions."""
    features = jax.device_put(rng.standard_normal((400, 1)).astype(np.float32) * np.ones((1, 4), np.float32))
    indicators = {"a": centred_hot(np.arange(400) % 2)}
    with jax.enable_x64(True):
        assert solved_erasers(features, indicators) is not None
        monkeypatch.setattr("bias_jax.erasure.solved.CONDITION", 1000.0)
        assert solved_erasers(features, indicators) is None
        assert solved_erasers(jax.device_put(np.ones((400, 4))), indicators) is None


def test_constant_and_equal_features():
    labels = np.arange(20) % 2
    eraser = fit_eraser(np.ones((20, 3)), labels)
    assert eraser.rank == 0 and eraser.removed == 0.0
    np.testing.assert_array_equal(eraser.apply(np.ones((20, 3))), np.ones((20, 3)))
    same = np.repeat(np.arange(10.0), 2)[:, None] @ np.ones((1, 3))  # classes with equal means
    assert fit_eraser(same, labels).rank == 0


def test_saved_and_read(tmp_path):
    features, labels = case(60, 7, 3)
    eraser = fit_eraser(features, labels)
    eraser.save(tmp_path / "race.eraser")
    again = load_eraser(tmp_path / "race.eraser")
    np.testing.assert_array_equal(again.apply(features), eraser.apply(features))
    assert again.removed == eraser.removed and again.rank == 2
    (tmp_path / "cut").write_bytes((tmp_path / "race.eraser").read_bytes()[:100])
    np.savez(tmp_path / "other.npz", mean=np.zeros(3))
    for name in ("absent", "cut", "other.npz"):
        with pytest.raises(InputError, match=name):
            load_eraser(tmp_path / name)


@pytest.mark.parametrize(
    ("features", "labels", "said"),
    [
        (np.ones((4, 2)), [1, 1, 1, 1], "all 1"),
        (np.ones((4, 2)), [0, 1, 1], r"shape \[3\], but there are 4"),
        (np.ones((4, 2)), [[0], [1], [1], [0]], r"shape \[4, 1\]"),
        (np.ones((4, 2)), [0.5, 1, 1, 0], "whole numbers"),
        (np.ones((4, 2)), [np.nan, 1, 1, 0], "whole numbers"),
        (np.ones((4, 2)), ["a", "b", "a", "b"], "whole numbers"),
        (np.array([[1, 2], [np.nan, 1], [0, 0], [1, 1]]), [0, 1, 0, 1], "row 1 are not finite"),
        (np.ones(4), [0, 1, 0, 1], r"must be \[N, D\]"),
        (np.ones((4, 0)), [0, 1, 0, 1], r"must be \[N, D\]"),
        (np.ones((4, 2), complex), [0, 1, 0, 1], "real numbers"),
    ],
)
def test_bad_input(features, labels, said):
    with pytest.raises(InputError, match=said):
        fit_eraser(features, labels)


def test_features_of_another_layer_are_refused():
    eraser = fit_eraser(*case(30, 4, 2))
    for other in (np.ones((3, 5)), np.ones(3), np.ones((2, 2, 4))):
        with pytest.raises(InputError, match="takes features"):
            eraser.apply(other)
