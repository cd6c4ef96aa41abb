"""The solver against a float64 reference: objective within 1e-5 relative, gap certified, weights usable."""

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bias_jax.probes import fit_convex


def standardised(x):
    x = x.astype(float) - x.astype(float).mean(0)
    rms = np.sqrt(np.square(x).mean())
    return x / (rms if rms > 1e-6 else 1.0)


def value(x, y, weights, bias, l2):
    """The objective in float64, for weights in the coordinates of the bank."""
    logits = x.astype(float) @ weights + bias
    top = logits.max(1, keepdims=True)
    loss = np.log(np.exp(logits - top).sum(1)) + top[:, 0] - logits[np.arange(len(y)), y]
    spread = np.sqrt(np.square(x.astype(float) - x.astype(float).mean(0)).mean())
    return loss.mean() + l2 / 2 * np.square(weights * (spread if spread > 1e-6 else 1.0)).sum()


def reference(x, y, l2):
    """scikit-learn's optimum of the same objective, in float64."""
    z = standardised(x)
    if z.shape[1] > len(z):
        u, s, _ = np.linalg.svd(z, full_matrices=False)
        z = u * s
    _, y = np.unique(y, return_inverse=True)
    if y.max() == 1:  # scikit-learn's binary model has half the weights of the softmax one
        model = LogisticRegression(C=2 / (l2 * len(y)), tol=1e-12, max_iter=20000).fit(z, y)
        weights = np.concatenate([-model.coef_, model.coef_]).T / 2
        bias = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        model = LogisticRegression(C=1 / (l2 * len(y)), tol=1e-10, max_iter=20000).fit(z, y)
        weights, bias = model.coef_.T, model.intercept_
    logits = z @ weights + bias
    top = logits.max(1, keepdims=True)
    loss = np.log(np.exp(logits - top).sum(1)) + top[:, 0] - logits[np.arange(len(y)), y]
    return loss.mean() + l2 / 2 * np.square(weights).sum()


def planted(rng, images, width, classes, decay=0.05):
    """Features with a falling spectrum and classes that shift some of them."""
    y = rng.integers(0, classes, images)
    spectrum = np.exp(-decay * np.arange(width))
    x = rng.standard_normal((images, width)) * spectrum + 3.0 * rng.standard_normal(width)
    x += 0.5 * rng.standard_normal((classes, width))[y] * spectrum
    return x.astype(np.float32), y


# As many images everywhere, and in each of three folds as many to train on: they share compiled programs.
N, FOLDED = 150, 225
CASES = {
    "D < N": lambda rng: planted(rng, N, 64, 5),
    "binary": lambda rng: planted(rng, N, 40, 2),
    "D > N": lambda rng: planted(rng, N, 700, 4, 0.005),
    "rank deficient": lambda rng: (lambda x, y: (np.concatenate([x, x, x[:, :5] * 2], 1), y))(*planted(rng, N, 30, 3)),
    "constant columns": lambda rng: (lambda x, y: (x * (np.arange(40) % 3 > 0) + 7, y))(*planted(rng, N, 40, 3)),
    "one feature": lambda rng: planted(rng, N, 1, 3),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-5])
def test_objective_is_the_float64_optimum(case, l2, rng):
    x, y = CASES[case](rng)
    probes = fit_convex({"a": x}, {"t": y}, l2=[l2])
    optimum = reference(x, y, l2)
    reached, gap = probes.objective("a", "t", l2), probes.gap("a", "t", l2)
    assert reached - optimum < 1e-5 * optimum
    assert reached - optimum < gap + 1e-6 * optimum  # the certificate holds, up to float32
    weights, bias = (np.asarray(a, float) for a in probes.weights("a", "t", l2))
    assert weights.shape == (x.shape[1], y.max() + 1) and bias.shape == (y.max() + 1,)
    assert value(x, y, weights, bias, l2) - optimum < 2e-5 * optimum


