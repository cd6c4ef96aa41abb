import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bias_jax.errors import InputError
from bias_jax.results import RunDirectory, exclusive

IDENTITY = {"seed": 1, "l2": (0.1, 1.0)}


def test_files_appear_whole_or_not_at_all(tmp_path):
    run = RunDirectory(tmp_path / "run", IDENTITY, {})
    run.save_arrays("layers/a.arrow", {"x": np.arange(5)})
    assert run.has("layers/a.arrow") and (run.load_arrays("layers/a.arrow")["x"] == np.arange(5)).all()

    class Broken(Figure):
        def savefig(self, path, **_):
            path.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        run.save_figure("figures/broken.png", Broken())
    assert not run.has("figures/broken.png")
    run.save_figure("figures/whole.png", Figure())
    assert run.has("figures/whole.png")


def test_tables_open_in_pandas_and_are_reproducible(tmp_path):
    run = RunDirectory(tmp_path / "run", IDENTITY, {})
    rows = [{"layer": "a", "value": 0.5, "images": 3}, {"layer": "b", "value": float("nan"), "images": 4}]
    run.save_table("t.parquet", rows)
    first = (run.path / "t.parquet").read_bytes()
    run.save_table("t.parquet", rows)
    assert first == (run.path / "t.parquet").read_bytes()
    frame = pd.read_parquet(run.path / "t.parquet")
    assert list(frame.columns) == list(rows[0]) and frame["images"].sum() == 7
    assert run.load_table("t.parquet").to_pylist()[0] == rows[0]


def test_another_identity_is_refused_with_the_difference(tmp_path):
    RunDirectory(tmp_path / "run", IDENTITY, {"data_dir": "x"})
    RunDirectory(tmp_path / "run", IDENTITY, {"data_dir": "moved"})
    with pytest.raises(InputError, match=r"holds another run \(seed was 1, is 2\).*another --out"):
        RunDirectory(tmp_path / "run", {**IDENTITY, "seed": 2}, {})
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["identity"]["seed"] == 1 and record["data_dir"] == "moved"


def test_what_is_unknown_is_not_compared_and_what_is_known_is_kept(tmp_path):
    RunDirectory(tmp_path / "run", {**IDENTITY, "data": None}, {})
    RunDirectory(tmp_path / "run", {**IDENTITY, "data": "faces"}, {})
    RunDirectory(tmp_path / "run", {**IDENTITY, "data": None}, {})
    with pytest.raises(InputError, match="data was faces, is others"):
        RunDirectory(tmp_path / "run", {**IDENTITY, "data": "others"}, {})


def test_an_instrument_with_another_identity_starts_anew(tmp_path):
    run = RunDirectory(tmp_path / "run", IDENTITY, {})
    first, other = run.instrument("a", {"draws": 1}), run.instrument("b", {"draws": 1})
    first.save_arrays("x.arrow", {"x": np.arange(3)})
    other.save_arrays("x.arrow", {"x": np.arange(3)})
    assert run.instrument("a", {"draws": 1}).has("x.arrow")
    assert not run.instrument("a", {"draws": 2}).has("x.arrow") and other.has("x.arrow")
    (run.path / "a/instrument.json").write_text("{")  # damaged: nothing there can be trusted
    first.save_arrays("x.arrow", {"x": np.arange(3)})
    assert not run.instrument("a", {"draws": 2}).has("x.arrow")


def test_foreign_and_damaged_directories_are_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    with pytest.raises(InputError, match="not a run directory"):
        RunDirectory(tmp_path / "mine", IDENTITY, {})
    run = RunDirectory(tmp_path / "run", IDENTITY, {})
    for name in ("a.arrow", "a.parquet", "a.json"):
        (run.path / name).write_bytes(b"PK half")
    with pytest.raises(InputError, match=r"a.arrow: damaged result.*command that made it again"):
        run.load_arrays("a.arrow")
    with pytest.raises(InputError, match=r"a.parquet: damaged result.*command that made it again"):
        run.load_table("a.parquet")
    with pytest.raises(InputError, match=r"a.json: damaged result.*command that made it again"):
        run.load_json("a.json")
    (run.path / "run.json").write_text("{")
    with pytest.raises(InputError, match="damaged manifest"):
        RunDirectory(run.path, IDENTITY, {})
    with pytest.raises(InputError, match="damaged manifest"):
        RunDirectory.existing(run.path)


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
