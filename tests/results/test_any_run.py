"""Run directories whose files are damaged, edited, exchanged or gone; `python -m tests.fuzz` draws from the same."""

import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from bias_jax.audit import open_stored
from bias_jax.audit.stored import read_tables
from bias_jax.errors import InputError
from bias_jax.report.page import write_report
from bias_jax.results import DamagedError, Folder, RunDirectory
from experiments.compare import main
from tests.experiments.test_compare import finished_run
from tests.fuzz import runs
from tests.fuzz.runs import begin, finished, lay

FEW = settings(max_examples=25, deadline=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
DEEP = "[" * 100_000

test_any_run = FEW(given(**runs.RUNS)(runs.any_run))
test_any_run_of_probes = FEW(given(**runs.RUNS)(runs.any_run_of_probes))


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("run.json", DEEP, "damaged manifest"),
        ("run.json", '{"identity": []}', r"damaged manifest \(identity is \[\]\)"),
        (
            "run.json",
            '{"identity": {"data_sha256": "data"}, "weights": "", "seed": 0, "model": 1}',
            r"run\.json: damaged result \(model is 1\)",
        ),
        ("probes/instrument.json", '{"identity": {"options": null}}', "identity.options is None"),
        ("probes/layers.json", "null", "it is None"),
        ("probes/layers.json", '{"network": [[null, [1, 1, 2]]]}', "network.0.0 is None"),
        ("probes/layers.json", '{"..": [["late", [1, 1, 2]]]}', "it names no source"),
        ("probes/about.json", "{}", "model is missing"),
        ("probes/facts.json", DEEP, "recursion"),
        ("probes/facts.json", "{}", "categories is missing"),
        ("probes/facts.json", {"groups": "age"}, "targets are not made of its attributes"),
        ("probes/facts.json", {"targets": {"gender": ["age"]}}, "targets are not made of its attributes"),
        ("probes/facts.json", {"categories": {"gender": ["Female"]}}, "targets or images are not those of the run"),
        ("probes/task.arrow", "probes/network/late.arrow", "has no labels of gender"),
        ("probes/network/late.arrow", "probes/task.arrow", "written by another version"),
    ],
)
def test_what_is_wrong_with_a_run_is_told_in_one_line(file, content, words, tmp_path, capsys):
    first, run = finished_run(tmp_path / "first", 0.9), finished_run(tmp_path / "run", 0.6)
    path = tmp_path / "run" / file
    if isinstance(content, dict):
        content = json.dumps(json.loads(path.read_text()) | content)
    other = tmp_path / "run" / content[:80]
    path.write_bytes(other.read_bytes() if content.endswith(".arrow") else content.encode())
    assert main(["--first", run, "--second", first if "categor" not in content else run, "--draws", "100",
                 "--out", str(tmp_path / "out")]) == 2  # fmt: skip
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(tmp_path / "run") in said and "Way out: " in said
    with pytest.raises(InputError, match=words):
        raise InputError(said)


@pytest.mark.parametrize("digests", [{"recorder": ""}, {"../recorder": "0" * 64}, {"recorder": None}, [], None])
def test_tables_are_those_with_a_digest_and_no_others(digests, tmp_path):
    """A table whose digest is gone would not be compared with anything."""
    lay(tmp_path / "run", finished("toys"), [])
    whole = (tmp_path / "run/recorder/tables.json").read_bytes()
    (tmp_path / "run/recorder/tables.json").write_text(json.dumps(digests))
    with pytest.raises(DamagedError, match=r"tables\.json: damaged result"):
        read_tables(Folder(tmp_path / "run/recorder"))
    begin(tmp_path / "run")
    assert (tmp_path / "run/recorder/tables.json").read_bytes() == whole


def test_tables_that_are_named_no_more_are_made_again(tmp_path):
    lay(tmp_path / "run", finished("toys"), [])
    (tmp_path / "run/recorder/tables.json").write_text("{}")
    assert not begin(tmp_path / "run").failures
    assert (tmp_path / "run/recorder/tables.json").read_bytes() == finished("toys")["recorder/tables.json"]


@pytest.mark.parametrize("batches", [[4], {"a": "4"}, {"a": None}, 4])
def test_batches_that_are_none(batches, tmp_path):
    lay(tmp_path / "run", finished("toys"), [])
    found = json.loads((tmp_path / "run/run.json").read_text())
    (tmp_path / "run/run.json").write_text(json.dumps({**found, "batches": batches}))
    with pytest.raises(InputError, match=r"run.json: damaged manifest \(batches"):
        begin(tmp_path / "run")


def test_a_report_needs_to_know_the_version(tmp_path):
    lay(tmp_path / "run", finished("toys"), [])
    path = tmp_path / "run/run.json"
    found = json.loads(path.read_text())
    found["identity"]["versions"].pop("bias_jax")
    path.write_text(json.dumps(found))
    with pytest.raises(InputError, match=r"run.json: damaged manifest \(identity.versions.bias_jax is missing\)"):
        write_report([tmp_path / "run"])


def test_an_instrument_whose_identity_is_nested_without_end_starts_anew(tmp_path):
    run = RunDirectory(tmp_path, {}, {})
    folder = run.instrument("a", {})
    folder.save_json("layers.json", {})
    (tmp_path / "a/instrument.json").write_text(DEEP)
    assert not run.instrument("a", {}).has("layers.json")


def test_layers_of_a_source_lie_in_its_folder(tmp_path):
    lay(tmp_path / "run", finished("toys"), [])
    path = tmp_path / "run/recorder/layers.json"
    path.write_text(path.read_text().replace("network", "../../run/recorder/network"))
    with pytest.raises(DamagedError):
        open_stored(tmp_path / "run/recorder").load("late")


@pytest.mark.parametrize("name", ["recorder", "other"])
def test_what_was_renamed_in_an_identity_is_mended(name, tmp_path):
    lay(tmp_path / "run", finished("toys"), [])
    path = tmp_path / "run" / name / "instrument.json"
    whole = path.read_bytes()
    about = json.loads(whole)
    path.write_text(json.dumps({"identity": about["identity"], "None": about.get("looks", {})}))
    begin(tmp_path / "run")
    assert path.read_bytes() == whole
