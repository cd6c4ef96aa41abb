"""Tables in parquet files, as the Hugging Face hub has them: any labels, and a column of images.

Numbers of classes are called by the names that the schema's metadata give them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from bias_jax.data.parquet_files import ParquetFile, is_bytes, is_picture, is_text, label_text
from bias_jax.data.shards import in_order, split_of
from bias_jax.errors import InputError

PATHS = (
    "file",
    "file_name",
    "filename",
    "image",
    "image_path",
    "img_path",
    "path",
)  # columns of paths, if none is named


class ParquetTable:
    """Files with the same columns, one after another, as `data.table.Records`."""

    def __init__(self, files: Sequence[ParquetFile], name: str):
        """Check that the files belong together.

        Raises:
            InputError: files whose columns differ.
        """
        self.files, self.name = files, name
        for other in files[1:]:
            if not other.schema.equals(files[0].schema):
                problem = f"has other columns or types than {files[0].path.name}"
                raise InputError(problem, file=other.path, remedy="give files of one data set")

    def kind(self, column: str) -> pa.DataType:
        """Of what a column is."""
        return self.files[0].schema.field(column).type

    def rows(self, needed: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Number of every row, from 1 in all files together, and its text; of a hub's image, its path."""
        row = 0
        for file in self.files:
            for column in needed:
                file.require(column)
            names = {column: file.class_names(column) or [] for column in needed}
            for batch in file.batches(list(dict.fromkeys(needed))):
                texts = [[_text(value, names[c]) for value in batch.column(c).to_pylist()] for c in needed]
                for fields in zip(*texts, strict=True):
                    row += 1
                    yield row, fields

    def image_column(self, asked: str) -> str:
        """The column of images: the one that is asked for, or else the only one of encoded ones, or of paths.

        Raises:
            InputError: no such column, or several.
        """
        file, kinds = self.files[0], {name: self.kind(name) for name in dict.fromkeys(self.files[0].names)}
        if asked:
            file.require(asked)
            if not (is_picture(kinds[asked]) or is_bytes(kinds[asked]) or is_text(kinds[asked])):
                problem = f"column {asked!r} holds no images or paths, but {kinds[asked]}"
                raise InputError(problem, file=file.path, remedy="name another --image-column")
            return asked
        encoded = [name for name, kind in kinds.items() if is_picture(kind) or is_bytes(kind)]
        found = encoded or [name for name, kind in kinds.items() if is_text(kind) and name.casefold() in PATHS]
        if len(found) == 1:
            return found[0]
        problem = f"columns {' and '.join(map(repr, found))} may hold images" if found else "no column holds images"
        remedy = "name theirs by --image-column"
        raise InputError(f"{problem} (found: {', '.join(file.names)})", file=file.path, remedy=remedy)

    def has_images(self, column: str) -> bool:
        """Whether a column of images holds them, not their paths alone; the first image tells."""
        if is_text(self.kind(column)):
            return False
        for file in self.files:
            for batch in file.batches([column], 1):
                first = batch.column(0)[0].as_py()
                return not isinstance(first, dict) or bool(first.get("bytes")) or not first.get("path")
        return True


def parquet_table(given: str) -> ParquetTable | None:
    """The table in parquet files; None if it is in no parquet file.

    Args:
        given: a file, a folder, or several of them, parted by commas; shards of a folder must all be there.

    Raises:
        InputError: a folder without any, a shard that is missing, a file that is damaged.
    """
    parts = [Path(given)] if Path(given).exists() else [Path(part.strip()) for part in given.split(",") if part.strip()]
    if not parts or not all(part.is_dir() or part.suffix == ".parquet" for part in parts):
        return None
    files = [file for part in parts for file in (shards_of(part) if part.is_dir() else [part])]
    return ParquetTable([ParquetFile(file) for file in files], given)


def shards_of(folder: Path) -> list[Path]:
    """The parquet files of a folder: shards of a split in their order, all of them; others by name.

    Raises:
        InputError: there are none, or some shards are missing.
    """
    names = sorted(path.name for path in folder.iterdir() if path.suffix == ".parquet")
    if not names:
        problem = "cannot be read as a table: it is a folder without parquet files"
        raise InputError(problem, file=folder, remedy="give a CSV, parquet files, or their folder")
    splits: dict[str | None, list[str]] = {}
    for name in names:
        splits.setdefault(split_of(folder.name, name), []).append(name)
    ordered = [in_order(own, folder) if split else own for split, own in splits.items()]
    return [folder / name for own in ordered for name in own]


def _text(value: Any, names: Sequence[str]) -> str:
    return label_text(value.get("path") if isinstance(value, dict) else value, names)
