import jax
import numpy as np
import pytest

from bias_jax.probes import RecipeConfig, fit_recipe
from bias_jax.probes.recipe_rows import epoch_batches
from bias_jax.randomness import key_for
from experiments.benchmark import main
from experiments.benchmarks.recipe import torch_probe

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def test_pytorch_trains_the_same_probe(rng):
    """What is compared for speed must be the same computation."""
    x, y = rng.standard_normal((60, 8)).astype(np.float32), rng.integers(0, 3, 60)
    held_out = np.arange(60) % 5 == 0
    config = RecipeConfig(
        l1=(1e-2,), learning_rates=(1e-2,), epochs=5, dropout=0.0, initial="zeros", penalty="subgradient"
    )
    fitted = fit_recipe({"a": x}, {"t": y}, config=config, seed=0, validation=held_out)
    key, images = key_for(0, "recipe", "seed 0"), np.arange(48)
    orders = [
        np.array(epoch_batches(jax.random.split(jax.random.fold_in(key, e))[0], images, 32, -1)).ravel()[:48]
        for e in range(5)
    ]
    data = x[~held_out], y[~held_out], x[held_out], y[held_out]
    weights, bias, loss = torch_probe(torch, data, orders, 1e-2, config)
    ours = fitted.weights("a", "t", 1e-2, 1e-2)
    np.testing.assert_allclose(ours[0], weights, atol=1e-5)
    np.testing.assert_allclose(ours[1], bias, atol=1e-5)
    assert fitted.numbers("a", "t", 1e-2, 1e-2).validation_loss == pytest.approx(loss, rel=1e-5)


def test_recipe_benchmark_prints_its_tables(capsys):
    sizes = ["--widths", "4", "--classes", "2,3", "--images", "40", "--l1", "2", "--learning-rates", "1"]
    assert main(["recipe", *sizes, "--seeds", "1", "--epochs", "1", "--repeats", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "2 strengths, 1 rates, 1 seeds, 2 targets" in lines[2]
    assert [line.split()[0] for line in lines[6:]] == ["4", "all"]
    assert all(float(value.strip("[],").replace(",", "")) > 0 for line in lines[6:] for value in line.split()[1:])


def test_bad_sizes_end_with_status_2(capsys):
    assert main(["recipe", "--images", "3"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
