"""From tables of images and labels to a data set: the general reader behind every folder with labels.

Every defect is reported with file and row. In strict reading the first one ends it; a checker passes `on_problem`
to see them all.
"""

import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from bias_jax.data.attributes import Attribute
from bias_jax.data.dataset import FaceDataset
from bias_jax.data.label_columns import LabelColumn, complete_rows
from bias_jax.data.labels import LabelRules
from bias_jax.data.listed_images import ListedImages, Places
from bias_jax.data.separated import table_rows
from bias_jax.data.stores import ImageStore
from bias_jax.data.text_files import Table
from bias_jax.errors import InputError

MOST_GROUPS = 2**16  # more categories together are a mistake, and would fill the memory


class Records(Protocol):
    """A table of any kind, as text."""

    @property
    def name(self) -> str:
        """For messages."""

    def rows(self, needed: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Number of every row, as messages call it, and the text of the needed columns."""


def read_table(
    tables: Sequence[Table],
    images: ImageStore,
    attributes: Sequence[Attribute | str],
    *,
    name: str,
    image_column: str = "file",
    group_column: str = "",
    rules: LabelRules = LabelRules(),  # noqa: B008 - frozen
    restore: Callable[[Attribute, str], str | None] = lambda attribute, label: None,
    repair_labels: bool = False,
    skip_unreadable: bool = False,
    on_problem: Callable[[InputError], None] | None = None,
) -> FaceDataset:
    """Read labels, and check that every listed image exists inside the store; images are decoded later.

    Args:
        tables: files of separated text.
        images: where the images are.
        attributes: with their categories, to which labels are mapped by name; or the name of a column alone, whose
            labels then are the categories: numbers by value, text alphabetically.
        name: of the data set.
        image_column: column with the images' relative names.
        group_column: column that tells who is on each image, if there is one.
        rules: for labels that are no clean categories.
        restore: what a mangled label was before (or None); used if `repair_labels`, otherwise told.
        repair_labels: accept labels that `restore` understands.
        skip_unreadable: leave out listed images that are absent, and say how many.
        on_problem: called with each defect, whose row is then left out; None raises the first.

    Raises:
        InputError: naming file, row and way out.
    """
    # Whoever lists defects skips none.
    places = ListedImages(images, image_column, skip_absent=skip_unreadable, may_skip=on_problem is None)
    return read_rows(
        tables, places, attributes, name=name, group_column=group_column, rules=rules, restore=restore,
        repair_labels=repair_labels, on_problem=on_problem,
    )  # fmt: skip


def read_rows(
    tables: Sequence[Table | Records],
    places: Places,
    attributes: Sequence[Attribute | str],
    *,
    name: str,
    group_column: str = "",
    rules: LabelRules = LabelRules(),  # noqa: B008 - frozen
    restore: Callable[[Attribute, str], str | None] = lambda attribute, label: None,
    repair_labels: bool = False,
    on_problem: Callable[[InputError], None] | None = None,
) -> FaceDataset:
    """As `read_table`, of tables of any kind, about anything."""
    columns = [LabelColumn(attribute, rules, restore, repair_labels) for attribute in attributes]
    if group_column:
        columns.append(LabelColumn(group_column, replace(rules, bins={}), people=True))
    known = [column.known for column in columns]
    needed = [*([places.column] if places.column else []), *(column.name for column in columns)]
    found = array("q")  # image by image, of each column the number of its text
    names: list[str] = []
    files: list[str] = []  # the same, as their source calls them
    rows: list[int] = []

    def take(image: str, labels: Sequence[str], table: str, row: int) -> None:
        try:  # nearly every text came up before
            numbers = [numbered[text] for numbered, text in zip(known, labels, strict=True)]
        except KeyError:
            numbers = [column.number(text, (table, row)) for column, text in zip(columns, labels, strict=True)]
        if (place := places.locate(image, table, row)) is not None:
            names.append(place[0])
            files.append(place[1])
            rows.append(row)
            found.extend(numbers)

    defective = 0
    for table in tables:
        for row, fields in table_rows(table, needed) if isinstance(table, Table) else table.rows(needed):
            image, labels = (fields[0], fields[1:]) if places.column else ("", fields)
            try:
                take(image, labels, table.name, row)
            except InputError as error:
                if on_problem is None:
                    raise
                on_problem(error)
                defective += 1
    notes = list(places.told(tables[0].name))
    if not names:
        remedy = f"see to the {defective} defective rows" if defective else "check that the download is complete"
        raise InputError("no usable image is listed", file=tables[0].name, remedy=remedy)
    texts = np.array(found).reshape(len(names), len(columns)).T
    kept, left_out = complete_rows(columns, texts, tables[0].name)
    if left_out:
        texts = texts[:, kept]
        names, files, rows = ([listed[i] for i in kept] for listed in (names, files, rows))
    finished = [column.finish(texts[i]) for i, column in enumerate(columns[: len(attributes)])]
    people, merged = columns[-1].distinct(texts[-1]) if group_column else (None, [])
    dataset = FaceDataset(
        name=name,
        attributes=tuple(attribute for attribute, _, _ in finished),
        labels={attribute.name: codes for attribute, codes, _ in finished},
        image_names=tuple(names),
        rows=tuple(rows),
        read_bytes=lambda i: places.read(files[i]),
        source=str(places.source),
        notes=(*(note for *_, changed in finished for note in changed), *merged, *left_out, *notes),
        people=people,
    )
    sizes = [len(attribute.categories) for attribute in dataset.attributes]
    if math.prod(sizes) > MOST_GROUPS:
        problem = f"{' x '.join(a.name for a in dataset.attributes)} make {math.prod(sizes):,} groups"
        remedy = "choose fewer attributes, or those with few categories"
        raise InputError(problem, file=tables[0].name, remedy=remedy)
    return dataset
