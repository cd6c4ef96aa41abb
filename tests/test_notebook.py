"""The notebook of the documentation runs, cell by cell, as a notebook runs it."""

import ast
import json
from pathlib import Path

import matplotlib as mpl
import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tour.ipynb"


def code_cells() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return ["\n".join(line for line in source.splitlines() if not line.startswith("%")) for source in sources]


def shown(source: str, names: dict) -> object:
    """Run a cell; the value of its last line, which a notebook shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


@pytest.mark.slow
def test_every_cell_runs_and_shows_something(capsys):
    mpl.use("agg")
    names: dict = {"__name__": "__main__"}
    for source in code_cells():
        value, printed = shown(source, names), capsys.readouterr().out
        drawn = "plt.subplots" in source
        assert value is not None or printed or drawn, source
    assert "race" in names["found"].findings and not names["found"].failures
    before, after = names["apart"]
    assert after < 1e-3 * before
