"""The choice of strengths, and what metrics change when other images choose: against loops over images."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from bias_jax.probes import ProbeConfig, cross_validate
from bias_jax.probes.choice import choose_strengths, redraw_choice
from bias_jax.randomness import key_for
from bias_jax.statistics import bootstrap_weights
from tests.probes.shapes import CONFIG, N, normal

IMAGES, STRENGTHS, FOLDS, DRAWS = 90, 4, 5, 300


@pytest.fixture
def log_probability(rng):
    return np.log(rng.uniform(0.2, 0.9, (STRENGTHS, 2, IMAGES))).astype(np.float32)


def chosen_by(log_probability, folds, weights):
    """The choice image by image."""
    scores = np.zeros((FOLDS, STRENGTHS))
    for n, fold in enumerate(folds):
        scores[(fold + 1) % FOLDS] += weights[n] * log_probability[:, 0, n]  # its probe left out both
        scores[(fold - 1) % FOLDS] += weights[n] * log_probability[:, 1, n]
    return scores.argmax(axis=1)


def test_choice_and_its_draws(log_probability, rng):
    folds, groups = rng.permutation(np.arange(IMAGES) % FOLDS), np.arange(IMAGES) % 3
    before = chosen_by(log_probability, folds, np.ones(IMAGES))
    np.testing.assert_array_equal(choose_strengths(log_probability, folds), before)
    values, key = rng.standard_normal((2, STRENGTHS, IMAGES)), key_for(0, "x")
    found = redraw_choice(log_probability, values, folds, groups, draws=DRAWS, key=key)
    assert found.shape == (2, DRAWS) and np.abs(found.mean(axis=1)).max() < 1e-5
    expected = []
    for weights in bootstrap_weights(groups, draws=DRAWS, key=key):
        after = chosen_by(log_probability, folds, weights)
        images = np.arange(IMAGES)
        expected.append((weights * (values[:, after[folds], images] - values[:, before[folds], images])).sum(axis=1))
    np.testing.assert_allclose(found, (np.array(expected) - np.mean(expected, axis=0)).T, atol=1e-4)


def test_one_strength_leaves_no_choice(log_probability, rng):
    folds = np.arange(IMAGES) % FOLDS
    values = rng.standard_normal((3, 1, IMAGES))
    assert not redraw_choice(log_probability[:1], values, folds, folds, draws=50, key=key_for(0, "x")).any()


def test_inner_predictions_never_saw_the_image(rng):
    """Other labels of one fold leave inner predictions of its images as they are."""
    folds, y = np.arange(N) // 2 % 4, np.arange(N) % 2
    x = jax.device_put(normal(rng) + np.where(np.arange(30) < 6, y[:, None], 0).astype(np.float32))
    other = np.where(folds == 2, 1 - y, y)
    config = replace(CONFIG, l2=(10.0, 1.0, 0.1), shuffles=0)
    a, b = (cross_validate(x, {"t": labels}, {"t": 2}, folds, y, config, 0) for labels in (y, other))
    own = folds == 2
    np.testing.assert_array_equal(a.inner_predicted[..., own], b.inner_predicted[..., own])
    p, q = (np.exp(r.inner_log_probability[..., own]) for r in (a, b))
    np.testing.assert_allclose(p, 1 - q, atol=1e-5)
    np.testing.assert_array_equal(a.l2[0], np.array(config.l2)[choose_strengths(a.inner_log_probability[0], folds)])


def test_signs_do_not_depend_on_shuffles_and_a_single_class_is_finite(rng):
    """Differences between runs of unequal numbers of shuffles need the same random signs."""
    y, folds, x = np.arange(N) % 2, np.arange(N) // 2 % 4, jax.device_put(normal(rng))
    labels, sizes = {"t": y, "one": np.zeros(N, int)}, {"t": 2, "one": 1}
    a, b = (cross_validate(x, labels, sizes, folds, y, replace(CONFIG, shuffles=s), 0) for s in (0, 2))
    np.testing.assert_array_equal(a.learned[0], b.learned[0])
    assert np.isfinite(b.influence).all() and np.isfinite(b.taught).all()


@pytest.mark.parametrize("wrong", [{"signs": 0}, {"draws": 0}, {"max_steps": 0}])
def test_settings_that_leave_nothing_to_compute(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        ProbeConfig(**wrong)
