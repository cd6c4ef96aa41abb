"""The benchmark of maps runs, trains the default map, and its force layout is the same."""

import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.topomaps import default_som, force_layout
from experiments.benchmarks.report import print_lines
from experiments.benchmarks.topomaps import TopomapsBenchmark, numpy_force, read_layers, run_topomaps, train_all


def test_benchmark_prints_both_comparisons(capsys):
    pytest.importorskip("minisom")
    small = {"units": 50, "force_steps": 10, "numpy_steps": 2, "repeats": 1, "minisom_steps": 1}
    errors, times, force = print_lines(run_topomaps(TopomapsBenchmark(widest=64, **small))).tables
    rules = ["bias-jax", "MiniSom, online", "MiniSom, batch"]
    assert [row[2] for row in errors.rows] == [row[0] for row in times.rows] == rules
    assert [row[0] for row in force.rows] == ["bias-jax", "NumPy, one core"]
    assert "force layout, 50 units" in capsys.readouterr().out
    with pytest.raises(InputError):
        print_lines(run_topomaps(TopomapsBenchmark(data_dir="/nowhere")))
    with pytest.raises(InputError, match="must be positive"):
        TopomapsBenchmark(repeats=0)


def test_benchmark_trains_the_default_map():
    layers, _ = read_layers(TopomapsBenchmark(widest=64))
    trained = train_all(layers, seed=3)
    for layer, units in layers.items():
        assert (trained[layer].weights == default_som(64).fit(units, seed=3).weights).all()


def test_both_force_layouts_of_the_benchmark_are_the_same(rng):
    start = rng.uniform(size=(40, 2))
    start = (start - start.min(0)) / np.ptp(start, axis=0)
    np.testing.assert_allclose(force_layout(start, steps=50), numpy_force(start, 50, 50), atol=1e-3)
