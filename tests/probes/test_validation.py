from itertools import product

import jax
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, log_loss, recall_score

from bias_jax.probes import ProbeConfig, class_recalls, confusion, cross_validate, fit_convex, score_probes
from bias_jax.randomness import key_for
from tests.probes.shapes import CONFIG, WIDTH, N, normal

SIZES = {"race": 3, "gender": 2, "race x gender": 6}
SHAPES = {"race": (("race", 3),), "gender": (("gender", 2),), "race x gender": (("race", 3), ("gender", 2))}


@pytest.fixture(scope="module")
def planted():
    """240 images, 3 x 2 groups; race is easy, gender is weak."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(6), N // 6)
    race, gender = group // 2, group % 2
    x = normal(rng)
    x[:, :3] += 2.0 * np.eye(3)[race]
    x[:, 3] += 0.8 * gender
    labels = {"race": race, "gender": gender, "race x gender": group}
    folds = np.arange(N) % 4
    with jax.transfer_guard("disallow"):
        result = cross_validate(jax.device_put(x), labels, SIZES, folds, group, CONFIG, 0)
    return x, labels, folds, result


def scores(result, group, draws=400):
    return score_probes(result, SHAPES, group, draws=draws, key=key_for(0, "test"))


def pick(found, probe, target, metric, control="none"):
    wanted = (probe, target, "held out", metric, control)
    return next(s for s in found if (s.probe, s.target, s.split, s.metric, s.control) == wanted)


def test_reported_predictions_come_from_probes_that_never_saw_the_image(planted):
    x, labels, folds, result = planted
    probes = fit_convex({"a": x}, labels, l2=CONFIG.l2, folds=folds)
    for (t, target), f in product(enumerate(labels), range(4)):
        weights, bias = (np.asarray(a) for a in probes.weights("a", target, result.l2[t, f], f))
        guess = (x[folds == f] @ weights + bias).argmax(1)
        # Both are solved, to different tolerances; two nearly equal classes may change places.
        assert (guess == result.predicted[0, t, folds == f]).mean() > 0.95


def test_strength_does_not_depend_on_the_reported_fold(planted):
    """Images of fold 2 are exchanged among themselves, which destroys their labels and nothing else."""
    x, labels, folds, result = planted
    mine = np.flatnonzero(folds == 2)
    spoiled = x.copy()
    spoiled[mine] = x[np.random.default_rng(1).permutation(mine)]
    other = cross_validate(jax.device_put(spoiled), labels, SIZES, folds, labels["race x gender"], CONFIG, 0)
    assert (other.l2[:, 2] == result.l2[:, 2]).all()
    assert (other.predicted[0, 0, mine] == labels["race"][mine]).mean() < 0.5


def test_metrics_against_scikit_learn(planted):
    _, labels, _, result = planted
    found = scores(result, labels["race x gender"])
    for t, target in enumerate(labels):
        true, guess = labels[target], result.predicted[0, t]
        assert (result.truth[0, t] == true).all()
        assert pick(found, target, target, "accuracy").value == pytest.approx(accuracy_score(true, guess))
        balanced = balanced_accuracy_score(true, guess)
        assert pick(found, target, target, "balanced_accuracy").value == pytest.approx(balanced)
        adjusted = balanced_accuracy_score(true, guess, adjusted=True)
        assert pick(found, target, target, "adjusted_balanced_accuracy").value == pytest.approx(adjusted)
        share = np.bincount(true) / len(true)
        bits = -(share * np.log2(share)).sum() + result.log_probability[0, t].mean() / np.log(2)
        assert pick(found, target, target, "information_bits").value == pytest.approx(bits, abs=1e-6)
        lost = pick(found, target, target, "log_loss_bits")
        assert lost.value == pytest.approx(-result.log_probability[0, t].mean() / np.log(2), abs=1e-6)
        assert lost.low < lost.value < lost.high and lost.chance == pytest.approx(bits + lost.value, abs=1e-6)
    joint = result.predicted[0, 2]
    assert pick(found, "race x gender", "race", "accuracy").value == pytest.approx(
        accuracy_score(labels["race"], joint // 2)
    )
    assert pick(found, "race x gender", "gender", "balanced_accuracy").value == pytest.approx(
        balanced_accuracy_score(labels["gender"], joint % 2)
    )
    assert (confusion(labels["race"], result.predicted[0, 0], 3) == confusion_matrix(
        labels["race"], result.predicted[0, 0])).all()  # fmt: skip
    recalls = [r.recall for r in class_recalls(result, {"race": "abc", "gender": "mf", "race x gender": "uvwxyz"})]
    assert recalls[:3] == pytest.approx(recall_score(labels["race"], result.predicted[0, 0], average=None))


def test_log_probability_against_scikit_learn(planted):
    x, labels, folds, result = planted
    probabilities = np.empty((N, 3))
    probes = fit_convex({"a": x}, {"race": labels["race"]}, l2=CONFIG.l2, folds=folds)
    for f in range(4):
        weights, bias = (np.asarray(a) for a in probes.weights("a", "race", result.l2[0, f], f))
        e = np.exp((x[folds == f] @ weights + bias).astype(float))
        probabilities[folds == f] = e / e.sum(1, keepdims=True)
    assert -result.log_probability[0, 0].mean() == pytest.approx(log_loss(labels["race"], probabilities), rel=0.02)


def test_planted_order_and_controls(planted):
    _, labels, _, result = planted
    found = scores(result, labels["race x gender"])
    race, gender = (pick(found, t, t, "adjusted_balanced_accuracy") for t in ("race", "gender"))
    assert race.low > gender.high and gender.low > 0
    for target in labels:
        shuffled = pick(found, target, target, "balanced_accuracy", "shuffled labels")
        assert shuffled.low <= shuffled.chance <= shuffled.high
        selectivity = pick(found, target, target, "balanced_accuracy", "selectivity")
        real = pick(found, target, target, "balanced_accuracy")
        assert selectivity.value == pytest.approx(real.value - shuffled.value, abs=1e-6)


def test_class_without_images_stays_in_the_table():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, N)
    labels, sizes = {"t": y, "six": np.arange(N) % 6}, {"t": 3, "six": 6}
    result = cross_validate(jax.device_put(normal(rng)), labels, sizes, np.arange(N) % 4, y, CONFIG, 0)
    recalls = class_recalls(result, {"t": ("a", "b", "never"), "six": "uvwxyz"})
    assert recalls[2].images == 0 and np.isnan(recalls[2].recall)
    found = score_probes(result, {"t": (("t", 3),), "six": (("six", 6),)}, y, draws=100, key=key_for(0, "x"))
    assert pick(found, "t", "t", "balanced_accuracy").chance == 0.5


def test_features_without_information_give_finite_scores():
    y = np.arange(N) % 2
    x = jax.device_put(np.full((N, WIDTH), 2.5, np.float32))
    result = cross_validate(x, {"t": y}, {"t": 2}, np.arange(N) // 2 % 4, y, CONFIG, 0)
    found = score_probes(result, {"t": (("t", 2),)}, y, draws=100, key=key_for(0, "x"))
    assert all(np.isfinite([s.value, s.low, s.high]).all() for s in found)
    assert pick(found, "t", "t", "balanced_accuracy").value == pytest.approx(0.5)


def test_one_class_is_solved_without_a_gap():
    y, x = np.zeros(N, int), jax.device_put(normal(np.random.default_rng(0)))
    result = cross_validate(x, {"t": y}, {"t": 1}, np.arange(N) % 4, y, CONFIG, 0)
    assert (result.relative_gap == 0).all() and (result.log_probability == 0).all()


def test_bad_input_is_refused():
    x, y, folds = np.random.default_rng(0).standard_normal((60, 4)), np.arange(60) % 2, np.arange(60) // 2 % 4
    fine = {"features": x, "labels": {"t": y}, "classes": {"t": 2}, "folds": folds, "groups": y}
    for given, problem in (
        ({"features": np.where(x > 2, np.nan, x)}, "not all finite"),
        ({"features": 1e-25 * x}, "too large or too small"),
        ({"labels": {}}, "at least one layer and one target"),
        ({"labels": {"t": y + 0.5}}, "'t' must hold whole numbers"),
        ({"labels": {"t": y - 1}}, "'t' has labels from -1 to 0, but 2 classes"),
        ({"classes": {"t": 1}}, "'t' has labels from 0 to 1, but 1 classes"),
        ({"folds": folds + 1}, r"folds must be numbered 0 to 3, got \[1, 2, 3, 4\]"),
        ({"folds": folds % 3}, r"got \[0, 1, 2\]"),
        ({"folds": np.where(folds > 2, np.nan, folds)}, "folds must hold whole numbers"),
        ({"groups": y[:-1]}, "groups has 59 rows"),
    ):
        with pytest.raises(ValueError, match=problem):
            cross_validate(*{**fine, **given}.values(), CONFIG, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("folds", 2), ("l2", ()), ("l2", (0.0, 1.0)), ("l2", 0.1), ("shuffles", -1), ("tolerance", 0.0),
     ("tolerance", float("nan"))],
)  # fmt: skip
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        ProbeConfig(**{name: value})
