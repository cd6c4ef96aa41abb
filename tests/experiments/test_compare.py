"""Two finished runs compared image by image, and runs that cannot be compared."""

import numpy as np
import pandas as pd
import pytest

from bias_jax.results import RunDirectory
from experiments.compare import main

IMAGES = 200


def finished_run(path, share, seed=1, sha="data", folds=5, layers=("pixels", "late")):
    """A run whose late layer is right in this share of the images, and whose pixels are right in half of them."""
    truth = np.random.default_rng(0).integers(0, 2, (1, 1, IMAGES))
    record = {"model": "net", "weights": f"weights {seed}", "data": "toy", "images": IMAGES, "seed": 0}
    directory = RunDirectory(path, {"data_sha256": sha}, record)
    folder = directory.instrument("probes", {"options": {"folds": folds}})
    folder.save_json("layers.json", {"network": [[layer, [1, 1, 2]] for layer in layers]})
    categories = {"gender": ["Female", "Male"]}
    facts = {"categories": categories, "ordinal": [], "targets": {"gender": ["gender"]}, "groups": "gender"}
    folder.save_json("facts.json", facts)
    folder.save_json("about.json", record)
    folder.save_arrays("task.arrow", {"labels of gender": truth[0, 0], "folds": np.arange(IMAGES) % folds})
    rng = np.random.default_rng(seed)
    for layer in layers:
        right = (
            np.random.default_rng(2).random(truth.shape) < 0.5 if layer == "pixels" else rng.random(truth.shape) < share
        )
        guess = np.where(right, truth, 1 - truth)
        log_p = np.log(np.where(right, 0.7, 0.3)).astype(np.float32)
        alone, inner = np.zeros((1, 1, 2, 1, IMAGES)), np.zeros((1, 1, 2, IMAGES))  # nothing learned, one strength
        folder.save_arrays(f"network/{layer}.arrow", {
            "truth": truth, "predicted": guess, "log_probability": log_p, "fitted": guess,
            "fitted_log_probability": log_p, "influence": alone[..., 0, :], "learned": alone, "taught": alone,
            "inner_predicted": inner.astype(int), "inner_log_probability": inner, "folds": np.arange(IMAGES) % folds,
            "l2": np.ones((1, 5)), "relative_gap": np.zeros(1)})  # fmt: skip
    folder.save_json("tables.json", [])
    return str(path)


def test_difference_is_found_where_it_is(tmp_path, capsys):
    runs = [finished_run(tmp_path / "a", 0.9), finished_run(tmp_path / "b", 0.6, seed=3)]
    out = tmp_path / "out"
    assert main(["--first", runs[0], "--second", runs[1], "--out", str(out), "--draws", "200"]) == 0
    assert "late" in capsys.readouterr().out and (out / "comparison.png").exists()
    table = pd.read_parquet(out / "comparison.parquet").query("metric == 'adjusted_balanced_accuracy'")
    late, pixels = table.query("layer == 'late'").iloc[0], table.query("layer == 'pixels'").iloc[0]
    assert late["low"] < 2 * (0.9 - 0.6) < late["high"] and late["p_holm"] < 1e-3
    assert pixels["value"] == 0 and pixels["p_value"] == 1
    assert late["model"].endswith("weights 1") and late["versus_model"].endswith("weights 3")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"sha": "other"}, "other images"), ({"folds": 4}, "folds 4"), ({"layers": ("early",)}, "share no layer")],
)
def test_runs_that_cannot_be_compared(tmp_path, capsys, change, message):
    runs = [finished_run(tmp_path / "a", 0.9), finished_run(tmp_path / "b", 0.6, **change)]
    assert main(["--first", runs[0], "--second", runs[1], "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_a_run_of_another_version_is_told(tmp_path, capsys):
    runs = [finished_run(tmp_path / "a", 0.9), finished_run(tmp_path / "b", 0.6)]
    directory, _ = RunDirectory.existing(runs[1])
    arrays = directory.load_arrays("probes/network/late.arrow")
    without = {name: a for name, a in arrays.items() if name != "influence"}
    directory.save_arrays("probes/network/late.arrow", without)
    assert main(["--first", runs[0], "--second", runs[1], "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "late.arrow" in error and "another version" in error


def test_unfinished_and_absent_runs(tmp_path, capsys):
    first, second = finished_run(tmp_path / "a", 0.9), finished_run(tmp_path / "b", 0.6)
    (tmp_path / "b/probes/network/late.arrow").unlink()
    assert main(["--first", first, "--second", second]) == 2
    error = capsys.readouterr().err
    assert "late.arrow" in error and "Way out" in error
    (tmp_path / "b/probes/tables.json").unlink()
    assert main(["--first", first, "--second", second]) == 2
    assert "is not finished" in capsys.readouterr().err
    assert main(["--first", first, "--second", str(tmp_path / "c")]) == 2
    assert "no such run" in capsys.readouterr().err
    RunDirectory(tmp_path / "d", {"data_sha256": "data"}, {})
    assert main(["--first", first, "--second", str(tmp_path / "d")]) == 2
    assert "holds no probes" in capsys.readouterr().err
