"""The whole path in a process of its own: images to tables, killed at any moment, on real and on broken data."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bias_jax.data import CalibrationConfig, calibration_faces
from bias_jax.data.decoding import decode
from experiments.sweep import main
from tests.probes.shapes import N

ROOT = Path(__file__).parents[2]
SMALL = ["--per-group", "5", "--layers", "maxpool", "--probes.l2", "0.1,10", "--probes.draws", "200",
         "--variance.permutations", "99", "--batch-size", "24"]  # fmt: skip
FEW = ["--probes.l2", "1,10", "--probes.draws", "100", "--probes.folds", "3", "--variance.permutations", "99"]
FILES = ("probes/probes.parquet", "probes/recalls.parquet", "probes/mistake_types.parquet", "maps/topomaps.parquet",
         "probes/frequent_mistakes.parquet", "probes/differences.parquet", "variance/variance.parquet")  # fmt: skip


def start(*arguments: str, out: Path) -> subprocess.Popen:
    """Start a sweep in a process of its own."""
    command = [sys.executable, "-m", "experiments.sweep", *arguments, "--out", str(out)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    process = start(*SMALL, out=out)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return out, output


@pytest.mark.slow
def test_run_directory_is_complete(finished):
    out, output = finished
    record = json.loads((out / "run.json").read_text())
    assert record["identity"]["activations"]["seed"] == 0 and record["identity"]["versions"]["jax"]
    assert "untrained control" in record["weights"] and "untrained control" in output
    assert "memory plan" in output and "wall time: " in output and "says nothing about people" in output
    assert "programs in" in output and "120 distinct images went through the network" in output
    figures = {str(p.relative_to(out)) for p in out.glob("*/figures/*.png")}
    assert {name[:-4] for name in figures} == {str(p.relative_to(out))[:-4] for p in out.glob("*/figures/*.svg")}
    assert output.splitlines()[-1] == f"report: {out}/report.html" and "Planted race: " in output
    assert figures == {"probes/figures/accuracy_by_layer.png", "probes/figures/comparison_by_layer.png",
                       "probes/figures/confusion_groups.png", "probes/figures/confusion_attributes.png",
                       "maps/figures/topomap-maxpool-som.png", "variance/figures/variance_by_layer.png"}  # fmt: skip


@pytest.mark.slow
def test_tables_are_tidy(finished):
    out, _ = finished
    probes = pd.read_parquet(out / "probes/probes.parquet")
    assert not probes.duplicated(["model", "layer", "probe", "target", "split", "metric", "control"]).any()
    assert set(probes["control"]) == {"none", "shuffled labels", "selectivity"}
    assert probes["probe"].nunique() == 8 and list(probes["layer"].unique()) == ["pixels", "maxpool"]
    assert (probes["low"] <= probes["value"] + 1e-6).all() and (probes["value"] <= probes["high"] + 1e-6).all()
    assert (probes["relative_gap"] <= 1e-4).all()
    assert (probes["images"] == 120).all()
    read_off = probes.query(
        "probe == 'race x age x gender' and metric == 'accuracy' and control == 'none' and split == 'training'"
    )
    assert set(read_off["target"]) == {"race x age x gender", "race", "age", "gender"}
    recalls = pd.read_parquet(out / "probes/recalls.parquet")
    assert len(recalls) == 2 * (4 + 3 + 2 + 12 + 8 + 6 + 24 + 2)
    maps = pd.read_parquet(out / "maps/topomaps.parquet")
    assert list(maps["units"]) == [64]
    types = pd.read_parquet(out / "probes/mistake_types.parquet")
    totals = types.groupby(["layer", "probe", "split"])["share"].sum()
    assert len(totals) == 2 * 4 * 2 and np.allclose(totals, 1)
    most = pd.read_parquet(out / "probes/frequent_mistakes.parquet")
    assert (most["true"] != most["predicted"]).all() and (most["images"] > 0).all()
    differences = pd.read_parquet(out / "probes/differences.parquet")
    assert set(differences["compared"]) == {"layers", "attributes"}
    assert (differences["p_holm"] >= differences["p_value"]).all()


@pytest.mark.slow
def test_run_killed_at_three_moments_continues_to_the_same_bytes(finished, tmp_path):
    out = tmp_path / "run"
    done: dict[Path, int] = {}
    measured = ["probes/untrained-network/maxpool.arrow", "variance/untrained-network/maxpool.arrow"]
    for moment in ("run.json", *measured):
        process = start(*SMALL, out=out)
        while not (out / moment).exists() and process.poll() is None:
            time.sleep(0.01)
        assert process.poll() is None, f"finished before {moment}"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        done |= {p: p.stat().st_mtime_ns for p in out.glob("*/*/[!.]*.arrow") if p not in done}
    process = start(*SMALL, out=out)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    for name in FILES:
        assert (out / name).read_bytes() == (finished[0] / name).read_bytes(), name
    assert done and all(path.stat().st_mtime_ns == t for path, t in done.items())  # nothing done twice


def fairface_copy(folder: Path, per_group: int = 3) -> Path:
    """Calibration faces in FairFace's layout, with three races, three ages and two genders of FairFace."""
    faces = calibration_faces(CalibrationConfig(per_group=per_group), 0)
    (folder / "train").mkdir(parents=True)
    words = (("White", "Black", "Indian", "East Asian"), ("0-2", "3-9", "10-19"), ("Female", "Male"))
    lines = ["file,age,gender,race,service_test"]
    for i in range(len(faces)):
        Image.fromarray(decode(faces.read_bytes(i))[::2, ::2]).save(folder / f"train/{i}.jpg")
        race, age, gender = (words[k][faces.labels[n][i]] for k, n in enumerate(("race", "age", "gender")))
        lines.append(f"train/{i}.jpg,{age},{gender},{race},True")
    (folder / "fairface_label_train.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def fairface(tmp_path_factory):
    return fairface_copy(tmp_path_factory.mktemp("fairface") / "data")


def sweep(data: Path, out: Path, *more: str) -> int:
    options = ["--layers", "maxpool", *FEW, "--out", str(out)]
    return main(["--data", "fairface", "--data-dir", str(data), *options, *more])


@pytest.mark.slow
def test_damaged_image_and_groups_without_images(fairface, tmp_path, capsys):
    path = fairface / "train/7.jpg"
    path.write_bytes(path.read_bytes()[:300])
    assert sweep(fairface, tmp_path / "run") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "row 9" in error and "train/7.jpg" in error and "--skip-unreadable" in error
    assert sweep(fairface, tmp_path / "run", "--skip-unreadable") == 0
    output = capsys.readouterr().out
    assert "note: 1 image cannot be decoded" in output and "perception of annotators" in output
    recalls = pd.read_parquet(tmp_path / "run/probes/recalls.parquet")
    recalls = recalls.query("probe == 'race x age x gender' and layer == 'maxpool'")
    assert len(recalls) == 126 and (recalls["images"] > 0).sum() == 24
    assert np.isnan(recalls["recall"][recalls["images"] == 0]).all()


BAD = {
    "unknown layer": (["--layers", "layer7"], "no layer 'layer7'"),
    "no memory": (["--layers", "maxpool", "--memory-gib", "1e-6"], "--memory-gib"),
}


@pytest.mark.parametrize("case", BAD)
def test_impossible_extractions_end_with_one_message(case, tmp_path, capsys):
    arguments, message = BAD[case]
    assert main(["--per-group", "1", "--instruments", "maps", *arguments, "--out", str(tmp_path / "run")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and message in last and "Way out" in last
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.slow
def test_own_images_from_a_csv_to_figures(tmp_path, capsys):
    """Images of many sizes with two invented attributes, odd names, and hostile labels, in one command."""
    rng = np.random.default_rng(0)
    lines = ["path;ignored,style,size".replace(";", ",")]
    for i in range(N):
        name = f"Größe {i} & co.png"
        pixels = rng.integers(0, 255, (40 + i % 50, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels // (1 + i % 2)).save(tmp_path / name)
        lines.append(f"{name},x,{('$a_{b}$', '<b>bold</b>', 'plain')[i % 3]},{('10', '9')[i % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = tmp_path / "run"
    # As many images, folds and strengths as in tests of probes, with which it shares programs.
    options = ["--layers", "maxpool", *FEW, "--probes.l2", "0.01,1,100", "--probes.folds", "4", "--out", str(out)]
    status = main(["--data", "table", "--table", str(tmp_path / "labels.csv"), "--image-column", "path",
                   "--attributes", "style,size", *options])  # fmt: skip
    assert status == 0, capsys.readouterr().err
    probes = pd.read_parquet(out / "probes/probes.parquet")
    assert set(probes["probe"]) == {"style", "size", "style x size"}
    facts = json.loads((out / "probes/facts.json").read_text())
    assert facts["categories"]["size"] == ["9", "10"]  # numbers by value
    assert (out / "maps/figures/topomap-maxpool-som.png").exists()
    assert pd.read_parquet(out / "probes/recalls.parquet")["group"].str.contains("<b>bold</b>", regex=False).any()
