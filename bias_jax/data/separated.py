"""Separated text as people have it: from the bytes of a table to records, each with its row in the file.

Python's `csv` reads it, no faster library: it tells the line of every record, so that a message can name the row, and
takes nothing for a number. What it leaves open is found out here: separator, header, quotes that swallow rows.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from bias_jax.data.labels import header_name, trimmed
from bias_jax.data.quotes import holds_rows, misplaced, stray
from bias_jax.data.text_files import Table, read_text
from bias_jax.errors import InputError, quoted

SEPARATORS = (",", ";", "\t", "|")
HEAD = 50  # lines among which a header is looked for


def header_of(table: Table) -> list[str]:
    """Fields of the first row that is not empty; none if there is no such row.

    Raises:
        InputError: no such file, or none that can be read.
    """
    opened = _Records(table, [])
    for row, _, record in opened:
        header = [header_name(name) for name in record]
        if any("\0" in name for name in header):
            raise opened.null_bytes(header, row)
        return header
    return []


def table_rows(
    table: Table, needed: Sequence[str], names: Sequence[str] | None = None
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The needed fields of every row that is not empty, as they stand in the file, and its row.

    A row is called by the line of the file in which it begins. The separator is the one of ``, ; tab |`` with which the
    header holds the needed columns, or that of a line ``sep=;`` above it.

    Args:
        table: the file.
        needed: columns that must be there; fields come in this order.
        names: of the columns of a file without header.

    Raises:
        InputError: no such file, no text, a column missing or there twice, a quote amiss, too few or too many fields.
    """
    opened = _Records(table, needed, names)
    records = iter(opened)
    row, _, header = (1, 1, list(names)) if names is not None else next(records, (table.skip_lines + 1, 0, []))
    header = [header_name(name) for name in header]
    places = [opened.place(header, header_name(column), row) for column in needed]
    least = max((i + 1 for i, name in enumerate(header) if name), default=0)  # columns without a name may be left away
    most = len(header)
    for row, end, record in records:
        if len(record) < least or (len(record) > most and any(map(trimmed, record[most:]))):
            problem = f"expected {most} fields, found {len(record)}"
            if len(record) > most:
                problem += f"; too many: {', '.join(map(quoted, record[most:][:3]))}"
            remedy = "mend or delete the row; a field that holds a separator stands in quotes"
            raise InputError(problem, file=table.name, row=row, remedy=remedy)
        fields = tuple([record[place] for place in places])
        if end > row or '"' in "".join(fields):
            opened.check_quotes(record, places, row, end)
        yield row, fields


class _Records:
    """One pass over a table: the lines in which a record begins and ends, and its fields, of all that are not empty."""

    def __init__(self, table: Table, needed: Sequence[str], names: Sequence[str] | None = None):
        self._table, self._needed = table, [header_name(column) for column in needed]
        self._raw: list[str] = []  # lines of the latest record
        self._text = read_text(table)
        self._above = table.skip_lines
        self._head = list(islice(self._text.lines(), self._above, self._above + HEAD))
        told = re.fullmatch(r'"?sep=(.)"?[ ,;|\t]*[\r\n]*', self._head[0], re.IGNORECASE) if self._head else None
        if told:
            self._above += 1
            del self._head[0]
            if told[1] not in SEPARATORS:
                problem = f"separates fields by {told[1]!r}"
                raise InputError(problem, file=table.name, row=self._above, remedy="separate them by , ; tab or |")
        self._separator = told[1] if told else _separator(self._head, self._needed, names)

    def __iter__(self) -> Iterator[tuple[int, int, list[str]]]:
        def remembered() -> Iterator[str]:
            for line in islice(self._text.lines(), self._above, None):
                self._raw.append(line)
                yield line

        end = self._above
        reader = csv.reader(remembered(), delimiter=self._separator, strict=True, skipinitialspace=True)
        try:
            for record in reader:
                row, end = end + 1, self._above + reader.line_num
                if any(map(trimmed, record)):
                    yield row, end, record
                self._raw.clear()
        except csv.Error:
            problem = misplaced("".join(self._raw), self._separator)
            remedy = "close the quote; one that belongs to a field is doubled, and the field stands in quotes"
            raise InputError(problem, file=self._table.name, row=end + 1, remedy=remedy) from None

    def place(self, header: Sequence[str], column: str, row: int) -> int:
        """Where a needed column stands."""
        places = [i for i, name in enumerate(header) if name == column]
        if len(places) == 1:
            return places[0]
        remedy = "add the column, or name another one; if the header stands below other lines, "
        remedy += f"pass {self._table.pass_lines('N')}"
        if places:
            problem = f"columns {' and '.join(str(place + 1) for place in places)} are both called {column!r}"
            remedy = "rename or delete all but one of them"
        elif any("\0" in name for name in header):
            raise self.null_bytes(header, row)
        else:
            found = ", ".join(name if len(name) < 60 else quoted(name) for name in header[:50]) or "nothing"
            problem = f"column {column!r} is missing (found: {found})"
            for line, text in enumerate(self._head, start=self._above):
                if any(set(self._needed) <= set(_fields(text, separator)) for separator in SEPARATORS):
                    remedy = f"pass {self._table.pass_lines(line)}, for the header stands in row {line + 1}"
                    break
        raise InputError(problem, file=self._table.name, row=row, remedy=remedy)

    def null_bytes(self, header: Sequence[str], row: int) -> InputError:
        """What to say of a header with null bytes."""
        problem = "holds null bytes where the header should be: no text, or UTF-16 without its mark"
        order = "be" if header[0].startswith("\0") else "le"  # the null byte of a letter comes first or last
        remedy = f"save it as CSV in UTF-8, or pass {self._table.pass_encoding(f'utf-16-{order}')}"
        return InputError(problem, file=self._table.name, row=row, remedy=remedy)

    def check_quotes(self, record: Sequence[str], places: Sequence[int], row: int, end: int) -> None:
        """Refuse quotes that swallowed rows, and stray ones in needed fields."""
        broken = [
            f"{column} {quoted(trimmed(record[i]))}"
            for column, i in zip(self._needed, places, strict=True)
            if re.search("[\r\n]", trimmed(record[i]))
        ]
        remedy = "close the quote where the field ends, and write the field in one line"
        if broken:
            problem = f"{broken[0]} holds a line break: a quote opens in row {row} and closes in row {end}"
        elif end > row and holds_rows(record, self._separator):
            problem = f"a quote opens in row {row} and closes in row {end}, and what stands between looks like rows"
            remedy = "close it in its row; if it is text of several lines, delete its column"
        elif text := stray("".join(self._raw), self._separator, places):
            problem = f"a quote stands inside of the field {quoted(text)}"
            remedy = "delete it, or double it and put the field in quotes"
        else:
            return
        raise InputError(problem, file=self._table.name, row=row, remedy=remedy)


def _separator(head: Sequence[str], needed: Sequence[str], names: Sequence[str] | None) -> str:
    """The separator with which the header holds what is needed, or else with which it has most fields."""
    header = next((line for line in head if trimmed(line).strip("".join(SEPARATORS))), "")

    def fit(separator: str) -> tuple[bool, int]:
        fields = _fields(header, separator)
        return (set(needed) <= set(fields) if names is None else len(fields) == len(names)), len(fields)

    return max(SEPARATORS, key=fit)


def _fields(line: str, separator: str) -> list[str]:
    try:
        return [header_name(f) for f in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]
    except csv.Error:  # longer than any field may be
        return []
