import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from bias_jax.errors import InputError
from bias_jax.results import RunDirectory, exclusive

IDENTITY = {"seed": 1, "l2": (0.1, 1.0)}


def test_files_appear_whole_or_not_at_all(tmp_path):
    run = RunDirectory(tmp_path / "run", IDENTITY, {})
    run.save_arrays("layers/a.npz", {"x": np.arange(5)})
    assert run.has("layers/a.npz") and (run.load_arrays("layers/a.npz")["x"] == np.arange(5)).all()
    with pytest.raises(RuntimeError), run.figure("figures/broken.png") as path:
        path.write_text("half")
        raise RuntimeError
    assert not run.has("figures/broken.png")


def test_tables_open_in_pandas_and_are_reproducible(tmp_path):
    run = RunDirectory(tmp_path / "run", IDENTITY, {})
    columns = {"layer": ["a", "b"], "value": [0.5, float("nan")], "images": [3, 4]}
    run.save_table("t.parquet", columns)
    first = (run.path / "t.parquet").read_bytes()
    run.save_table("t.parquet", columns)
    assert first == (run.path / "t.parquet").read_bytes()
    frame = pd.read_parquet(run.path / "t.parquet")
    assert list(frame.columns) == list(columns) and frame["images"].sum() == 7


def test_another_identity_is_refused_with_the_difference(tmp_path):
    RunDirectory(tmp_path / "run", IDENTITY, {"data_dir": "x"})
    RunDirectory(tmp_path / "run", IDENTITY, {"data_dir": "moved"})
    with pytest.raises(InputError, match=r"holds another run \(seed was 1, is 2\).*another --out"):
        RunDirectory(tmp_path / "run", {**IDENTITY, "seed": 2}, {})
    assert json.loads((tmp_path / "run/run.json").read_text())["identity"]["seed"] == 1


def test_foreign_and_damaged_directories_are_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    with pytest.raises(InputError, match="not a run directory"):
        RunDirectory(tmp_path / "mine", IDENTITY, {})
    run = RunDirectory(tmp_path / "run", IDENTITY, {})
    (run.path / "a.npz").write_bytes(b"PK half")
    with pytest.raises(InputError, match=r"a.npz: damaged result.*delete this file"):
        run.load_arrays("a.npz")
    (run.path / "run.json").write_text("{")
    with pytest.raises(InputError, match="damaged manifest"):
        RunDirectory(run.path, IDENTITY, {})


def test_two_processes_cannot_share_a_directory(tmp_path):
    code = "import sys; from bias_jax.results import exclusive\nwith exclusive(sys.argv[1]): print('in')"
    with exclusive(tmp_path / "run"):
        second = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True)
    assert second.returncode != 0 and "another process" in second.stderr
    third = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True)
    assert third.stdout == "in\n"


def test_unwritable_place(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"), exclusive(tmp_path / "file" / "run"):
        pass
