"""Every command as a user types it, small: what it prints, what it leaves, how it ends on bad input."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bias_jax.data import CalibrationConfig, calibration_faces
from bias_jax.data.decoding import decode
from bias_jax.instruments import INSTRUMENTS
from experiments.disparity import main as disparity
from experiments.ieat import main as ieat
from experiments.sweep import main as sweep
from experiments.topomaps import main as topomaps

PROBES = ["--probes.l2", "1,10", "--probes.draws", "100", "--probes.folds", "3"]
RECIPE = ["--recipe.epochs", "2", "--recipe.l1", "1e-3", "--recipe.batch-size", "24"]
HEADS = ["epochs", "1", "seeds", "1", "folds", "3", "draws", "100", "examples", "2", "attention", "1", "occlusion", "2"]
ERASURE = ["--erasure.folds", "3", "--erasure.l2", "1,10", "--erasure.draws", "100", "--erasure.neighbours", "3",
           "--erasure.answers", "4", "--neighbours.at", "1,3", "--neighbours.permutations", "99",
           "--neighbours.draws", "100"]  # fmt: skip
RUN = ["--per-group", "2", "--layers", "maxpool"]


def options(prefix: str, pairs: list[str]) -> list[str]:
    return [f"--{prefix}{p.replace('_', '-')}" if i % 2 == 0 else p for i, p in enumerate(pairs)]


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory):
    """One test of faces of the first against the last palette; some are calibration faces of the run, to the pixel."""
    root = tmp_path_factory.mktemp("stimuli")
    faces = calibration_faces(CalibrationConfig(per_group=2), 0)
    for name, race in zip("xyab", (0, 3, 0, 3), strict=True):
        (root / "palettes" / name).mkdir(parents=True)
        rows = np.flatnonzero(faces.labels["race"] == race)
        for i in rows[:6] if name in "xy" else rows[6:]:
            Image.fromarray(decode(faces.read_bytes(int(i)))).save(root / f"palettes/{name}/{i}.png")
    return root


@pytest.mark.slow
def test_one_sweep_with_every_instrument(stimuli, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = [*RUN, *PROBES, *RECIPE, *options("heads.", HEADS), "--associations.stimuli", str(stimuli),
                 "--associations.draws", "1000", "--associations.bootstrap", "100", "--maps.permutations", "19",
                 "--variance.permutations", "99", "--predictions.permutations", "99", *ERASURE, "--zeroshot.layer",
                 "maxpool", "--zeroshot.k", "10", "--zeroshot.shuffles", "99", "--sensitivity.looked-at", "4",
                 "--sensitivity.images", "24", "--sensitivity.permutations", "99"]  # fmt: skip
    (tmp_path / "prompts.toml").write_text("[job]\nprompts = ['doctor', 'nurse']\n")
    np.savez(tmp_path / "texts.npz", **{job: np.random.default_rng(i).standard_normal(64)
                                        for i, job in enumerate(("doctor", "nurse"))})  # fmt: skip
    arguments += ["--zeroshot.prompts", str(tmp_path / "prompts.toml"), "--zeroshot.texts", str(tmp_path / "texts.npz")]
    assert sweep([*arguments, "--instruments", ",".join(INSTRUMENTS), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    # 48 faces, 24 of them stimuli as well: each distinct picture goes through the network once.
    assert "48 distinct images went through the network" in printed
    for name in INSTRUMENTS:
        assert list((out / name).glob("*.parquet")) and list((out / name).glob("figures/*.png")), name
    tables = [path.stem for path in out.glob("*/*.parquet")]
    assert len(tables) == len(set(tables))  # their names are those of `Audit.tables`
    table = pd.read_parquet(out / "associations/associations.parquet")
    assert set(table["source"]) == {"raw pixels", "mean colour", "untrained network"}
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert sweep([*arguments, "--instruments", ",".join(INSTRUMENTS), "--out", str(out)]) == 0
    assert all(path.stat().st_mtime_ns == t for path, t in before.items())  # nothing done twice


@pytest.mark.slow
def test_ieat_alone(stimuli, tmp_path, capsys):
    few = ["--draws", "1000", "--bootstrap", "100", "--layers", "maxpool"]
    assert ieat(["--stimuli", str(stimuli), *few, "--out", str(tmp_path / "folders")]) == 0
    assert "palettes" in capsys.readouterr().out
    race = calibration_faces(CalibrationConfig(per_group=1), 0).attributes[0].categories
    groups = ["--seed", "1", "--per-group", "2", "--x", race[0], "--y", race[3],
              "--a", str(stimuli / "palettes/a"), "--b", str(stimuli / "palettes/b")]  # fmt: skip
    assert ieat([*groups, *few, "--out", str(tmp_path / "groups")]) == 0
    table = pd.read_parquet(tmp_path / "groups/associations/associations.parquet")
    assert table["x"].unique().tolist() == [race[0]]


@pytest.mark.slow
def test_topomaps_alone(tmp_path, capsys):
    assert topomaps([*RUN, "--permutations", "19", "--seeds", "1", "--out", str(tmp_path)]) == 0
    assert "mean over layers" in capsys.readouterr().out
    assert (tmp_path / "maps/layouts.parquet").exists() and list((tmp_path / "maps/figures").iterdir())


@pytest.mark.slow
def test_disparity_alone_is_a_self_test(tmp_path, capsys):
    arguments = ["--layers", "maxpool", "--learning-rates", "0.1", "--weight-decays", "1e-4"]
    assert disparity([*arguments, *options("", HEADS), "--out", str(tmp_path)]) == 0
    assert "planted: 80 % of cool" in capsys.readouterr().out
    assert {"heads", "rates", "spreads", "losses"} <= {path.stem for path in (tmp_path / "heads").glob("*.parquet")}


BAD = {
    "unknown instrument": (sweep, ["--instruments", "probes,horoscope"], "unknown instrument 'horoscope'"),
    "associations without stimuli": (sweep, ["--instruments", "associations"], "stimuli"),
    "ieat of nothing": (ieat, [], "stimuli"),
    "ieat of images per group": (ieat, ["--data", "fairface", "--data-dir", ".", "--per-group", "2"], "pass --per-set"),
    "ieat of an unknown group": (
        ieat, ["--x", "Martian", "--y", "Venusian", "--a", ".", "--b", "."], "is no category"),
    "unknown layout": (topomaps, ["--layouts", "swarm"], "layouts must be of"),
    "unknown loss": (disparity, ["--losses", "hope"], "losses must be of"),
    "weights of other networks": (sweep, ["--models", "vgg16,resnet50", "--weights", "a,b,c"], "once per model"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_status_2_and_one_message(case, tmp_path, capsys):
    main, arguments, message = BAD[case]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and message in last and "Way out" in last
    assert not (tmp_path / "run/run.json").exists()
