"""Parquet files as people have them: what they hold, what their class numbers mean, what is wrong with them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bias_jax.data.contents import contents
from bias_jax.data.labels import trimmed
from bias_jax.errors import InputError

BUFFER = 2**20  # bytes that are read at once, so that a large group of rows is never in memory as a whole
ROWS = 4096  # rows that are decoded at once


class ParquetFile:
    """One file: its columns, and their values bit by bit."""

    def __init__(self, path: Path):
        """Read its end, where it says what it holds.

        Raises:
            InputError: no such file, or no parquet.
        """
        self.path = path
        try:
            with pq.ParquetFile(path) as opened:
                self.schema, metadata = opened.schema_arrow, opened.metadata
        except Exception as error:  # Arrow raises many kinds on damaged files
            raise self.damaged(error) from None
        self.rows = metadata.num_rows
        self.group_rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self.names = list(self.schema.names)
        if sum(self.group_rows) != self.rows:
            raise self.damaged(ValueError(f"{self.rows} rows in groups of {self.group_rows[:5]}"))

    def damaged(self, error: Exception) -> InputError:
        """What to say of a file that Arrow cannot read."""
        if not self.path.is_file():
            return InputError("no such file", file=self.path, remedy="give a parquet file that is there")
        with self.path.open("rb") as stream:
            what = contents(stream.read(262))
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if what and what != "a parquet file":
            reason = f"it is {what}"
        return InputError(f"cannot be read as parquet ({reason})", file=self.path, remedy="download it again")

    def require(self, column: str, remedy: str = "add the column, or name another one") -> None:
        """Refuse a column that is not there, or there twice.

        Raises:
            InputError: so it is.
        """
        if (number := self.names.count(column)) != 1:
            problem = f"column {column!r} is {'there twice' if number else 'missing'} (found: {', '.join(self.names)})"
            raise InputError(problem, file=self.path, remedy="leave one of them" if number else remedy)

    def batches(
        self, columns: Sequence[str], rows: int = ROWS, groups: Sequence[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows in their order, at most so many at once; of some groups of rows only.

        Raises:
            InputError: the file is damaged.
        """
        try:
            expected = self.rows if groups is None else sum(self.group_rows[group] for group in groups)
            with pq.ParquetFile(self.path, buffer_size=BUFFER, pre_buffer=False) as opened:
                for batch in opened.iter_batches(rows, row_groups=groups, columns=list(columns), use_threads=False):
                    expected -= len(batch)
                    if expected < 0:
                        raise ValueError("more rows than it says")
                    yield batch
            if expected:
                raise ValueError("fewer rows than it says")
        except Exception as error:  # as above; text that is no UTF-8, too
            raise self.damaged(error) from None

    @cached_property
    def _features(self) -> Mapping[str, Any]:
        try:
            return dict(json.loads((self.schema.metadata or {})[b"huggingface"])["info"]["features"])
        except (KeyError, ValueError, TypeError):
            return {}

    def class_names(self, column: str) -> list[str] | None:
        """What the numbers of a column mean, by the schema's metadata; None if they do not say."""
        about = self._features.get(column)
        names = about.get("names") if isinstance(about, dict) else None
        return [str(name) for name in names] if isinstance(names, list) else None


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column holds bytes."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_picture(kind: pa.DataType) -> bool:
    """Whether a column holds the hub's pair of an encoded image and its path."""
    return bool(pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)


def label_text(value: object, names: Sequence[str]) -> str:
    """The label that a value is; -1 is how the hub's data sets say that there is none."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    number = _whole(text)
    if number is not None and 0 <= number < len(names):
        return names[number]
    return "" if value is None or (number == -1 and names) else str(text)


def _whole(value: object) -> int | None:
    """The whole number that a label is, also as a float (``3.0``) or as text; None if it is none."""
    if isinstance(value, str) and trimmed(value).replace(".", "", 1).isdecimal():
        value = float(trimmed(value))
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value and value % 1 == 0:
        return int(value)
    return None
