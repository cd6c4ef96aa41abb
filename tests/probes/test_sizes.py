"""Padding changes no number, and what is compiled is counted."""

from dataclasses import replace

import chex
import jax
import numpy as np
import pytest

from bias_jax.compilation import counted_programs
from bias_jax.probes import cross_validate, jobs, nested, score_probes, validation
from bias_jax.probes.axes import Coordinates, principal_axes
from bias_jax.probes.paths import solve_path
from bias_jax.probes.problems import class_problems, host_problems
from bias_jax.probes.sizes import padded_axes, padded_classes
from bias_jax.randomness import key_for
from tests.probes.shapes import CONFIG, FOLDS, N


def test_sizes_hold_what_they_must_and_are_few():
    for padded, largest, smallest in ((padded_axes, 4096, 256), (padded_classes, 512, 24)):
        sizes = {number: padded(number) for number in range(1, largest + 1)}
        assert all(size >= number for number, size in sizes.items())
        assert sorted(sizes.values()) == list(sizes.values()) and len(set(sizes.values())) <= 13
        assert all(3 * number > 2 * size for number, size in sizes.items() if number > smallest)
        assert all(sizes[2**k] == 2**k for k in range(5, 13) if smallest < 2**k <= largest)
    # What the README's runs are made of: networks' widths, and FairFace's 126 groups and their unions.
    assert [padded_axes(width) for width in (64, 192, 239, 256, 512, 1024, 1999, 2048)] == [256] * 4 + [512, 1024] + [
        2048] * 2  # fmt: skip
    assert [padded_classes(size) for size in (2, 7, 9, 14, 18, 63, 126)] == [2, 8, 24, 24, 24, 64, 128]


@pytest.fixture(scope="module")
def planted():
    """Features [N, 40], classes [N], the last of which is all in fold 0, and folds."""
    rng = np.random.default_rng(4)
    y, folds = np.arange(N) % 5, np.arange(N) // 5 % FOLDS
    x = rng.standard_normal((N, 40)) / (1.0 + np.arange(40)) ** 0.5
    x[:, :5] += np.eye(5)[y]
    return x.astype(np.float32), np.where((y == 4) & (folds != 0), 3, y), folds


def bare_axes(bank):
    """Without the columns that are all 0, which only fill the array."""
    axes = principal_axes(bank)
    features = np.asarray(axes.coordinates.features)
    features = features[:, features.any(axis=0)]
    return axes._replace(coordinates=Coordinates(*jax.device_put((features, features.T.copy()))))


def bare_problems(labels, classes, training):
    """Without the classes that nothing has."""
    problems = host_problems(labels, classes, training)
    return problems._replace(present=problems.present[:, :classes])


def test_padding_changes_no_solution(planted):
    """Coefficients to 1e-4 of the largest; what is added has none. Float32 sums in another order."""
    x, y, folds = planted
    training = folds != np.arange(FOLDS)[:, None]
    l2 = np.array([100.0, 10.0, 1.0], np.float32)[:, None] * np.array([1e-3, 1e-2, 0.1, 1.0], np.float32)
    found = []
    for axes, problems in (
        (principal_axes(jax.device_put(x)), class_problems(y, 5, training)),
        (bare_axes(jax.device_put(x)), jax.device_put(bare_problems(y, 5, training))),
    ):
        solution = jax.tree.map(lambda a: a[-1], solve_path(axes.coordinates, problems, l2, 1e-5, 500))
        assert (np.asarray(solution.gap) <= 1e-5 * np.asarray(solution.objective)).all()
        np.testing.assert_allclose(solution.relative_gap, solution.gap / solution.objective, rtol=1e-6)
        found.append(solution)
    padded, bare = (np.asarray(solution.coefficients) for solution in found)
    assert padded.shape == (FOLDS, 8, 272) and bare.shape == (FOLDS, 5, 41)
    assert not padded[:, 5:].any() and not padded[:, :, 40:-1].any() and not padded[0, 4].any()
    same = padded[:, :5][:, :, [*range(40), -1]]
    np.testing.assert_allclose(same, bare, atol=1e-4 * np.abs(bare).max())
    np.testing.assert_allclose(found[0].objective, found[1].objective, rtol=1e-6)
    assert int(found[0].steps) == int(found[1].steps)


def test_padding_changes_no_table(planted, monkeypatch):
    """Predictions are the same; what is read off them to float32 rounding, 1e-4 of the largest."""
    x, y, folds = planted

    def table():
        found = cross_validate(jax.device_put(x), {"t": y}, {"t": 5}, folds, y, CONFIG, 0)
        return found, score_probes(found, {"t": (("t", 5),)}, y, draws=100, key=key_for(0, "x"))

    padded, scores = table()
    monkeypatch.setattr(validation, "principal_axes", bare_axes)
    monkeypatch.setattr(nested, "host_problems", bare_problems)
    bare, expected = table()
    for name in ("predicted", "fitted", "inner_predicted", "l2"):
        np.testing.assert_array_equal(getattr(padded, name), getattr(bare, name))
    for name in (
        "log_probability",
        "fitted_log_probability",
        "inner_log_probability",
        "influence",
        "learned",
        "taught",
    ):
        values = getattr(bare, name)
        assert np.abs(values).max() > 0
        np.testing.assert_allclose(getattr(padded, name), values, atol=1e-4 * np.abs(values).max())
    assert padded.relative_gap.max() <= CONFIG.tolerance and bare.relative_gap.max() <= CONFIG.tolerance
    for score, other in zip(scores, expected, strict=True):
        assert score[:5] == other[:5] and score[5:] == pytest.approx(other[5:], abs=1e-4)


@pytest.fixture
def fresh_programs():
    """Programs that other tests have compiled are forgotten, and those of this one afterwards."""
    kept = jobs._solving, jobs._mapping
    for programs in kept:
        programs.cache_clear()
    yield
    for programs in kept:
        programs.cache_clear()


def test_widths_and_targets_share_programs(monkeypatch, fresh_programs):
    """Four widths and three targets in two sizes of one width; every width has its own way there, which is short."""
    for module, name in ((jobs, "_solve"), (nested, "_respond")):
        monkeypatch.setattr(module, name, chex.assert_max_traces(getattr(module, name), n=2))
    rng, group, config = np.random.default_rng(0), np.arange(N) % 6, replace(CONFIG, shuffles=0)
    sizes = {"race": 3, "gender": 2, "race x gender": 6}
    labels = {name: group % size for name, size in sizes.items()}
    folds, widths = np.arange(N) // 6 % FOLDS, (30, 192, 256, 2048)
    with counted_programs() as programs:
        for width in widths:
            x = rng.standard_normal((N, width)).astype(np.float32)
            cross_validate(jax.device_put(x), labels, sizes, folds, group, config, 0)
    # Per size: solving, exchange, two places to start, predicting all strengths and the chosen one. Per width: moments,
    # and axes or Gram matrix; and the axes of all Gram matrices, and a stack of them.
    assert programs.count <= 2 * 6 + len(widths) * 2 + 2
