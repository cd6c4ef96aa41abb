"""Scores and tables of mistakes against scikit-learn, fairlearn and counting by hand."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score

from bias_jax.probes import (
    OutOfFold,
    class_recalls,
    compare_probes,
    frequent_mistakes,
    layer_pairs,
    mistake_types,
    probe_values,
    score_probes,
)
from bias_jax.randomness import key_for

SHAPES = {"race": (("race", 3),), "age": (("age", 4),), "race x age": (("race", 3), ("age", 4))}
NAMES = {"race": "abc", "age": "wxyz", "race x age": [f"{r}/{a}" for r in "abc" for a in "wxyz"]}


@pytest.fixture(scope="module")
def result():
    """Predictions that are right four times in ten, of 300 images and one shuffled repeat."""
    rng = np.random.default_rng(0)
    race, age = rng.integers(0, 3, (2, 300)), rng.integers(0, 4, (2, 300))
    truth = np.stack([race, age, race * 4 + age], axis=1)

    def guesses(share):
        wrong = np.stack([rng.integers(0, size, (2, 300)) for size in (3, 4, 12)], axis=1)
        return np.where(rng.random(truth.shape) < share, truth, wrong).astype(np.int32)

    log_p = np.log(rng.uniform(0.05, 0.9, truth.shape)).astype(np.float32)
    alone, inner = np.zeros((2, 3, 2, 1, 300)), np.zeros((3, 1, 2, 300))
    fields = (
        truth,
        guesses(0.4),
        log_p,
        guesses(0.8),
        log_p / 2,
        alone[..., 0, :],
        alone,
        alone,
        inner.astype(int),
        inner,
    )
    return OutOfFold(*fields, np.arange(300) % 3, np.ones((3, 3)), np.zeros(3))


def pick(scores, **wanted):
    (found,) = [s for s in scores if all(getattr(s, k) == v for k, v in wanted.items())]
    return found


@pytest.fixture(scope="module")
def scores(result):
    return score_probes(result, SHAPES, result.truth[0, 2], ordinal=["age"], draws=300, key=key_for(0, "x"))


@pytest.mark.parametrize("split", ["held out", "training"])
def test_kappa_and_accuracy_against_scikit_learn(result, scores, split):
    predicted = result.predicted if split == "held out" else result.fitted
    for t, target in enumerate(SHAPES):
        own = {"probe": target, "target": target, "split": split, "control": "none"}
        true, guess = result.truth[0, t], predicted[0, t]
        assert pick(scores, metric="kappa", **own).value == pytest.approx(cohen_kappa_score(true, guess), abs=1e-9)
        assert pick(scores, metric="accuracy", **own).value == pytest.approx(accuracy_score(true, guess))
    read_off = pick(scores, probe="race x age", target="age", split=split, metric="kappa", control="none")
    assert read_off.value == pytest.approx(cohen_kappa_score(result.truth[0, 1], predicted[0, 2] % 4), abs=1e-9)
    assert read_off.low < read_off.value < read_off.high


def test_adjacent_accuracy_is_of_ordinal_attributes_only(result, scores):
    near = np.abs(result.truth[0, 1] - result.predicted[0, 1]) <= 1
    found = pick(scores, probe="age", target="age", split="held out", metric="adjacent_accuracy", control="none")
    counts = np.bincount(result.truth[0, 1])
    assert found.value == pytest.approx(near.mean())
    assert found.chance == pytest.approx(max(counts[:3].sum(), counts[1:].sum()) / 300)  # always guess x, or y
    assert {s.target for s in scores if s.metric == "adjacent_accuracy"} == {"age"}


def test_shuffled_kappa_and_selectivity(result, scores):
    own = {"probe": "race", "target": "race", "split": "held out", "metric": "kappa"}
    real, shuffled, difference = (
        pick(scores, control=c, **own).value for c in ("none", "shuffled labels", "selectivity")
    )
    assert shuffled == pytest.approx(cohen_kappa_score(result.truth[1, 0], result.predicted[1, 0]), abs=0.01)
    assert difference == pytest.approx(real - shuffled)


def test_mistake_types_by_counting(result):
    rows = [r for r in mistake_types(result, SHAPES) if r.split == "held out"]
    true, guess = result.truth[0, 2], result.predicted[0, 2]
    race_wrong, age_wrong = true // 4 != guess // 4, true % 4 != guess % 4
    expected = {"none": ~race_wrong & ~age_wrong, "age": ~race_wrong & age_wrong, "race": race_wrong & ~age_wrong,
                "race + age": race_wrong & age_wrong}  # fmt: skip
    assert {r.wrong: r.images for r in rows} == {name: int(mask.sum()) for name, mask in expected.items()}
    assert sum(r.share for r in rows) == pytest.approx(1) and sum(r.independent for r in rows) == pytest.approx(1)
    rng = np.random.default_rng(1)
    dealt = np.mean([(true == rng.permutation(guess)).mean() for _ in range(2000)])
    assert next(r.independent for r in rows if r.wrong == "none") == pytest.approx(dealt, abs=0.002)


def test_frequent_mistakes_by_counting(result):
    rows = [r for r in frequent_mistakes(result, SHAPES, NAMES, count=5) if r.split == "training"]
    pairs = list(zip(result.truth[0, 2], result.fitted[0, 2], strict=True))
    for row in rows:
        cell = NAMES["race x age"].index(row.true), NAMES["race x age"].index(row.predicted)
        assert pairs.count(cell) == row.images and cell[0] != cell[1]
    counts = [row.images for row in rows]
    assert len(rows) == 5 and counts == sorted(counts, reverse=True)


def test_group_metrics_agree_with_fairlearn(result):
    fairlearn = pytest.importorskip("fairlearn.metrics")
    true, guess = result.truth[0, 0], result.predicted[0, 0]
    frame = fairlearn.MetricFrame(metrics=accuracy_score, y_true=true, y_pred=guess, sensitive_features=true)
    recalls = {row.group: row for row in class_recalls(result, NAMES) if row.probe == "race"}
    assert [recalls[name].recall for name in "abc"] == pytest.approx(list(frame.by_group))
    assert [recalls[name].images for name in "abc"] == list(np.bincount(true))
    scores = score_probes(result, SHAPES, result.truth[0, 2], draws=100, key=key_for(0, "x"))
    own = {"probe": "race", "target": "race", "split": "held out", "control": "none"}
    assert pick(scores, metric="accuracy", **own).value == pytest.approx(frame.overall)
    assert pick(scores, metric="balanced_accuracy", **own).value == pytest.approx(frame.by_group.mean())


@pytest.mark.parametrize("share", [0.99, 0.01])
def test_intervals_end_where_the_metric_does(result, share):
    """Nearly perfect and nearly always wrong probes whose images change each other's values a lot."""
    rng = np.random.default_rng(1)
    truth = np.stack([result.truth[0], result.truth[0][:, rng.permutation(300)]])
    right = rng.random(truth.shape) < share
    guess = np.where(right, truth, (truth + 1) % np.array([3, 4, 12])[:, None])
    log_p = np.where(right, -1e-3, -2.0).astype(np.float32)
    wild = 1e3 * rng.standard_normal(result.learned.shape)
    given = replace(result, truth=truth, predicted=guess, log_probability=log_p, learned=wild, taught=wild)
    scores = score_probes(given, SHAPES, given.truth[0, 2], ordinal=["age"], draws=300, key=key_for(0, "x"))
    ends = {"accuracy": (0, 1), "balanced_accuracy": (0, 1), "adjacent_accuracy": (0, 1), "kappa": (-1, 1)}
    sizes, met = {"race": 3, "age": 4, "race x age": 12}, set()
    for score in scores:
        size = sizes[score.target]
        counts = np.bincount(given.truth[0, list(SHAPES).index(score.target)]) / 300
        least, most = ends.get(score.metric, (-1 / (size - 1), 1))
        if score.metric.endswith("bits"):
            entropy = -(counts * np.log2(counts)).sum()
            least, most = (0, np.inf) if score.metric == "log_loss_bits" else (-np.inf, entropy + 1e-9)
        if score.control == "selectivity":
            least, most = least - most, most - least
        assert least <= score.low <= score.high <= most, score
        met |= {(score.metric, end) for end, at in (("low", score.low == least), ("high", score.high == most)) if at}
    end = "high" if share > 0.5 else "low"
    assert {("balanced_accuracy", end), ("adjusted_balanced_accuracy", end)} <= met


def test_differences_end_where_the_metrics_do(result):
    rng = np.random.default_rng(2)
    wild = 1e3 * rng.standard_normal(result.learned.shape)
    guess = [np.where(rng.random(result.truth.shape) < 0.99, result.truth + shift, 0) % 3 for shift in (0, 1)]
    results = {name: replace(result, predicted=own, learned=wild * (1 - 2 * shift), taught=wild * (1 - 2 * shift))
               for shift, (name, own) in enumerate(zip("ab", guess, strict=True))}  # fmt: skip
    values = probe_values("m", results, {"race": SHAPES["race"]}, "adjusted_balanced_accuracy")
    (row,) = compare_probes("adjusted_balanced_accuracy", values, layer_pairs(list(values)), result.truth[0, 0],
                            draws=300, key=key_for(0, "x"))  # fmt: skip
    assert row.value > 1.4 and row.low < row.value and row.high == 1.5
