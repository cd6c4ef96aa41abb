import numpy as np
import pytest

from experiments.benchmarks.report import Column, Report, Spread, Table, print_lines

COLUMNS = (Column("what"), Column("rate", "1/s", ",.1f", 20), Column("faster", form=".2f"), Column("reached"))


def lines():
    yield "a note"
    yield Table("Rates", COLUMNS)
    yield "a|b", Spread(np.float32(1234.5), 1, 2), np.float64(2.0), np.bool_(True)
    yield "c", 3, None, False


def test_lines_are_printed_in_columns_and_kept_as_numbers(capsys):
    report = print_lines(lines())
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "a note",
        "",
        "Rates",
        "what             rate, 1/s  faster  reached",
        "a|b     1,234.5 [1.0, 2.0]    2.00  yes",
        "c                      3.0          no",
    ]
    assert report.notes == ["a note"]
    content = report.tables[0].as_json()
    assert content["units"] == {"what": "", "rate": "1/s", "faster": "", "reached": ""}
    spread = {"value": 1234.5, "low": 1.0, "high": 2.0}
    assert content["rows"] == [
        {"what": "a|b", "rate": spread, "faster": 2.0, "reached": True},
        {"what": "c", "rate": 3, "faster": None, "reached": False},
    ]
    assert report.tables[0].as_markdown().splitlines() == [
        "Rates",
        "",
        "| what | rate, 1/s | faster | reached |",
        "| --- | --: | --: | --- |",
        "| a\\|b | 1,234.5 [1.0, 2.0] | 2.00 | yes |",
        "| c | 3.0 |  | no |",
    ]


@pytest.mark.parametrize("row", [("a", 1.0, 2.0), ("a", float("nan"), 2.0, True), ("a", Spread(1, 2, np.inf), 2, True)])
def test_rows_that_say_nothing_are_refused(row):
    report = Report()
    report.add(Table("Rates", COLUMNS))
    with pytest.raises(ValueError):
        report.add(row)
    assert not report.tables[0].rows
