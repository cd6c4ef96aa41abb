"""Features in parquet files: columns of lists, or one column a feature; what else is there may be labels.

A column of lists of numbers is a layer. Where no column holds lists, columns of one name and consecutive numbers behind
it (``emb_0``, ``emb_1``, ...) are one: other numbers beside them may be labels, and a probe that is given the labels
as features finds them. Columns of other names are features only if they are named.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bias_jax.data.parquet_files import ParquetFile, label_text
from bias_jax.errors import InputError
from bias_jax.features.raw_files import natural

NUMBERED = re.compile(r"(.*?)[ _.\-]?(\d+)")
NAMELESS = "features"  # the layer of columns that have numbers, and no name; and of those that are named


@dataclass(frozen=True)
class ColumnValues:
    """A layer in some columns of parquet files, one after another."""

    name: str
    files: Sequence[ParquetFile]
    columns: Sequence[str]  # one of lists, or D of numbers
    shape: tuple[int, int]
    dtype: np.dtype

    def blocks(self, rows: int, needed: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        total, block = self.shape[0], None
        for start, values in self._pieces(rows, needed):
            while len(values):
                number = start // rows
                first = number * rows
                size = min(rows, total - first)
                taken = min(first + size - start, len(values))
                if needed[number]:
                    if start == first:
                        block = np.empty((size, self.shape[1]), self.dtype)
                    assert block is not None
                    block[start - first : start - first + taken] = values[:taken]
                    if start + taken == first + size:
                        yield first, block
                start, values = start + taken, values[taken:]

    def _pieces(self, rows: int, needed: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """First row and values of what Arrow reads at once, of all groups of rows that hold a needed one."""
        start = 0
        for file in self.files:
            before = start
            for group, count in enumerate(file.group_rows):
                end = start + count
                if count and needed[start // rows : (end - 1) // rows + 1].any():
                    for batch in file.batches(self.columns, rows, [group]):
                        yield start, self._values(batch, file, start - before)
                        start += len(batch)
                start = end

    def _values(self, batch: pa.RecordBatch, file: ParquetFile, row: int) -> np.ndarray:
        """[n, D] of a batch that begins in some row of a file, from 0."""
        arrays = [batch.column(column) for column in self.columns]
        for column, array in zip(self.columns, arrays, strict=True):
            if array.null_count:
                missing = row + int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
                problem = f"column {column!r} has no value"
                raise InputError(problem, file=file.path, row=missing + 1, remedy="fill it in, or delete the row")
        if not _is_list(arrays[0].type):
            return np.stack([array.to_numpy(zero_copy_only=False) for array in arrays], axis=1)
        lengths = pc.list_value_length(arrays[0]).to_numpy(zero_copy_only=False)
        if (other := np.flatnonzero(lengths != self.shape[1])).size:
            problem = f"column {self.columns[0]!r} has {lengths[other[0]]} numbers, not {self.shape[1]} as in row 1"
            remedy = "give all rows the same number of features"
            raise InputError(problem, file=file.path, row=row + int(other[0]) + 1, remedy=remedy)
        flat = arrays[0].flatten()
        if flat.null_count:
            missing = int(np.flatnonzero(flat.is_null().to_numpy(zero_copy_only=False))[0]) // self.shape[1]
            problem = f"column {self.columns[0]!r} holds a list with missing numbers"
            raise InputError(problem, file=file.path, row=row + missing + 1, remedy="fill them in, or delete the row")
        return flat.to_numpy(zero_copy_only=False).reshape(len(batch), self.shape[1])


def parquet_layers(
    files: Sequence[ParquetFile], chosen: Sequence[str], labels: Sequence[str]
) -> tuple[dict[str, ColumnValues], list[str]]:
    """Layers of parquet files with the same columns, and columns that are none.

    Args:
        files: in their order.
        chosen: columns of numbers that are the features of one layer; none: see the module.
        labels: columns that are no features, whatever they hold.

    Raises:
        InputError: files whose columns differ, chosen columns that are absent or no numbers, lists of no numbers.
    """
    first = files[0]
    for other in files[1:]:
        if not other.schema.equals(first.schema):
            problem = f"has other columns or types than {first.path.name}"
            raise InputError(problem, file=other.path, remedy="give files of one data set")
    kinds = {name: first.schema.field(i).type for i, name in enumerate(first.names)}
    rows = sum(file.rows for file in files)
    if rows == 0:
        raise InputError("has no rows", file=first.path, remedy="write it again")
    for column in chosen:
        first.require(column)
        if not _is_number(kinds[column]):
            problem = f"column {column!r} holds no numbers, but {kinds[column]}"
            raise InputError(problem, file=first.path, remedy="leave it out of --feature-columns")
    others = [name for name in first.names if name not in labels and name not in chosen]
    lists = [name for name in others if _is_list(kinds[name])]
    families = {NAMELESS: list(chosen)} if chosen else {} if lists else _families(others, kinds)
    layers = {name: _list_layer(files, name, kinds[name], rows) for name in (lists if not chosen else ())}
    for name, columns in families.items():
        for column in columns:
            first.require(column)
        dtype = np.result_type(*(kinds[column].to_pandas_dtype() for column in columns))
        layers[name] = ColumnValues(name, files, columns, (rows, len(columns)), dtype)
    used = {column for layer in layers.values() for column in layer.columns}
    return layers, [name for name in others if name not in used]


def _list_layer(files: Sequence[ParquetFile], name: str, kind: pa.DataType, rows: int) -> ColumnValues:
    first = files[0]
    first.require(name)
    if not _is_number(kind.value_type):
        problem, remedy = f"column {name!r} holds lists of {kind.value_type}", "give one list of numbers in each row"
        raise InputError(problem, file=first.path, remedy=f"{remedy}, or leave the column out of the file")
    file = next(file for file in files if file.rows)
    features = next(len(batch.column(0)[0].as_py() or []) for batch in file.batches([name], 1) if len(batch))
    return ColumnValues(name, files, [name], (rows, features), np.dtype(kind.value_type.to_pandas_dtype()))


def _families(names: Sequence[str], kinds: Mapping[str, pa.DataType]) -> dict[str, list[str]]:
    """Columns of numbers by the name before their number, where these begin at 0 or 1 and follow each other."""
    found: dict[str, dict[int, str]] = {}
    for name in names:
        match = NUMBERED.fullmatch(name)
        if match and _is_number(kinds[name]):
            found.setdefault(match[1] or NAMELESS, {}).setdefault(int(match[2]), name)
    whole = {
        name: [columns[number] for number in sorted(columns)]
        for name, columns in found.items()
        if len(columns) > 1 and min(columns) in (0, 1) and max(columns) - min(columns) == len(columns) - 1
    }
    return {name: whole[name] for name in sorted(whole, key=natural)}


def column_texts(files: Sequence[ParquetFile], column: str) -> list[str]:
    """A column as text, one row after another.

    Raises:
        InputError: it is missing.
    """
    found = []
    for file in files:
        file.require(column)
        names = file.class_names(column) or []
        for batch in file.batches([column]):
            found += [label_text(value, names) for value in batch.column(0).to_pylist()]
    return found


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
