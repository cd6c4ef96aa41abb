"""One command runs every benchmark: what it leaves, and what it survives."""

import json
import sys
import time
from dataclasses import dataclass

import pytest

from bias_jax.errors import InputError
from experiments.benchmark import main
from experiments.benchmarks.everything import AllBenchmarks, run_all
from experiments.benchmarks.registry import BENCHMARKS, Benchmark
from experiments.benchmarks.report import Column, Table
from experiments.benchmarks.settings import SIZES


@dataclass(frozen=True)
class Toy:
    """Options of a benchmark that measures nothing."""

    number: int = 1
    peers: tuple[str, ...] = ("sklearn", "minisom")


def counts(config):
    yield "counting"
    yield Table("Counts", (Column("peers"), Column("number", "apples", "d")))
    yield ",".join(config.peers), config.number


def breaks(config):
    yield from counts(config)
    raise ZeroDivisionError("nothing left")


def is_killed(config):
    yield from counts(config)
    raise KeyboardInterrupt


def lasts(config):
    time.sleep(0.05)
    yield from counts(config)


def run_toys(out, *programs, **options):
    toys = {f"{k}: {program.__name__}": Benchmark(Toy, program, sys.modules[__name__]) for k, program in
            enumerate(programs)}  # fmt: skip
    settings = {name: Toy(number) for number, name in enumerate(toys)}
    return run_all(AllBenchmarks(out=str(out), **options), settings, toys)


def written(out):
    content = json.loads((out / "benchmarks.json").read_text())
    return content, content["benchmarks"], (out / "benchmarks.md").read_text()


@pytest.fixture
def peers(monkeypatch):
    """One peer is there and the other is not."""
    pytest.importorskip("sklearn")
    monkeypatch.setitem(sys.modules, "minisom", None)


def test_numbers_tables_and_absent_peers_are_written(peers, tmp_path, capsys):
    out = tmp_path / "a folder"
    assert run_toys(out, counts, counts) == 0
    content, entries, text = written(out)
    assert content["command"] == f"python -m experiments.benchmark all --out '{out}'"
    assert content["device"] and content["versions"]["jax"] and content["date"].endswith(" UTC")
    assert [entry["state"] for entry in entries.values()] == ["done", "done"]
    entry = entries["1: counts"]
    assert entry["left_out"] == {"minisom": "minisom"} and entry["options"] == {"number": 1, "peers": ["sklearn"]}
    (table,) = entry["tables"]
    assert table["units"]["number"] == "apples" and table["rows"] == [{"peers": "sklearn", "number": 1}]
    assert 0 <= entry["seconds"] < 60 and entry["notes"] == ["counting"]
    assert content["command"] in text and content["device"] in text and content["date"] in text
    assert "\n| sklearn | 1 |\n" in text and "- minisom was left out: minisom is not installed" in text
    assert "minisom is left out: minisom is not installed" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"benchmarks.json", "benchmarks.md"}


def test_one_that_fails_is_named_and_does_not_take_the_others_with_it(tmp_path, capsys):
    assert run_toys(tmp_path, breaks, counts) == 1
    _, entries, text = written(tmp_path)
    failed = entries["0: breaks"]
    assert failed["state"] == "failed" and failed["reason"] == "ZeroDivisionError: nothing left"
    assert len(failed["tables"][0]["rows"]) == 1 and entries["1: counts"]["state"] == "done"
    assert "ZeroDivisionError: nothing left" in text
    assert "error: 0: breaks failed: ZeroDivisionError: nothing left" in capsys.readouterr().err


def test_what_does_not_fit_the_budget_is_named_as_skipped(tmp_path):
    assert run_toys(tmp_path, lasts, counts, counts, minutes=0.04 / 60) == 0
    _, entries, text = written(tmp_path)
    assert [entry["state"] for entry in entries.values()] == ["done", "skipped", "skipped"]
    assert "minutes were over" in entries["2: counts"]["reason"] and "## 2: counts\n\nskipped: " in text


def test_a_run_that_is_killed_loses_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_toys(tmp_path, counts, is_killed, counts)
    _, entries, text = written(tmp_path)
    assert [entry["state"] for entry in entries.values()] == ["done", "running", "waiting"]
    assert entries["1: is_killed"]["tables"][0]["rows"][0]["number"] == 1 and "## 2: counts\n\nwaiting" in text


@pytest.mark.parametrize("size", SIZES)
def test_every_benchmark_has_its_settings(size):
    assert set(SIZES[size]) == set(BENCHMARKS)
    assert all(type(options) is BENCHMARKS[name].config for name, options in SIZES[size].items())


def test_bad_input_is_refused_before_anything_is_measured(tmp_path, capsys):
    for option in (["--minutes", "-1"], ["--minutes", "nan"], ["--data-dir", str(tmp_path / "nowhere")]):
        assert main(["all", "--out", str(tmp_path / "out"), *option]) == 2
        assert "Way out" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["all", "--out", str(tmp_path / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().err and not (tmp_path / "out").exists()
    with pytest.raises(InputError):
        AllBenchmarks(out="")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The number of unique classes")  # one image a group
@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_tiny_run_of_every_benchmark(name, tmp_path):
    settings = {name: SIZES["tiny"][name]}
    assert run_all(AllBenchmarks(out=str(tmp_path), size="tiny"), settings) == 0
    _, entries, _ = written(tmp_path)
    assert entries[name]["state"] == "done" and all(table["rows"] for table in entries[name]["tables"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recipe", "heads", "topomaps"])
def test_without_any_peer_this_package_is_measured_alone(name, tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.benchmarks.peers.find_spec", lambda module: None)
    assert run_all(AllBenchmarks(out=str(tmp_path), size="tiny"), {name: SIZES["tiny"][name]}) == 0
    _, entries, text = written(tmp_path)
    assert entries[name]["left_out"] and entries[name]["tables"][0]["rows"] and "was left out" in text
    assert not any(word in text.split("\n## ")[1] for word in ("PyTorch", "MiniSom, ", "| torch"))
