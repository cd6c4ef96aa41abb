"""Which row of the features belongs to which row of the labels: by identifiers, or by order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bias_jax.data import Attribute, FaceDataset, LabelRules
from bias_jax.data.labels import read_label
from bias_jax.data.table import Records, read_rows
from bias_jax.data.text_files import Table
from bias_jax.errors import InputError, counted
from bias_jax.features.opening import Features

PERSONS = "persons"


class MatchedRows:
    """Rows of features as what the rows of a table are about, see `data.listed_images.Places`."""

    def __init__(self, features: Features, id_column: str):
        """Begin; without a column of identifiers rows follow each other as those of the features do."""
        self.column, self.source = id_column, ""
        self._features, self._known = features, set(features.names)
        self._seen: dict[str, int] = {}
        self._passed = 0
        self._absent: list[str] = []

    def locate(self, text: str, table: str, row: int) -> tuple[str, str] | None:
        self.source = table
        if not self.column:
            name = str(self._passed)
            self._passed += 1
            return (name, name) if name in self._known else None
        name = read_label(text, self.column, (table, row))
        if not name:
            remedy = "fill it in, or delete the row"
            raise InputError(f"column {self.column!r} is empty", file=table, row=row, remedy=remedy)
        if (before := self._seen.setdefault(name, row)) != row:
            problem = f"{self.column} {name!r} is there twice, first in row {before}"
            raise InputError(problem, file=table, row=row, remedy="delete one row")
        if name in self._known:
            return name, name
        self._absent.append(name)
        return None

    def told(self, table: str) -> Sequence[str]:
        source, names = self._features.source, self._features.names
        if not self.column:
            if self._passed != len(names):
                problem = f"has {self._passed:,} rows, {source} has {len(names):,}"
                remedy = "give one row of labels for each row of features, or match them by --id-column"
                raise InputError(problem, file=table, remedy=remedy)
            return []
        unused = [name for name in names if name not in self._seen]
        if len(unused) == len(names):
            mine = next(iter(self._seen), "")
            problem = f"no {self.column} is one of {source}, such as {mine!r}; there it is such as {names[0]!r}"
            raise InputError(problem, file=table, remedy="write identifiers alike in both, or choose another column")
        notes = []
        if self._absent:
            without = counted(len(self._absent), f"row of {table} has", f"rows of {table} have")
            notes.append(f"{without} no features, the first {self._absent[0]!r}")
        if unused:
            alone = counted(len(unused), f"row of {source} is", f"rows of {source} are")
            notes.append(f"{alone} not in {table}, the first {unused[0]!r}")
        return notes

    def read(self, file: str) -> bytes:
        raise OSError("features have no pictures")


def label_features(
    features: Features,
    tables: Sequence[Table | Records],
    attributes: Sequence[Attribute | str],
    *,
    name: str = "table",
    id_column: str = "",
    group_column: str = "",
    rules: LabelRules = LabelRules(),  # noqa: B008 - frozen
) -> FaceDataset:
    """A data set whose images are rows of features: they are called by their names, and there are no pictures.

    Args:
        features: N rows.
        tables: of labels.
        attributes: see `data.read_table`.
        name: of the data set.
        id_column: column by which rows are matched; else they follow each other in the same order.
        group_column: column that tells who is on each image, if there is one.
        rules: for labels that are no clean categories.

    Raises:
        InputError: rows that cannot be matched, and whatever `data.read_table` refuses.
    """
    places = MatchedRows(features, id_column)
    return read_rows(tables, places, attributes, name=name, group_column=group_column, rules=rules)


@dataclass(frozen=True)
class GivenLabels:
    """Labels from Python as a table: attribute -> a sequence of text, numbers, or whatever pandas or NumPy holds."""

    columns: Mapping[str, Sequence[Any]]
    name: str = "labels"

    def rows(self, needed: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
        yield from enumerate(zip(*([_text(v) for v in self.columns[name]] for name in needed), strict=True))


def labels_of(
    features: Features,
    labels: Mapping[str, Any],
    persons: Sequence[Any] | None = None,
    rules: LabelRules = LabelRules(),  # noqa: B008 - frozen
) -> FaceDataset:
    """As `label_features`, of labels from Python, in the order of the features.

    Raises:
        InputError: labels of another number, none, or what `data.read_table` refuses.
    """
    columns = {str(name): _listed(labels[name], f"labels[{str(name)!r}]") for name in labels.keys()}  # noqa: SIM118
    attributes = list(columns)
    if not 1 <= len(attributes) <= 6:
        raise InputError(f"labels names {len(attributes)} attributes", remedy="give 1 to 6")
    if persons is not None:
        if PERSONS in columns:
            raise InputError(f"labels holds {PERSONS!r}, and persons is given as well", remedy="call one otherwise")
        columns[PERSONS] = _listed(persons, PERSONS)
    for name, values in columns.items():
        if len(values) != len(features):
            problem = f"labels[{name!r}] has {len(values)} values, the features have {len(features)} rows"
            raise InputError(problem, remedy="give one label for each row")
    who = PERSONS if persons is not None else ""
    return label_features(features, [GivenLabels(columns)], attributes, name="labels", group_column=who, rules=rules)


def _listed(values: Any, what: str) -> list[Any]:
    if isinstance(values, str) or len(getattr(values, "shape", (0,))) != 1:
        raise InputError(f"{what} is no sequence of labels", remedy="give one label for each row, [N]")
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _text(value: Any) -> str:
    """What a table would hold; NaN, NaT and pandas' NA are words there, which are read as missing."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return "" if value is None else str(value)
