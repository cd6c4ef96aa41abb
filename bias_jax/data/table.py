"""From tables of images and labels to a data set: the general reader behind every folder with labels.

Every defect is reported with file and row. In strict reading the first one ends it; a checker passes `on_problem`
to see them all.
"""

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bias_jax.data.attributes import Attribute
from bias_jax.data.dataset import FaceDataset
from bias_jax.data.label_columns import LabelColumn, complete_rows
from bias_jax.data.labels import LabelRules, trimmed
from bias_jax.data.listings import plain
from bias_jax.data.separated import table_rows
from bias_jax.data.stores import ImageStore
from bias_jax.data.text_files import Table
from bias_jax.errors import InputError

MOST_GROUPS = 2**16  # more categories together are a mistake, and would fill the memory


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
    columns = [LabelColumn(attribute, rules, restore, repair_labels) for attribute in attributes]
    if group_column:
        columns.append(LabelColumn(group_column, replace(rules, bins={}), people=True))
    known = [column.known for column in columns]
    found = array("q")  # image by image, of each column the number of its text
    names: list[str] = []
    files: list[str] = []  # the same, as the store calls them
    rows: list[int] = []
    absent: list[str] = []
    respelled: list[str] = []
    seen: set[str] = set()

    def locate(image: str, table: Table, row: int) -> tuple[str, str] | None:
        """The image's name, whatever its spelling, and its file; None if it is absent and skipped."""
        if not image:
            problem = f"column {image_column!r} names no image"
            raise InputError(problem, file=table.name, row=row, remedy="fill it in, or delete the row")
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
            if on_problem is not None:  # whoever lists defects skips none
                remedy = "restore the file or delete its row"
            raise InputError(problem, file=table.name, row=row, remedy=remedy)
        absent.append(image)
        return None

    def take(image: str, labels: Sequence[str], table: Table, row: int) -> None:
        try:  # nearly every text came up before
            numbers = [numbered[text] for numbered, text in zip(known, labels, strict=True)]
        except KeyError:
            place = table.name, row
            numbers = [column.number(text, place) for column, text in zip(columns, labels, strict=True)]
        if (place_found := locate(image, table, row)) is not None:
            names.append(place_found[0])
            files.append(place_found[1])
            rows.append(row)
            found.extend(numbers)

    defective = 0
    for table in tables:
        for row, (image, *labels) in table_rows(table, [image_column, *(column.name for column in columns)]):
            try:
                take(trimmed(image), labels, table, row)
            except InputError as error:
                if on_problem is None:
                    raise
                on_problem(error)
                defective += 1
    if not names:
        remedy = f"see to the {defective} defective rows" if defective else "check that the download is complete"
        raise InputError("no usable image is listed", file=tables[0].name, remedy=remedy)
    texts = np.array(found).reshape(len(names), len(columns)).T
    kept, told = complete_rows(columns, texts, tables[0].name)
    if told:
        texts = texts[:, kept]
        names, files, rows = ([listed[i] for i in kept] for listed in (names, files, rows))
    finished = [column.finish(texts[i]) for i, column in enumerate(columns[: len(attributes)])]
    people, merged = columns[-1].distinct(texts[-1]) if group_column else (None, [])
    notes = [*(note for *_, changed in finished for note in changed), *merged, *told]
    if absent:
        notes.append(f"{len(absent)} listed images are absent and were skipped, the first {absent[0]!r}")
    if respelled:
        notes.append(f"{len(respelled)} images are spelled otherwise in the list, the first {respelled[0]!r}")
    dataset = FaceDataset(
        name=name,
        attributes=tuple(attribute for attribute, _, _ in finished),
        labels={attribute.name: codes for attribute, codes, _ in finished},
        image_names=tuple(names),
        rows=tuple(rows),
        read_bytes=lambda i: images.read(files[i]),
        source=str(images.source),
        notes=tuple(notes),
        people=people,
    )
    sizes = [len(attribute.categories) for attribute in dataset.attributes]
    if math.prod(sizes) > MOST_GROUPS:
        problem = f"{' x '.join(a.name for a in dataset.attributes)} make {math.prod(sizes):,} groups"
        remedy = "choose fewer attributes, or those with few categories"
        raise InputError(problem, file=tables[0].name, remedy=remedy)
    return dataset
