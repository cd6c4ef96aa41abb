import numpy as np
import pytest

from bias_jax.erasure import fit_erasers
from experiments.benchmark import main
from experiments.benchmarks.erasure import fit_with_peer
from experiments.benchmarks.peers import missing_package


def test_the_benchmark_runs_without_its_peer(capsys):
    arguments = ["--images", "20", "--widths", "4", "--classes", "2", "3", "--repeats", "1", "--peers"]
    assert main(["erasure", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "20 images, targets of 2, 3 classes" in lines[0] and lines[-1].split()[:2] == ["4", "bias-jax"]


def test_bad_input(capsys):
    for arguments in (["--images", "3"], ["--widths", "0"], ["--peers", "sklearn"], ["--classes", "1"]):
        assert main(["erasure", *arguments]) == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_both_erase_the_same(rng):
    if missing_package("concept-erasure"):
        pytest.skip("concept-erasure is not installed")
    features, labels = rng.standard_normal((60, 5)), {"a": np.arange(60) % 3}
    theirs = fit_with_peer(features, labels)["a"](features)
    np.testing.assert_allclose(fit_erasers(features, labels)["a"].apply(features), theirs, atol=1e-9)
