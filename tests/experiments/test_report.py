"""The command that writes reports, and what commands print at their end."""

import re

import pytest

from bias_jax.audit import RunConfig, audit
from experiments.audits import tell, tell_report
from experiments.report import main
from tests.audit.toys import Recorder, ToySubject, faces, pictures
from tests.report.runs import write_run


@pytest.fixture
def found(tmp_path):
    return audit(ToySubject(), [Recorder()], faces=faces(pictures(6)), config=RunConfig(), out=tmp_path / "run")


def test_one_run_and_several(tmp_path, capsys):
    one, two = write_run(tmp_path / "one"), write_run(tmp_path / "two, with a comma", weights="trained")
    assert main([str(one)]) == 0
    assert capsys.readouterr().out == f"report: {one}/report.html\n" and (one / "report.html").exists()
    assert main([str(one), str(two), "--out", str(tmp_path / "both.html"), "--with-images"]) == 0
    assert "2 runs side by side" in (tmp_path / "both.html").read_text()


BAD = {"none": [], "no run": ["nowhere"]}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_status_2_and_one_message(case, capsys):
    assert main(BAD[case]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "Way out" in line


def test_a_run_ends_in_findings_and_the_path_of_the_report(found, capsys):
    tell(found)
    assert tell_report(found) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("wall time: ") and lines[-1] == f"report: {found.path}/report.html"
    assert lines[-3:-1] == ["recorder: 3 layers", ""]


def test_a_report_that_fails_is_named_and_loses_nothing(found, capsys, monkeypatch):
    monkeypatch.setattr("bias_jax.report.page.read_run", lambda path: 1 / 0)
    assert tell_report(found) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: the report failed: ZeroDivisionError: .*Everything else is complete\n", error)
    assert (found.path / "recorder/recorder.parquet").exists()
