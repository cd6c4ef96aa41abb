"""FairFace as parquet files with embedded images (the layout of HuggingFaceM4/FairFace, and copies of it).

Labels are text, or integers in an order of their own: their names are taken from the schema's metadata, never assumed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from bias_jax.data.attributes import Attribute
from bias_jax.data.dataset import FaceDataset
from bias_jax.data.label_columns import LabelColumn, complete_rows
from bias_jax.data.labels import LabelRules
from bias_jax.data.parquet_files import ParquetFile, is_bytes, is_picture, label_text
from bias_jax.errors import InputError

IMAGE_COLUMNS = ("image", "img", "picture", "photo", "file", "jpg", "png")
FILE_COLUMNS = ("file", "file_name", "filename", "path")  # official names of the images
OTHER_NAMES = {"gender": ("sex",)}  # of attributes


def read_parquet(
    shards: Mapping[str, Sequence[Path]],
    attributes: Sequence[Attribute],
    source: Path,
    rules: LabelRules = LabelRules(),  # noqa: B008 - frozen
) -> FaceDataset:
    """Read labels and the encoded images, which are held in memory.

    Args:
        shards: split -> its files in their order.
        attributes: what the labels are.
        source: the folder that was given, for messages.
        rules: for labels that are no clean categories.

    Raises:
        InputError: naming file and row.
    """
    columns = [LabelColumn(attribute, rules) for attribute in attributes]
    numbers: list[list[int]] = [[] for _ in columns]
    names: dict[str, None] = {}
    encoded: list[bytes] = []
    rows: list[int] = []
    for split, files in shards.items():
        before = len(names)
        for file in files:
            table = _Shard(file, attributes)
            for column, mine in zip(columns, numbers, strict=True):
                mine += table.labels(column)
            for row, (path, data) in enumerate(table.images(), start=1):
                # Rows without a name are in the order of the official file numbers, which have no gaps.
                name = f"{split}/{path or f'{len(names) - before + 1}.jpg'}"
                if name in names:
                    problem = f"image {name!r} is there twice"
                    raise InputError(problem, file=file, row=row, remedy="remove files that overlap")
                names[name] = None
                encoded.append(data)
                rows.append(row)
    texts, listed = np.array(numbers, np.int64), list(names)
    kept, told = complete_rows(columns, texts, str(source))
    finished = [column.finish(mine) for column, mine in zip(columns, texts[:, kept], strict=True)]
    return FaceDataset(
        name="fairface",
        attributes=tuple(attributes),
        labels={attribute.name: codes for attribute, codes, _ in finished},
        image_names=tuple(listed[i] for i in kept),
        rows=tuple(rows[i] for i in kept),
        read_bytes=lambda i: encoded[kept[i]],
        source=str(source),
        notes=(*(note for *_, changed in finished for note in changed), *told),
    )


class _Shard:
    """One file: which of its columns hold what, and their values."""

    def __init__(self, file: Path, attributes: Sequence[Attribute]):
        self.file, self.parquet = file, ParquetFile(file)
        schema, rows = self.parquet.schema, self.parquet.rows
        if rows > file.stat().st_size:  # each row has a picture: a file of many more rows than bytes is an attack
            raise InputError(f"says that it has {rows:,} rows", file=file, remedy="download it again")
        self.names = self.parquet.names
        self.image = self._image_column(schema)
        self.label_columns = {a.name: self._label_columns(a.name) for a in attributes}
        paths = [name for name in self.names if name.casefold() in FILE_COLUMNS and name != self.image]
        self.path = paths[0] if paths else None
        wanted = [self.image, *paths[:1], *(name for names in self.label_columns.values() for name in names)]
        if twice := [name for name in wanted if self.names.count(name) > 1]:
            raise InputError(f"column {twice[0]!r} is there twice", file=file, remedy="leave one of them")
        self.values: dict[str, list] = {name: [] for name in wanted}
        for batch in self.parquet.batches(wanted):
            for name in wanted:
                self.values[name] += batch.column(name).to_pylist()

    def _image_column(self, schema: pa.Schema) -> str:
        """The column of encoded images: bytes, or the hub's pair of bytes and path."""
        found = [
            field.name
            for field in schema
            if is_picture(field.type) or (is_bytes(field.type) and field.name.casefold() in IMAGE_COLUMNS)
        ]
        usual = [name for name in found if name.casefold() == "image"]
        if len(usual or found) == 1:
            return (usual or found)[0]
        problem = f"columns {' and '.join(map(repr, found))} hold images" if found else "no column holds images"
        remedy = "leave one, and call it image" if found else "use files with the images inside, in a column image"
        raise InputError(f"{problem} (found: {', '.join(self.names)})", file=self.file, remedy=remedy)

    def _label_columns(self, attribute: str) -> list[str]:
        """Columns called as an attribute, in any case, with or without a word that says that it is one."""
        called = {
            name
            for word in (attribute, *OTHER_NAMES.get(attribute, ()))
            for name in (word, f"{word}_label", f"{word}_labels", f"label_{word}", f"{word}_group", f"{word}_class")
        }
        found = [name for name in self.names if name.casefold() in called and name != self.image]
        if not found:
            problem = f"column {attribute!r} is missing (found: {', '.join(self.names)})"
            raise InputError(problem, file=self.file, remedy=f"rename the column of the labels to {attribute}")
        return found

    def labels(self, column: LabelColumn) -> list[int]:
        """Numbers of the texts in a column of labels; columns that say the same thing twice must agree."""
        columns = self.label_columns[column.name]
        told = [name for name in columns if not self._unnamed_numbers(name)]
        if not told:
            remedy = "use a file whose metadata name the classes; their order cannot be guessed"
            problem = f"does not say what the integers of {columns[0]!r} mean"
            raise InputError(problem, file=self.file, remedy=remedy)
        first, *others = [self._numbers(name, column) for name in told]
        for name, other in zip(told[1:], others, strict=True):
            for row, (one, two) in enumerate(zip(first, other, strict=True), start=1):
                if column.category(one) != column.category(two):
                    problem = f"columns {told[0]!r} and {name!r} disagree"
                    raise InputError(problem, file=self.file, row=row, remedy="remove the wrong column")
        return first

    def _unnamed_numbers(self, column: str) -> bool:
        values = self.values[column]
        return self.parquet.class_names(column) is None and any(isinstance(v, int | float) for v in values)

    def _numbers(self, name: str, column: LabelColumn) -> list[int]:
        names = self.parquet.class_names(name) or []
        return [
            column.number(label_text(value, names), (str(self.file), row))
            for row, value in enumerate(self.values[name], start=1)
        ]

    def images(self) -> list[tuple[str, bytes]]:
        """File name (empty if unknown) and encoded image of every row."""
        found = []
        for i, value in enumerate(self.values[self.image]):
            data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
            if not isinstance(data, bytes) or not data:
                raise InputError("holds no image bytes", file=self.file, row=i + 1, remedy="download the file again")
            if not isinstance(path, str) and self.path is not None:
                path = self.values[self.path][i]
            found.append((PurePosixPath(path.replace("\\", "/")).name if isinstance(path, str) else "", data))
        return found
