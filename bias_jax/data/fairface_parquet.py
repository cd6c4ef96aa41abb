"""FairFace as parquet files with embedded images (the layout of HuggingFaceM4/FairFace).

Labels are integers in an order of their own; their names are taken from the schema's metadata, never assumed.
"""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bias_jax.data.dataset import FaceDataset
from bias_jax.data.label_columns import LabelColumn, complete_rows
from bias_jax.data.labels import LabelRules
from bias_jax.errors import InputError

_FILE_PREFIX = {"train": "train", "val": "validation"}


def read_parquet(folder: Path, *, splits: str, rules: LabelRules) -> FaceDataset:
    """Read ``train-*.parquet`` and ``validation-*.parquet``; the encoded images are held in memory."""
    from bias_jax.data.fairface import ATTRIBUTES, SPLITS

    columns = [LabelColumn(attribute, rules) for attribute in ATTRIBUTES]
    numbers: list[list[int]] = [[] for _ in columns]
    names: list[str] = []
    encoded: list[bytes] = []
    rows: list[int] = []
    for split in SPLITS[splits]:
        files = sorted(folder.glob(f"{_FILE_PREFIX[split]}-*.parquet"))
        if not files:
            raise InputError(f"no {_FILE_PREFIX[split]}-*.parquet", file=folder, remedy="download that split")
        before = len(names)
        for file in files:
            table = _load(file, [a.name for a in ATTRIBUTES])
            for column, mine in zip(columns, numbers, strict=True):
                mine += _numbers(table, column, file)
            for row, image in enumerate(table.column("image").to_pylist(), start=1):
                if not isinstance(image, dict) or not image.get("bytes"):
                    raise InputError("holds no image bytes", file=file, row=row, remedy="download the file again")
                number = len(names) - before + 1  # rows are in the order of the official file numbers, without gaps
                names.append(_official_name(image.get("path"), split, number))
                encoded.append(image["bytes"])
                rows.append(row)
    if len(set(names)) < len(names):
        raise InputError("an image is listed twice", file=folder, remedy="remove files that overlap")
    texts = np.array(numbers, np.int64)
    kept, told = complete_rows(columns, texts, str(folder))
    finished = [column.finish(mine) for column, mine in zip(columns, texts[:, kept], strict=True)]
    return FaceDataset(
        name="fairface",
        attributes=ATTRIBUTES,
        labels={attribute.name: codes for attribute, codes, _ in finished},
        image_names=tuple(names[i] for i in kept),
        rows=tuple(rows[i] for i in kept),
        read_bytes=lambda i: encoded[kept[i]],
        source=str(folder),
        notes=(*(note for *_, changed in finished for note in changed), *told),
    )


def _load(file: Path, labels: list[str]) -> pa.Table:
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"cannot be read as parquet ({reason})", file=file, remedy="download it again") from None
    for column in ("image", *labels):
        if column not in table.column_names:
            raise InputError(f"column {column!r} is missing", file=file, remedy="use the files of the hub's data set")
    return table


def _numbers(table: pa.Table, column: LabelColumn, file: Path) -> list[int]:
    """What each row has in a column of labels: text, or integers whose names the metadata tell."""
    values = table.column(column.name).to_pylist()
    texts = [text for text in values if isinstance(text, str)]
    stored = [] if texts else _class_names(table.schema.metadata or {}, column.name)
    if stored is None:
        remedy = "use a file whose metadata name the classes; their order cannot be guessed"
        raise InputError(f"does not say what the integers of {column.name!r} mean", file=file, remedy=remedy)
    return [column.number(_text(value, stored), (str(file), row)) for row, value in enumerate(values, start=1)]


def _text(value: object, names: list[str]) -> str:
    """The label that a value is; -1 is how the hub's data sets say that there is none."""
    if value is None or value == -1 or value != value:
        return ""
    if isinstance(value, int | float) and value in range(len(names)):  # whole floats are integers that had gaps
        return names[int(value)]
    return str(value)


def _class_names(metadata: dict[bytes, bytes], column: str) -> list[str] | None:
    try:
        features: Any = json.loads(metadata[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, ValueError, TypeError):
        return None
    return [str(name) for name in names]


def _official_name(path: str | None, split: str, number: int) -> str:
    return f"{split}/{PurePosixPath(path).name if path else f'{number}.jpg'}"
