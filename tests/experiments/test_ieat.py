"""Association tests from folders to tables, on drawn faces with a planted association."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bias_jax.data import CalibrationConfig, calibration_faces
from bias_jax.data.decoding import decode
from bias_jax.results import RunDirectory
from experiments.ieat import main
from experiments.sweep import main as sweep
from tests.experiments.test_sweep import fairface_copy

SMALL = ["--layers", "maxpool,layer1.0", "--bootstrap", "300", "--draws", "2000"]


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory):
    """Palettes: X and A are faces of palette 1, Y and B of palette 4. Nothing: all sets are alike."""
    root = tmp_path_factory.mktemp("stimuli")
    faces = calibration_faces(CalibrationConfig(per_group=4, race_noise=0.1), 0)
    rng = np.random.default_rng(0)
    pools = {"first": faces.labels["race"] == 0, "last": faces.labels["race"] == 3}
    rows = {name: rng.permutation(np.flatnonzero(inside)) for name, inside in pools.items()}
    rows["any"] = rng.permutation(np.flatnonzero(np.isin(faces.labels["race"], (1, 2))))
    plan = {"palettes": ("first", "last", "first", "last"), "nothing": ("any", "any", "any", "any")}
    for test, kinds in plan.items():
        used = dict.fromkeys(rows, 0)
        for name, kind in zip("xyab", kinds, strict=True):
            folder = root / test / name
            folder.mkdir(parents=True)
            for i in rows[kind][used[kind] : used[kind] + 6]:
                step = 2 + i % 3  # pictures of different sizes
                Image.fromarray(decode(faces.read_bytes(int(i)))[::step, ::step]).save(folder / f"{i}.png")
            used[kind] += 6
    return root


@pytest.fixture(scope="module")
def finished(stimuli, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    assert main(["--stimuli", str(stimuli), *SMALL, "--out", str(out)]) == 0
    return out


def test_table_is_tidy_and_complete(finished):
    table = pd.read_parquet(finished / "associations.parquet")
    assert not table.duplicated(["test", "source", "layer", "cosine"]).any()
    assert set(table["source"]) == {"raw pixels", "mean colour", "untrained network"}
    assert len(table) == 2 * 2 * (2 + 1 + 1)
    assert (table["method"] == "exact").all() and (table["total"] == 924).all()
    assert (table["p_max_t"] >= table["p_value"] - 1e-12).all() and table["p_max_t_exact"].all()
    assert (table["p_holm"] >= table["p_benjamini_hochberg"]).all() and (table["p_holm"] >= table["p_value"]).all()
    assert ((table["low"] <= table["effect_size"]) & (table["effect_size"] <= table["high"])).mean() > 0.9
    assert table["few_images"].all()
    record = json.loads((finished / "run.json").read_text())
    assert "untrained control" in record["weights"] and record["identity"]["versions"]["jax"]
    figures = {p.name for p in (finished / "figures").iterdir()}
    assert figures == {"effect_by_layer-raw.png", "effect_by_layer-centred.png"}


def test_planted_association_is_found_and_nothing_is_not(finished):
    table = pd.read_parquet(finished / "associations.parquet").query("cosine == 'centred'").set_index("test")
    palettes = table.loc["palettes"].set_index("source")
    assert (palettes["effect_size"] > 0.8).all()
    # The mean colour of a picture is mostly that of its background, which is random: a weaker witness.
    strong = palettes.drop(index="mean colour")
    assert (strong["effect_size"] > 1.5).all() and (strong["p_max_t"] < 0.01).all()
    assert (table.loc["nothing", "p_max_t"] > 0.01).all()


@pytest.mark.slow
def test_interrupted_run_continues_to_the_same_bytes(stimuli, finished, tmp_path, monkeypatch):
    out = tmp_path / "run"
    arguments = ["--stimuli", str(stimuli), *SMALL, "--out", str(out)]
    save = RunDirectory.save_arrays

    def interrupted(self, name, arrays):
        if name == "layers/untrained-network.layer1.0.npz":  # half-way through a wave
            raise KeyboardInterrupt
        save(self, name, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "save_arrays", interrupted)
        assert main(arguments) == 130
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.npz")}
    assert before and not (out / "associations.parquet").exists()
    assert main(arguments) == 0
    assert (out / "associations.parquet").read_bytes() == (finished / "associations.parquet").read_bytes()
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())  # nothing done twice


@pytest.mark.slow
def test_fairface_groups_as_targets(stimuli, tmp_path, capsys):
    data = fairface_copy(tmp_path / "data")
    attributes = ["--a", str(stimuli / "palettes/a"), "--b", str(stimuli / "palettes/b")]
    groups = ["--data-dir", str(data), "--x", "White / Male", "--y", "East Asian", "--per-group", "9"]
    arguments = [*groups, *attributes, *SMALL, "--out", str(tmp_path / "run"), "--alternative", "greater"]
    assert main(arguments) == 0
    table = pd.read_parquet(tmp_path / "run/associations.parquet")
    assert set(table["test"]) == {"White / Male - East Asian"} and set(table["a"]) == {"a"}
    assert (table["images_x"] == 9).all() and (table["alternative"] == "greater").all()
    assert "strongest layer" in capsys.readouterr().out


BAD = {
    "nothing to test": ([], "give either --stimuli"),
    "two kinds of stimuli": (["--stimuli", "s", "--x", "White"], "give either --stimuli"),
    "half of a FairFace test": (["--data-dir", "d", "--x", "White"], "belong together"),
    "missing folder": (["--stimuli", "/nowhere"], "no such directory"),
    "unknown test": (["--stimuli", "STIMULI", "--tests", "Weight"], "holds no test 'Weight'"),
    "unknown layer": (["--stimuli", "STIMULI", "--layers", "layer9"], "no layer 'layer9'"),
    "weights that are no checkpoint": (["--stimuli", "STIMULI", "--weights", "/nowhere"], "is not a checkpoint"),
    "no draws": (["--stimuli", "STIMULI", "--draws", "0"], "--draws must be"),
    "damaged image": (["--stimuli", "DAMAGED"], "cannot be decoded"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_status_2_and_one_message(case, stimuli, tmp_path, capsys):
    arguments, message = BAD[case]
    if "DAMAGED" in arguments:
        shutil.copytree(stimuli, tmp_path / "damaged")
        next((tmp_path / "damaged/palettes/b").iterdir()).write_bytes(b"")
    places = {"STIMULI": str(stimuli), "DAMAGED": str(tmp_path / "damaged")}
    status = main([*(places.get(a, a) for a in arguments), "--out", str(tmp_path / "run")])
    assert status == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and message in last and "Way out" in last
    assert not (tmp_path / "run").exists()


def test_tests_too_large_for_counting_are_refused(stimuli, tmp_path, capsys):
    fairface = fairface_copy(tmp_path / "data")
    folders = ["--a", str(stimuli / "palettes" / "a"), "--b", str(stimuli / "palettes" / "b")]
    groups = ["--data-dir", str(fairface), "--x", "Male", "--y", "Female", *folders, "--out", str(tmp_path / "run")]
    assert main([*groups, "--method", "exact", "--per-group", "36"]) == 2
    assert "too many to count every relabelling" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_stage_of_the_sweep(stimuli, tmp_path, capsys):
    options = ["--per-group", "3", "--layers", "maxpool", "--l2", "1,10", "--draws", "100", "--folds", "3"]
    assert sweep([*options, "--stimuli", str(stimuli), "--out", str(tmp_path / "run")]) == 0
    assert "association tests" in capsys.readouterr().out.splitlines()[-2]
    table = pd.read_parquet(tmp_path / "run" / "associations" / "associations.parquet")
    assert set(table["test"]) == {"palettes", "nothing"}
    assert (tmp_path / "run" / "probes.parquet").exists()
