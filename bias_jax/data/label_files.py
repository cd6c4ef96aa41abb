"""Files of image labels: Open Images and Inclusive Images, their tuning labels, and any CSV of `image,labels`.

Open Images verifies only some classes of each image: a class that is not listed is unknown, not absent. People's labels
have confidence 1 (present) or 0 (verified absent); a machine's confidence is a fraction, and never means absent.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from bias_jax.data.labels import is_missing, one_spelling, read_label, trimmed
from bias_jax.data.multilabel import LabelSet
from bias_jax.data.separated import header_of, table_rows
from bias_jax.data.text_files import Table
from bias_jax.errors import InputError, quoted

SEPARATORS = ("|", ";", ",", " ")  # of several labels in one field: the first of them that occurs in the file
IMAGE_COLUMNS = ("image", "image_id", "file")
TUNING = ("image", "labels")  # columns of tuning labels, which have no header
OPTION = "--label-{name} {value} (in a sweep --heads.label-{name})"  # for messages
HEADERS = frozenset((*IMAGE_COLUMNS, "imageid", "filename", "file_name", "path", "image_path", "img"))  # never an image
# A list as Python, pandas, NumPy or JSON write it: ['a', 'b'], ["a"], ('a',), {'a'}, [a, b], [].
LITERAL = re.compile(r"""[\[({]\s*(['"]).*\1\s*,?\s*[\])}]|\[[^\[\]]*\]""")


def read_labels(
    path: str | Path,
    *,
    machine: str | Path | None = None,
    descriptions: str | Path | None = None,
    machine_confidence: float = 0.5,
    encoding: str = "",
    skip_lines: int = 0,
) -> LabelSet:
    """Read labels in whichever of the three layouts the first row shows; case in the names of columns does not count.

    ``ImageID,Source,LabelName,Confidence``: Open Images, one row per image and label. ``image,labels`` (or
    ``image_id,labels``, ``file,labels``): one row per image, labels separated by ``|``, ``;``, ``,`` or spaces,
    whichever of them, in this order, occurs in the file. No header: tuning labels, image id and labels separated by
    spaces.

    Args:
        path: the file.
        machine: further labels, made by a machine, in Open Images' layout.
        descriptions: CSV without header of label code and display name; labels are then called by display name.
        machine_confidence: a machine's label with less than this is ignored.
        encoding: of files without a byte order mark (default: utf-8).
        skip_lines: lines above the header of `path` and `machine`.

    Raises:
        InputError: naming file, row and way out.
    """
    table = Table.file(Path(path), encoding, skip_lines, OPTION)
    header = header_of(table)
    triples = _Triples(str(path))
    names = {name.lower() for name in header}
    if {"imageid", "labelname"} <= names:
        _read_open_images(table, header, triples, machine_confidence, by_machine=False)
    elif "labels" in names:
        image = next((name for name in IMAGE_COLUMNS if name in names), IMAGE_COLUMNS[0])
        columns = [_spelled(column, header, table.name) for column in (image, "labels")]
        _read_lists(table, triples, table_rows(table, columns), None)
    elif len(header) == 2 and header[0].lower() not in HEADERS:
        _read_lists(table, triples, table_rows(table, TUNING, TUNING), " ")
    else:
        problem = f"has the columns {', '.join(header) or 'of no header'}"
        remedy = "give ImageID,Source,LabelName,Confidence, or image,labels, or tuning labels without header"
        raise InputError(problem, file=path, row=1, remedy=remedy)
    if machine is not None:
        further = Table.file(Path(machine), encoding, skip_lines, OPTION)
        _read_open_images(further, header_of(further), triples, machine_confidence, by_machine=True)
    return triples.finish(read_descriptions(descriptions, encoding) if descriptions is not None else {})


def read_descriptions(path: str | Path, encoding: str = "") -> dict[str, str]:
    """Label code -> display name; a name that two codes share gets its code added."""
    names: dict[str, str] = {}
    columns = "code", "name"
    for row, fields in table_rows(Table.file(Path(path), encoding, option=OPTION), columns, columns):
        code, name = (read_label(text, what, (str(path), row)) for text, what in zip(fields, columns, strict=True))
        if not code or not name:
            raise InputError("code or name is empty", file=path, row=row, remedy="mend or delete the row")
        names[code] = name
    shared = {name for name, number in Counter(names.values()).items() if number > 1}
    return {code: f"{name} ({code})" if name in shared else name for code, name in names.items()}


def _spelled(column: str, header: Sequence[str], file: str) -> str:
    """A column as the header spells it, in whichever case."""
    alike = list(dict.fromkeys(name for name in header if name.lower() == column.lower()))
    if len(alike) > 1:
        problem = f"columns {alike[0]!r} and {alike[1]!r} differ in case alone"
        raise InputError(problem, file=file, row=1, remedy="rename or delete one of them")
    return alike[0] if alike else column


class _Triples:
    """Collects (image, label, verdict) and makes one verdict of what is said twice."""

    def __init__(self, source: str):
        self.source = source
        self.images: dict[str, int] = {}
        self.classes: dict[str, int] = {}
        self.first_rows: list[int] = []
        self.columns = array("q"), array("q"), array("b"), array("b")  # image, label, verdict, by a machine
        self.unsure = 0

    def image(self, name: str, row: int, file: str) -> int:
        if not name:
            raise InputError("image is empty", file=file, row=row, remedy="mend or delete the row")
        if name not in self.images:
            self.images[name] = len(self.images)
            self.first_rows.append(row)
        return self.images[name]

    def add(self, image: int, label: str, verdict: int, by_machine: bool) -> None:
        values = image, self.classes.setdefault(label, len(self.classes)), verdict, by_machine
        for column, value in zip(self.columns, values, strict=True):
            column.append(value)

    def finish(self, descriptions: Mapping[str, str]) -> LabelSet:
        if not self.images:
            raise InputError("lists no image", file=self.source, remedy="check that the download is complete")
        image, label, verdict, by_machine = (np.array(column) for column in self.columns)
        shape = len(self.images), max(1, len(self.classes))
        pairs, where, counts = np.unique(image * shape[1] + label, return_inverse=True, return_counts=True)
        present, absent, guessed = (
            np.bincount(where, weights=chosen, minlength=len(pairs)) > 0
            for chosen in ((verdict > 0) & (by_machine == 0), verdict < 0, (verdict > 0) & (by_machine == 1))
        )
        contradictory = present & absent
        decided = np.where(present | (guessed & ~absent), 1, -1) * ~contradictory
        kept = np.flatnonzero(decided)
        values = csr_array((decided[kept].astype(np.int8), np.divmod(pairs[kept], shape[1])), shape=shape)
        notes = [
            f"{number} {what}"
            for number, what in (
                (int((counts - 1).sum()), "repeated labels were merged"),
                (int(contradictory.sum()), "labels are both present and absent, and count as unknown"),
                (int((guessed & (present | absent)).sum()), "labels of a machine gave way to people's"),
                (self.unsure, "labels of a machine are below the confidence asked for"),
                (int((decided < 0).sum()), "labels are verified absent"),
                (len(set(self.classes) - set(descriptions)) if descriptions else 0, "labels have no description"),
            )
            if number
        ]
        classes = tuple(descriptions.get(code, code) for code in self.classes)
        return LabelSet(tuple(self.images), classes, values, self.source, tuple(self.first_rows), tuple(notes))


def _read_open_images(
    table: Table, header: Sequence[str], triples: _Triples, least: float, *, by_machine: bool
) -> None:
    columns = [_spelled(column, header, table.name) for column in ("ImageID", "LabelName", "Confidence", "Source")]
    columns = columns if columns[-1] in header else columns[:-1]
    for row, (image, code, said, *source) in table_rows(table, columns):
        try:
            confidence = float(said)
        except ValueError:
            confidence = -1.0
        if not 0.0 <= confidence <= 1.0:
            problem = f"confidence {said!r} is not a number from 0 to 1"
            raise InputError(problem, file=table.name, row=row, remedy="mend or delete the row")
        label = code if code in triples.classes else _label(code, table, row)
        number = triples.image(trimmed(image), row, table.name)
        guessed = by_machine or source == ["machine"] or 0.0 < confidence < 1.0
        if guessed and confidence < least:
            triples.unsure += 1
        else:
            triples.add(number, label, 1 if confidence > 0 else -1, guessed)


def _label(text: str, table: Table, row: int) -> str:
    label = read_label(text, "label", (table.name, row))
    if is_missing(label):
        problem, remedy = ("label is empty", "mend or delete the row") if not label else (
            f"label {label!r} stands for a missing value", "leave the field empty where an image has no label"
        )  # fmt: skip
        raise InputError(problem, file=table.name, row=row, remedy=remedy)
    return label


def _read_lists(
    table: Table, triples: _Triples, rows: Iterator[tuple[int, tuple[str, ...]]], separator: str | None
) -> None:
    records = [(row, trimmed(image), trimmed(labels)) for row, (image, labels) in rows]
    for row, _, labels in records:
        if LITERAL.fullmatch(labels):
            problem, remedy = f"labels {quoted(labels)} are a list as programs write it", "join them by |, such as a|b"
            raise InputError(problem, file=table.name, row=row, remedy=f"{remedy}, and leave the field of none empty")
    if separator is None:
        separator = next((s for s in SEPARATORS if any(s in labels for *_, labels in records)), " ")
    first: dict[str, tuple[str, int]] = {}
    for row, image, labels in records:
        if image in triples.images:
            problem = f"image {image!r} is listed twice"
            raise InputError(problem, file=table.name, row=row, remedy="join its labels in one row")
        number = triples.image(image, row, table.name)
        for text in labels.split(separator):
            if trimmed(text):
                label = _label(text, table, row)
                first.setdefault(label, (table.name, row))
                triples.add(number, label, 1, False)
    one_spelling(first, "label", remedy="so that they are one label")
