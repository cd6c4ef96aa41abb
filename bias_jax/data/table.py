"""From a CSV of images and labels to a data set: the general reader behind every folder with labels.

Every defect is reported with file and row. In strict reading the first one ends it; a checker passes `on_problem`
to see them all.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bias_jax.data.attributes import Attribute
from bias_jax.data.dataset import FaceDataset
from bias_jax.data.listings import plain
from bias_jax.data.stores import ImageStore
from bias_jax.errors import InputError

csv.field_size_limit(2**20)


@dataclass(frozen=True)
class Table:
    """A CSV, on disk or inside an archive."""

    name: str  # for messages
    open: Callable[[], bytes]

    @classmethod
    def file(cls, path: Path) -> "Table":
        return cls(str(path), path.read_bytes)


def table_rows(
    table: Table, needed: Sequence[str], names: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows with their line numbers (the header is row 1), which must have the needed columns.

    Args:
        table: the file.
        needed: columns that must be there.
        names: of the columns of a file without header.

    Raises:
        InputError: no such file, not CSV in UTF-8, a column missing, or a row with too few or too many fields.
    """
    try:
        text = io.TextIOWrapper(io.BytesIO(table.open()), "utf-8-sig", newline="")  # decoded bit by bit: less memory
        reader = csv.DictReader(text, names, strict=True)
        header = list(reader.fieldnames or ())
        missing = [column for column in needed if column not in header]
        if missing:
            problem = f"column {missing[0]!r} is missing (found: {', '.join(header) or 'nothing'})"
            raise InputError(problem, file=table.name, row=1, remedy="add the column, or name another one")
        for record in reader:
            if None in record or any(value is None for value in record.values()):
                problem = f"expected {len(header)} fields"
                raise InputError(problem, file=table.name, row=reader.line_num, remedy="mend or delete the row")
            yield reader.line_num, record
    except FileNotFoundError:
        raise InputError("no such file", file=table.name, remedy="put the label file there") from None
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        remedy = "save it as CSV in UTF-8"
        raise InputError(f"cannot be read as CSV in UTF-8 ({error})", file=table.name, remedy=remedy) from None


def infer_categories(tables: Sequence[Table], name: str) -> Attribute:
    """The values of a column, sorted: numbers by value, text alphabetically."""

    def order(text: str) -> tuple[bool, float, str]:
        try:
            return False, float(text), text
        except ValueError:
            return True, 0.0, text

    values = {record[name] for table in tables for _, record in table_rows(table, [name])}
    return Attribute(name, tuple(sorted(values, key=order)))


def read_table(
    tables: Sequence[Table],
    images: ImageStore,
    attributes: Sequence[Attribute],
    *,
    name: str,
    image_column: str = "file",
    restore: Callable[[Attribute, str], str | None] = lambda attribute, text: None,
    repair_labels: bool = False,
    skip_unreadable: bool = False,
    on_problem: Callable[[InputError], None] | None = None,
) -> FaceDataset:
    """Read labels, and check that every listed image exists inside the store; images are decoded later.

    Args:
        tables: CSV files.
        images: where the images are.
        attributes: with their categories; labels are mapped by name.
        name: of the data set.
        image_column: column with the images' relative names.
        restore: what a mangled label was before (or None); used if `repair_labels`, otherwise told.
        repair_labels: accept labels that `restore` understands.
        skip_unreadable: leave out listed images that are absent, and say how many.
        on_problem: called with each defect, whose row is then left out; None raises the first.
    """
    columns: dict[str, list[int]] = {a.name: [] for a in attributes}
    codes = {a.name: {text: i for i, text in enumerate(a.categories)} for a in attributes}
    names: list[str] = []
    files: list[str] = []  # the same, as the store calls them
    rows: list[int] = []
    absent: list[str] = []
    respelled: list[str] = []
    repaired: Counter[tuple[str, str]] = Counter()
    seen: set[str] = set()

    def encode(attribute: Attribute, text: str, table: Table, row: int) -> int:
        if text in codes[attribute.name]:
            return codes[attribute.name][text]
        original = restore(attribute, text)
        if original is None:
            problem = f"{attribute.name} {text!r} is not one of {', '.join(attribute.categories)}"
            raise InputError(problem, file=table.name, row=row, remedy="correct the label or delete the row")
        if not repair_labels:
            problem = f"{attribute.name} {text!r} is {original!r} after a spreadsheet took it for a date"
            raise InputError(problem, file=table.name, row=row, remedy="use the original file, or pass --repair-labels")
        repaired[text, original] += 1
        return codes[attribute.name][original]

    def locate(image: str, table: Table, row: int) -> tuple[str, str] | None:
        """The image's name, whatever its spelling, and its file; None if it is absent and skipped."""
        if not images.inside(image):
            remedy = f"list only images inside {images.source}"
            raise InputError(f"path {image!r} leaves the data directory", file=table.name, row=row, remedy=remedy)
        found = images.find(image)
        if len(found) > 1:
            problem = f"image {image!r} may be {' or '.join(map(repr, found))}"
            raise InputError(problem, file=table.name, row=row, remedy="list it as the file is called")
        name = "/".join(plain(image) or found or (image,))
        file = found[0] if found else name
        if seen & {name, file}:
            raise InputError(f"image {image!r} is listed twice", file=table.name, row=row, remedy="delete one row")
        seen.update((name, file))
        if found:
            if not f"/{file}".endswith(f"/{image}"):
                respelled.append(image)
            return name, file
        if not skip_unreadable:
            problem = f"image {image!r} is listed but absent from {images.source} (found there: {images.summary()})"
            remedy = "restore the file, delete its row, or pass --skip-unreadable"
            raise InputError(problem, file=table.name, row=row, remedy=remedy)
        absent.append(image)
        return None

    def take(record: Mapping[str, str], table: Table, row: int) -> None:
        values = {a.name: encode(a, record[a.name], table, row) for a in attributes}
        if (found := locate(record[image_column], table, row)) is not None:
            names.append(found[0])
            files.append(found[1])
            rows.append(row)
            for key, value in values.items():
                columns[key].append(value)

    for table in tables:
        for row, record in table_rows(table, [image_column, *columns]):
            try:
                take(record, table, row)
            except InputError as error:
                if on_problem is None:
                    raise
                on_problem(error)
    if not names:
        raise InputError("no usable image is listed", file=tables[0].name, remedy="check that the download is complete")
    notes = [f"{n} labels {text!r} read as {original!r}" for (text, original), n in repaired.items()]
    if absent:
        notes.append(f"{len(absent)} listed images are absent and were skipped, the first {absent[0]!r}")
    if respelled:
        notes.append(f"{len(respelled)} images are spelled otherwise in the list, the first {respelled[0]!r}")
    return FaceDataset(
        name=name,
        attributes=tuple(attributes),
        labels={key: np.array(values, dtype=np.int32) for key, values in columns.items()},
        image_names=tuple(names),
        rows=tuple(rows),
        read_bytes=lambda i: images.read(files[i]),
        source=str(images.source),
        notes=tuple(notes),
    )