def mean_square(x):
    return np.square(x.astype(float) - x.astype(float).mean(0)).mean()


def test_folds_targets_and_strengths_are_independent_problems(rng):
    """Each equals a fit of its own; the layer's scalar comes from all images, so strengths are translated."""
    x, y = planted(rng, FOLDED, 30, 4)
    labels = {"y": y, "other": rng.integers(0, 2, FOLDED)}
    folds = np.arange(FOLDED) % 3
    together = fit_convex({"a": x}, labels, l2=[1.0, 1e-2], folds=folds)
    for f in range(3):
        part = x[folds != f]
        l2 = 1e-2 * mean_square(x) / mean_square(part)
        alone = fit_convex({"a": part}, {t: v[folds != f] for t, v in labels.items()}, l2=[l2])
        for target, values in labels.items():
            expected = alone.objective("a", target, l2)
            assert together.objective("a", target, 1e-2, f) == pytest.approx(expected, rel=2e-5)
            weights, bias = (np.asarray(a, float) for a in together.weights("a", target, 1e-2, f))
            assert value(part, values[folds != f], weights, bias, l2) == pytest.approx(expected, rel=2e-5)


def test_class_missing_in_training(rng):
    x, y = planted(rng, FOLDED, 10, 3)
    folds = np.where(y == 2, 0, rng.integers(0, 3, FOLDED))
    probes = fit_convex({"a": x}, {"t": y}, l2=[1.0, 0.1], folds=folds)
    weights, bias = (np.asarray(a) for a in probes.weights("a", "t", 0.1, 0))
    assert np.isfinite(weights).all() and np.isfinite(bias).all()
    logits = x @ weights + bias
    assert (logits.argmax(1) != 2).all() and (weights[:, 2] == 0).all()
    keep = folds != 0
    l2 = 0.1 * mean_square(x) / mean_square(x[keep])
    expected = value(x[keep], y[keep], weights.astype(float), bias.astype(float), l2)
    assert probes.objective("a", "t", 0.1, 0) == pytest.approx(expected, rel=1e-5)


def test_a_bank_without_information_gives_class_frequencies(rng):
    y = rng.integers(0, 3, N)
    probes = fit_convex({"a": np.full((N, 5), 3.3, np.float32)}, {"t": y}, l2=[0.1])
    weights, bias = (np.asarray(a) for a in probes.weights("a", "t", 0.1))
    share = np.bincount(y) / N
    np.testing.assert_allclose(np.exp(bias) / np.exp(bias).sum(), share, atol=1e-4)
    assert np.abs(weights).max() < 1e-4
    assert probes.objective("a", "t", 0.1) == pytest.approx(-(share * np.log(share)).sum(), rel=1e-5)


def test_unknown_labels_are_left_out(rng):
    x, y = planted(rng, N, 8, 3)
    partly = np.where(np.arange(N) < 40, -1, y)
    l2 = 0.1 * mean_square(x) / mean_square(x[40:])
    probes = fit_convex({"a": x}, {"t": partly}, l2=[0.1])
    assert probes.objective("a", "t", 0.1) == pytest.approx(reference(x[40:], y[40:], l2), rel=2e-5)


def test_scale_and_shift_of_the_bank_do_not_matter(rng):
    x, y = planted(rng, N, 20, 3)
    one = fit_convex({"a": x}, {"t": y}, l2=[0.01], tolerance=1e-7).objective("a", "t", 0.01)
    other = fit_convex({"a": 1000 * x + 5}, {"t": y}, l2=[0.01], tolerance=1e-7).objective("a", "t", 0.01)
    assert one == pytest.approx(other, rel=1e-5)


def test_bad_input_is_refused(rng):
    x, y = planted(rng, 20, 3, 2)
    with pytest.raises(ValueError, match="positive"):
        fit_convex({"a": x}, {"t": y}, l2=[0.0])
    with pytest.raises(ValueError, match="19 rows"):
        fit_convex({"a": x[:19]}, {"t": y}, l2=[1.0])
    with pytest.raises(ValueError, match="not all finite"):
        fit_convex({"a": np.where(x > 0, np.nan, x)}, {"t": y}, l2=[1.0])


