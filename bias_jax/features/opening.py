"""Features that were computed elsewhere: layers of N rows, from a file, a folder, or arrays that are there already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bias_jax.data.contents import contents
from bias_jax.data.labels import read_label
from bias_jax.data.parquet_files import ParquetFile
from bias_jax.data.parquet_table import shards_of
from bias_jax.data.separated import header_of, table_rows
from bias_jax.data.text_files import Table
from bias_jax.errors import InputError
from bias_jax.features.columns import ColumnValues, column_texts, parquet_layers
from bias_jax.features.raw_files import npy_array, npy_folder, npz_arrays, tensors, texts
from bias_jax.features.values import ArrayValues, RawValues, Values, check_layer

FORMS = "a .npz, .safetensors, .npy or .parquet file, or a folder of .npy or .parquet files"
SHOWN = 5  # names in a message


@dataclass(frozen=True)
class Features:
    """Layers of N rows."""

    layers: Mapping[str, Values]  # in depth order, all with N rows
    model: str  # what computed them, as far as the file's name tells
    source: str  # for messages
    names: tuple[str, ...]  # of the rows, each its own: identifiers, or their numbers from 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def open_features(
    path: str | Path, *, layers: Sequence[str] = (), id_column: str = "", columns: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> Features:  # fmt: skip
    """Find out what a file or folder holds; values are read later.

    Args:
        path: see `FORMS`.
        layers: which layers, in this order (default: all, in the order of the file, or of the numbers in their names).
        id_column: array or column that tells what each row is; or a column of the CSV that is called as the file and
            lies beside it.
        columns: of a parquet file, that are the features of one layer.
        labels: columns of a parquet file that are no features.

    Raises:
        InputError: naming file, layer and way out.
    """
    path = Path(path)
    ids: list[str] | None = None
    others: list[str] = []
    found: Mapping[str, Values]
    if files := _parquet_files(path):
        found, others = parquet_layers(files, columns, [*labels, *([id_column] if id_column else [])])
        if id_column and id_column in files[0].names:
            ids = column_texts(files, id_column)
    else:
        if columns:
            raise InputError("--feature-columns is for parquet files", file=path, remedy="leave it out")
        arrays, others = _arrays(path)
        if id_column in arrays:
            ids = texts(arrays.pop(id_column))
        found, flat = _apart(arrays, layers)
        others = [*flat, *others]
    if id_column and ids is None:
        ids = _beside(path, id_column, [*found, *others])
    found = _chosen(found, layers, others, str(path))
    source, total = str(path), next(iter(found.values())).shape[0]
    if ids is not None and len(ids) != total:
        problem = f"{id_column!r} has {len(ids)} rows, the features have {total}"
        raise InputError(problem, file=source, remedy="give one identifier a row")
    names = _distinct(ids, id_column, source) if ids is not None else tuple(map(str, range(total)))
    return Features(found, path.name.partition(".")[0] or "features", source, names, tuple(_notes(found, others)))


def hold_features(arrays: Mapping[str, Any], layers: Sequence[str] = ()) -> Features:
    """Layers that are arrays already: of NumPy, of JAX, mapped, or anything that NumPy takes for one.

    Raises:
        InputError: as `open_features`.
    """
    values = {str(name): ArrayValues(array if hasattr(array, "dtype") else np.asarray(array))
              for name, array in arrays.items()}  # fmt: skip
    found = _chosen(values, layers, [], "features")
    names = tuple(map(str, range(next(iter(found.values())).shape[0])))
    return Features(found, "features", "features", names, tuple(_notes(found, [])))


def _parquet_files(path: Path) -> list[ParquetFile]:
    """The parquet file, or all of a folder, see `data.parquet_table.shards_of`."""
    if path.is_dir():
        kinds = {p.suffix for p in path.iterdir()} & {".npy", ".parquet"}
        if len(kinds) > 1:
            raise InputError("holds both .npy and .parquet files", file=path, remedy="move one kind away")
        return [ParquetFile(file) for file in shards_of(path)] if ".parquet" in kinds else []
    return [ParquetFile(path)] if path.suffix == ".parquet" else []


def _arrays(path: Path) -> tuple[dict[str, RawValues], list[str]]:
    """Arrays of any other form, and what else is there."""
    if path.is_dir():
        found = npy_folder(path)
        if not found:
            raise InputError("holds no .npy or .parquet files", file=path, remedy=f"give {FORMS}")
        others = sorted(p.name for p in path.iterdir() if not p.name.endswith(".npy") and not p.name.startswith("."))
        return found, others
    if not path.is_file():
        raise InputError("no such file or directory", file=path, remedy=f"give {FORMS}")
    if path.suffix == ".npz":
        return npz_arrays(path)
    if path.suffix == ".npy":
        return {path.stem: npy_array(path, path.stem)}, []
    if path.suffix == ".safetensors":
        return tensors(path), []
    with path.open("rb") as stream:
        what = contents(stream.read(262)).partition(";")[0]
    raise InputError(f"is {what or 'of a form'} that is not read", file=path, remedy=f"give {FORMS}")


def _apart(arrays: Mapping[str, RawValues], layers: Sequence[str]) -> tuple[dict[str, RawValues], list[str]]:
    """What may be layers, and arrays [N] or of one number, which are labels and the like: unless they are asked for."""
    found = {name: values for name, values in arrays.items() if len(values.shape) > 1 or name in layers}
    return found, [name for name in arrays if name not in found]


def _chosen(
    found: Mapping[str, Values], layers: Sequence[str], others: Sequence[str], source: str
) -> dict[str, Values]:
    """The layers that are asked for, all checked.

    Raises:
        InputError: there is none, or one that is none; different numbers of rows; names of one file.
    """
    if unknown := [name for name in layers if name not in found]:
        remedy = f"choose among {_listed(list(found)) or 'none'}"
        raise InputError(f"has no layer {unknown[0]!r}", file=source, remedy=remedy)
    chosen = {name: found[name] for name in layers or found}
    if not chosen:
        there = f" (found: {_listed(others)})" if others else ""
        remedy = "write features as an array [N, D] for each layer; in parquet as a column of lists, or as columns "
        remedy += "emb_0, emb_1, ... or others that --feature-columns names"
        raise InputError(f"holds no layer{there}", file=source, remedy=remedy)
    files: dict[str, str] = {}
    first, rows = next((name, values.shape[0] if values.shape else 0) for name, values in chosen.items())
    for name, values in chosen.items():
        check_layer(name, values.shape, values.dtype, source)
        if values.shape[0] != rows:
            problem = f"layer {name!r} has {values.shape[0]} rows, layer {first!r} has {rows}"
            raise InputError(problem, file=source, remedy="give layers of the same rows, or choose them by --layers")
        if not name.strip() or not name.isprintable() or len(name) > 200:
            raise InputError(f"layer {name!r} cannot be a file's name", file=source, remedy="call it otherwise")
        file = name.replace(" ", "-").replace("/", "-")
        if (other := files.setdefault(file, name)) != name:
            problem = f"layers {other!r} and {name!r} differ in spaces and slashes alone"
            raise InputError(problem, file=source, remedy="call one of them otherwise")
    return chosen


def _beside(path: Path, column: str, there: Sequence[str]) -> list[str]:
    """Identifiers from the CSV that is called as the features.

    Raises:
        InputError: there is none, or it lacks the column.
    """
    beside = path.with_suffix(".csv")
    if not beside.is_file():
        problem = f"has no {column!r} (found: {_listed(there)}), and beside it there is no {beside.name}"
        raise InputError(problem, file=path, remedy="write identifiers there, one a row; or leave --id-column out")
    table = Table.file(beside)
    header_of(table)
    return [fields[0] for _, fields in table_rows(table, [column])]


def _distinct(ids: Sequence[str], column: str, source: str) -> tuple[str, ...]:
    """Identifiers as labels are read, each its own.

    Raises:
        InputError: one is empty, or there twice.
    """
    first: dict[str, int] = {}
    for row, text in enumerate(ids):
        name = read_label(text, column, (source, row))
        if not name:
            raise InputError(f"row {row} (from 0) has no {column!r}", file=source, remedy="fill it in")
        if (before := first.setdefault(name, row)) != row:
            problem = f"{column!r} is {name!r} in rows {before} and {row} (from 0)"
            raise InputError(problem, file=source, remedy="give every row an identifier of its own")
    return tuple(first)


def _notes(found: Mapping[str, Values], others: Sequence[str]) -> list[str]:
    notes = [f"no layers, and not read: {_listed(others)}"] if others else []
    for name, values in found.items():
        if isinstance(values, ColumnValues) and len(values.columns) > 1:
            columns = f"{len(values.columns)} columns, {values.columns[0]!r} to {values.columns[-1]!r}"
            notes.append(f"layer {name!r} is {columns}")
    if maps := [name for name, values in found.items() if len(values.shape) == 4]:
        notes.append(f"{_listed(maps)}: feature maps, read as [N, H, W, U] and pooled by --pooling")
    if wide := [name for name, values in found.items() if values.dtype.kind == "f" and values.dtype.itemsize == 8]:
        notes.append(f"{_listed(wide)}: float64, rounded to float32")
    return notes


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more


def of_layers(features: Features, layers: Sequence[str]) -> Features:
    """Some layers, in this order; all if none is named.

    Raises:
        InputError: there is no such layer.
    """
    return replace(features, layers=_chosen(features.layers, layers, (), features.source)) if layers else features
