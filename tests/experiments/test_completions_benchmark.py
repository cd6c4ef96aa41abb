import jax
import numpy as np
import pytest

from bias_jax.completions import Drawing, complete, sample_keys
from experiments.benchmark import main
from experiments.benchmarks.completions import generate, transformers_model
from tests.networks.igpt_case import frozen_case

SMALL = ["--blocks", "1", "--images", "1", "--samples", "2", "--rows", "1", "--pixels", "3"]


def test_this_package_alone(capsys):
    assert main(["completions", *SMALL, "--peers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "32 pixels given, 3 drawn" in lines[1] and "GFLOP" in lines[2]
    assert lines[-1].split()[:2] == ["bias-jax", "2"] and "1.0 [1.0, 1.0]" in lines[-1]


@pytest.mark.parametrize("bad", [["--network", "vgg16"], ["--rows", "32"], ["--images", "0"], ["--peers", "torch"]])
def test_bad_sizes_end_with_status_2(bad, capsys):
    assert main(["completions", *bad]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.torch
def test_transformers_draws_the_same(oracles_dir):
    """What is compared for speed must be the same computation: greedy completions of the tiny network."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    case = frozen_case(oracles_dir, "tiny")
    model = transformers_model(torch, case.size, case.params, "cpu")
    found = generate(torch, model, case.tokens[:, :32], 1, 32, greedy=True)[:, 0]
    assert np.array_equal(found, case.frozen["rms/greedy"])
    keys = sample_keys(list(jax.random.split(jax.random.key(0), 2)), 1)
    ours = complete(case.params, case.size, case.tokens, np.arange(64) < 32, keys, Drawing(0.0))[:, 0]
    assert np.array_equal(ours, found)


@pytest.mark.torch
def test_the_benchmark_with_its_peer(capsys):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    assert main(["completions", *SMALL]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [row[:2] for row in rows] == [["bias-jax", "2"], ["transformers", "2"]]
