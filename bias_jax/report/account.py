"""What an instrument says of itself to a reader who has not seen it: words, and the tables that say most.

The report knows no instrument by name. Each one gives an `Account`, the same for every run, and `Excerpt`s of its
tables; both are kept in the run directory as JSON, so that a report needs neither the instrument nor its options.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from bias_jax.errors import quoted

Form = Literal["text", "count", "percent", "points", "number", "p"]
Estimate = tuple[float, float, float]  # value, and the ends of its 95 % interval
Cell = str | int | float | Estimate | None  # None, or a value that is no number: there is nothing


class Column(NamedTuple):
    """One column of an excerpt."""

    name: str
    form: Form = "text"  # percent and points are given as shares; points are differences, with their sign


@dataclass(frozen=True)
class Excerpt:
    """Rows of a table that a reader should see, the most telling first."""

    name: str  # of files that hold it
    title: str  # what it shows, one line
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""  # how it was chosen, and how to read it
    keys: int = 1  # leading columns, which name a row
    of: int = 0  # number of rows there are; 0: all are shown
    table: str = ""  # the table it was taken from
    compared: tuple[str, ...] = ()  # columns that stand side by side where several runs are reported
    curves: bool = False  # rows are layers in depth order, and compared columns are curves over them
    reference: Mapping[str, float] = field(default_factory=dict)  # column -> what guessing attains

    def as_json(self) -> dict[str, Any]:
        """For `excerpt_of`; what is no number becomes None."""
        rows = [[_plain(cell) for cell in row] for row in self.rows]
        return {**asdict(self), "columns": [list(column) for column in self.columns], "rows": rows}


@dataclass(frozen=True)
class Account:
    """Words about an instrument, each entry a sentence for a reader who has seen nothing else."""

    title: str  # heading of its section
    question: str  # what it asks
    reads: tuple[str, ...] = ()  # how its numbers are to be read
    limits: tuple[str, ...] = ()  # what they do not mean
    figures: Mapping[str, str] = field(default_factory=dict)  # beginning of a figure's name -> what it shows
    tables: Mapping[str, str] = field(default_factory=dict)  # table -> what a row is
    pictured: tuple[str, ...] = ()  # beginnings of the names of figures that show pictures of people
    place: int = 50  # of its section among others

    def caption(self, figure: str) -> str:
        """What a figure shows."""
        fitting = [begin for begin in self.figures if figure.startswith(begin)]
        return self.figures[max(fitting, key=len)] if fitting else figure.replace("_", " ").replace("-", " ")

    def shows_people(self, figure: str) -> bool:
        """Whether pictures of people are in a figure."""
        return figure.startswith(self.pictured) if self.pictured else False


SHAPE = {  # of what `told` gives, see `results.shapes`
    "account": {"title": str, "question": str, "reads": [str], "limits": [str], "figures": {str: str},
                "tables": {str: str}, "pictured": [str], "place": int},
    "notes": [str], "findings": [str], "figures": [str],
    "excerpts": [{"name": str, "title": str, "columns": [[str, str]], "rows": [None], "note": str, "keys": int,
                  "of": int, "table": str, "compared": [str], "curves": bool, "reference": {str: None}}],
}  # fmt: skip


class Told(NamedTuple):
    """Everything an instrument told of a run."""

    account: Account
    notes: tuple[str, ...]  # about its images
    findings: tuple[str, ...]  # sentences
    excerpts: tuple[Excerpt, ...]
    figures: tuple[str, ...]  # names, in order


def told_as_json(told: Told) -> dict[str, Any]:
    """For `told_of`."""
    excerpts = [excerpt.as_json() for excerpt in told.excerpts]
    return {**told._asdict(), "account": asdict(told.account), "excerpts": excerpts}


def told_of(content: Mapping[str, Any]) -> Told:
    """What `told_as_json` gave, once it went through a file.

    Args:
        content: of the shape `SHAPE`.

    Raises:
        ValueError, TypeError: it is not what was written.
    """
    account = content["account"]
    if odd := [name for name in content["figures"] if "/" in name]:
        raise ValueError(f"{odd[0]!r} is no name of a figure")
    lists = {name: tuple(account[name]) for name in ("reads", "limits", "pictured")}
    excerpts = tuple(_excerpt(one) for one in content["excerpts"])
    notes, findings, figures = (tuple(content[name]) for name in ("notes", "findings", "figures"))
    return Told(Account(**{**account, **lists}), notes, findings, excerpts, figures)


def _excerpt(content: Mapping[str, Any]) -> Excerpt:
    columns = tuple(Column(*column) for column in content["columns"])
    rows = tuple(tuple(_cell(cell) for cell in row) for row in content["rows"])
    names, keys = [column.name for column in columns], content["keys"]
    if not columns or any(len(row) != len(columns) for row in rows) or not 0 <= keys <= len(columns):
        raise ValueError("rows and columns do not fit")
    if odd := [column.form for column in columns if column.form not in get_args(Form)]:
        raise ValueError(f"{quoted(odd[0])} is no form of a number")
    if odd := [name for name in content["compared"] if name not in names]:
        raise ValueError(f"there is no column {quoted(odd[0])}")
    reference = {name: _number(value) for name, value in content["reference"].items()}
    changed = {"columns": columns, "rows": rows, "compared": tuple(content["compared"]), "reference": reference}
    return Excerpt(**{**content, **changed})


def _cell(cell: Any) -> Cell:
    if isinstance(cell, list):
        value, low, high = (math.nan if part is None else float(_number(part)) for part in cell)
        return value, low, high
    return cell if cell is None or isinstance(cell, str) else _number(cell)


def _number(value: Any) -> int | float:
    """A number that can be shown."""
    if not isinstance(value, int | float):
        raise TypeError(f"{quoted(repr(value))} is no number")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("a number is too large")
    return value


def _plain(cell: Cell) -> Any:
    if isinstance(cell, tuple):
        return [_plain(part) for part in cell]
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
