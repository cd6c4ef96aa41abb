"""What a benchmark yields: lines of text, tables and their rows; printed as they come, and kept as numbers.

A benchmark is a generator. A `str` it yields is a note, a `Table` begins a table, a tuple is the next row of it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Spread(NamedTuple):
    """A number over rounds, and the range of the rounds."""

    value: float
    low: float
    high: float


Cell = str | bool | int | float | Spread | None  # None: nothing to say
Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    unit: str = ""  # of its numbers; empty for counts, shares and ratios
    form: str = ""  # how its numbers are printed, as `format` takes it; empty for text
    width: int = 0  # characters it is printed with, at least

    @property
    def heading(self) -> str:
        """Name and unit."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    def show(self, cell: Cell) -> str:
        """A cell as text."""
        if cell is None:
            return ""
        if isinstance(cell, Spread):
            value, low, high = (format(number, self.form) for number in cell)
            return f"{value} [{low}, {high}]"
        if isinstance(cell, bool):
            return "yes" if cell else "no"
        return cell if isinstance(cell, str) else format(cell, self.form)

    def padded(self, text: str) -> str:
        """Text in the width of the column: text on the left, numbers on the right."""
        width = max(self.width, len(self.heading))
        return text.rjust(width) if self.form else text.ljust(width)


@dataclass
class Table:
    """Rows of numbers under headings."""

    title: str
    columns: tuple[Column, ...]
    rows: list[Row] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Title, units of the columns, and rows as mappings from the columns' names."""
        names = [column.name for column in self.columns]
        rows = [
            {n: c._asdict() if isinstance(c, Spread) else c for n, c in zip(names, row, strict=True)}
            for row in self.rows
        ]
        return {"title": self.title, "units": {c.name: c.unit for c in self.columns}, "rows": rows}

    def as_markdown(self) -> str:
        """Title and table."""
        lines = [[column.heading for column in self.columns], ["--:" if c.form else "---" for c in self.columns]]
        lines += [[c.show(cell) for c, cell in zip(self.columns, row, strict=True)] for row in self.rows]
        return "\n".join([f"{self.title}\n", *("| " + " | ".join(map(_escaped, line)) + " |" for line in lines)])


@dataclass
class Report:
    """All that a benchmark has yielded so far."""

    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def add(self, line: "Line") -> str:
        """Keep a line; returns it as it is printed.

        Raises:
            ValueError: a row has more or fewer cells than the table columns, or a number is not finite.
        """
        if isinstance(line, str):
            self.notes.append(line)
            return line
        if isinstance(line, Table):
            self.tables.append(line)
            headings = "  ".join(column.padded(column.heading) for column in line.columns)
            return f"\n{line.title}\n{headings.rstrip()}"
        row, columns = tuple(map(_plain, line)), self.tables[-1].columns
        text = "  ".join(c.padded(c.show(cell)) for c, cell in zip(columns, row, strict=True)).rstrip()
        self.tables[-1].rows.append(row)
        return text


Line = str | Table | Row


def print_lines(lines: Iterable[Line]) -> Report:
    """Print what a benchmark yields as it comes, and keep it."""
    report = Report()
    for line in lines:
        print(report.add(line), flush=True)
    return report


def _plain(cell: Any) -> Cell:
    """NumPy's numbers as Python's."""
    if isinstance(cell, Spread):
        return Spread(*(float(_plain(number)) for number in cell))  # type: ignore[arg-type]
    cell = cell.item() if hasattr(cell, "item") else cell
    if isinstance(cell, float) and not math.isfinite(cell):
        raise ValueError(f"a benchmark measured {cell}")
    return cell


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