def test_same_input_same_numbers(rng):
    x, y = planted(rng, N, 20, 3)
    one, two = (fit_convex({"a": x}, {"t": y}, l2=[0.01]).weights("a", "t", 0.01) for _ in range(2))
    assert all(bool(jax.numpy.array_equal(a, b)) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(("l2", "separation"), [(1e-5, 0.3), (1e-3, 0.3), (1e-2, 1.0)])
def test_one_strength_is_solved_without_stronger_ones_before_it(l2, separation, rng):
    """Four images a class, more features than images: Newton's first step is several times too long, and at weak
    strengths the gap starts to shrink long after the objective.
    """
    y = np.repeat(np.arange(126), 4)
    means = separation * rng.standard_normal((126, 600))
    x = (rng.standard_normal((504, 600)) + means[y]) / (1.0 + np.arange(600)) ** 0.7
    found = fit_convex({"layer": x.astype(np.float32)}, {"y": y}, l2=[l2], tolerance=1e-4)
    assert found.gap("layer", "y", l2) <= 1e-4 * found.objective("layer", "y", l2)


@pytest.mark.parametrize(("images", "width"), [(N, 40), (N, 190)])
@pytest.mark.parametrize("l2", [1.0, 1e-2])
def test_a_column_far_from_zero_leaves_the_others_as_they_are(images, width, l2, rng):
    informative, y = planted(rng, images, width, 3, 0.02)
    far = np.full((images, 1), 1e7, np.float32) + rng.integers(0, 2, (images, 1)).astype(np.float32)  # its last digit
    x = np.concatenate([informative[:, :7], far, np.full((images, 2), 0.1, np.float32), informative[:, 7:]], axis=1)
    constant = np.isin(np.arange(x.shape[1]), (7, 8, 9))
    reached = fit_convex({"a": x}, {"t": y}, l2=[l2], tolerance=1e-6)
    weights, bias = (np.asarray(a, float) for a in reached.weights("a", "t", l2))
    assert (weights[constant] == 0).all() and (weights[~constant] != 0).any(axis=1).all()
    z = x.astype(float) - x.astype(float).mean(0)
    z[:, constant] = 0
    scale = np.sqrt(np.square(z).mean())
    logits = x.astype(float) @ weights + bias
    loss = np.log(np.exp(logits).sum(1)) - logits[np.arange(images), y]
    model = LogisticRegression(C=1 / (l2 * images), tol=1e-10, max_iter=20000).fit(z / scale, y)
    fitted = z / scale @ model.coef_.T + model.intercept_
    optimum = (np.log(np.exp(fitted).sum(1)) - fitted[np.arange(images), y]).mean()
    optimum += l2 / 2 * np.square(model.coef_).sum()
    assert reached.objective("a", "t", l2) == pytest.approx(optimum, rel=1e-5)
    assert loss.mean() + l2 / 2 * np.square(scale * weights).sum() == pytest.approx(optimum, rel=1e-5)


@pytest.mark.parametrize(("images", "width"), [(N, 40), (N, 190)])
def test_an_offset_costs_no_more_digits_than_the_bank_has_lost(images, width, rng):
    """1e3 with a deviation of 0.01, and a sixth of that in the last column: what varies less counts as constant."""
    x, y = planted(rng, images, width, 3, min(0.02, 1.8 / width))
    x = (1e3 + 0.01 * (x - x.mean(0))).astype(np.float32)
    found = fit_convex({"a": x}, {"t": y}, l2=[1e-2], tolerance=1e-6)
    assert found.objective("a", "t", 1e-2) == pytest.approx(reference(1e3 * (x.astype(float) - 1e3), y, 1e-2), rel=1e-5)


BROKEN = {
    "no targets": ({"labels": {}}, "at least one layer and one target"),
    "no layers": ({"bank": {}}, "at least one layer and one target"),
    "half labels": ({"labels": {"t": np.arange(20) % 2 + 0.5}}, "'t' must hold whole numbers"),
    "labels in words": ({"labels": {"t": np.array(["a", "b"] * 10)}}, "'t' must hold whole numbers"),
    "label nan": ({"labels": {"t": np.full(20, np.nan)}}, "'t' must hold whole numbers"),
    "labels in columns": ({"labels": {"t": np.zeros((20, 1), int)}}, r"'t' has the shape \[20, 1\]"),
    "no label known": ({"labels": {"t": np.full(20, -1)}}, "'t' has no known label"),
    "bank of one axis": ({"bank": {"a": np.zeros(20)}}, r"'a' has the shape \[20\]"),
    "bank without features": ({"bank": {"a": np.zeros((20, 0))}}, r"'a' has the shape \[20, 0\]"),
    "bank in words": ({"bank": {"a": np.full((20, 3), "x")}}, "'a' must be real numbers"),
    "layers that differ": ({"bank": {"a": np.eye(20), "b": np.eye(19)}}, "'b' has 19 rows, layer 'a' has 20"),
    "too large": ({"bank": {"a": np.linspace(-1e20, 1e20, 60).reshape(20, 3)}}, "'a' are too large or too small"),
    "larger still": ({"bank": {"a": 1e38 * np.ones((20, 3))}}, "'a' are too large or too small"),
    "beyond float32": ({"bank": {"a": 1e300 * np.eye(20)}}, "'a' are not all finite"),
    "too small": ({"bank": {"a": 1e-25 * np.eye(20)}}, "'a' are too large or too small"),
    "half folds": ({"folds": np.arange(20) % 3 + 0.5}, "folds must hold whole numbers"),
    "fold nan": ({"folds": np.full(20, np.nan)}, "folds must hold whole numbers"),
    "one fold": ({"folds": np.ones(20, int)}, "'t' has no training image with a known label outside fold 1"),
    "one strength": ({"l2": 0.1}, r"such as \[0.1\]"),
    "strength below float32": ({"l2": [1e-60]}, "l2 must be positive"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_probed_is_refused(case):
    given, problem = BROKEN[case]
    fine = {"bank": {"a": np.eye(20, 3)}, "labels": {"t": np.arange(20) % 2}, "l2": [0.1]}
    bank, labels = ({**fine, **given}[name] for name in ("bank", "labels"))
    with pytest.raises(ValueError, match=problem):
        fit_convex(bank, labels, l2=given.get("l2", fine["l2"]), folds=given.get("folds"))


def test_a_layer_that_varies_by_rounding_only_is_no_error(rng):
    x = (1e7 + rng.integers(0, 2, (N, 4))).astype(np.float32)
    found = fit_convex({"a": x}, {"t": np.arange(N) % 2}, l2=[0.1])
    assert found.objective("a", "t", 0.1) == pytest.approx(np.log(2), rel=1e-6)


def test_probes_that_are_not_there_are_told_with_those_that_are(rng):
    x, y = planted(rng, FOLDED, 4, 2)
    found = fit_convex({"a": x}, {"t": y}, l2=[np.float32(0.1), 0.01], folds=np.arange(FOLDED) % 3)
    assert found.gap("a", "t", np.float32(0.1), 1) == found.gap("a", "t", float(np.float32(0.1)), 1)
    own = float(np.float32(0.1))
    for place, there in {
        ("b", "t", own, 0): "no layer 'b'; there are 'a'",
        ("a", "u", own, 0): "no target 'u'; there are 't'",
        ("a", "t", 3.0, 0): r"no strength 3.0; there are 0.1000000014",
        ("a", "t", own, None): "no fold None; there are 0, 1, 2",
    }.items():
        for look_up in (found.weights, found.objective, found.gap):
            with pytest.raises(KeyError, match=there):
                look_up(*place)
