import numpy as np
import pytest

from bias_jax.erasure import fit_erasers
from experiments.benchmark import main
from experiments.benchmarks.concept_erasure_peer import fit_with_peer
from experiments.benchmarks.peers import missing_package

# of the peer, while it is imported
PEER_WARNS = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


def test_the_benchmark_runs_without_its_peer(capsys):
    arguments = ["--images", "20", "--widths", "4", "--classes", "2", "3", "--repeats", "1", "--peers"]
    arguments += ["--per-group", "1", "--layers", "maxpool", "--l2", "1", "--folds", "2"]
    assert main(["erasure", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "20 images, targets of 2, 3 classes" in lines[0]
    assert any(line.split()[:2] == ["4", "bias-jax"] for line in lines)
    assert lines[-1].split()[:3] == ["64", "1", "24"]  # 4 conditions, 3 targets, 2 folds


@PEER_WARNS
def test_peers_find_the_probes_of_erased_layers(capsys):
    for peer in ("concept-erasure", "sklearn"):
        if missing_package(peer):
            pytest.skip(f"{peer} is not installed")
    arguments = ["--images", "20", "--widths", "4", "--classes", "2", "3", "--repeats", "1", "--per-group", "2"]
    assert main(["erasure", *arguments, "--layers", "maxpool", "--l2", "1", "--folds", "2"]) == 0
    *_, width, whole = (line.split() for line in capsys.readouterr().out.splitlines())
    assert width[:3] == ["64", "1", "24"] and width[-1] == "0" and whole[0] == "all"  # none was cut off


def test_bad_input(capsys):
    for arguments in (
        ["--images", "3"],
        ["--widths", "0"],
        ["--peers", "torch"],
        ["--classes", "1"],
        ["--folds", "1"],
    ):
        assert main(["erasure", *arguments]) == 2
        assert capsys.readouterr().err.startswith("error: ")


@PEER_WARNS
def test_both_erase_the_same(rng):
    if missing_package("concept-erasure"):
        pytest.skip("concept-erasure is not installed")
    features, labels = rng.standard_normal((60, 5)), {"a": np.arange(60) % 3}
    theirs = fit_with_peer(features, labels)["a"](features)
    np.testing.assert_allclose(fit_erasers(features, labels)["a"].apply(features), theirs, atol=1e-9)
