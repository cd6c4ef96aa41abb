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
from bias_jax.errors import InputError

_FILE_PREFIX = {"train": "train", "val": "validation"}


def read_parquet(folder: Path, *, splits: str) -> FaceDataset:
    """Read ``train-*.parquet`` and ``validation-*.parquet``; the encoded images are held in memory."""
    from bias_jax.data.fairface import ATTRIBUTES, SPLITS

    columns: dict[str, list[np.ndarray]] = {a.name: [] for a in ATTRIBUTES}
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
            for attribute in ATTRIBUTES:
                columns[attribute.name].append(_by_name(table, attribute.name, attribute.categories, file))
            for row, image in enumerate(table.column("image").to_pylist(), start=1):
                if not isinstance(image, dict) or not image.get("bytes"):
                    raise InputError("holds no image bytes", file=file, row=row, remedy="download the file again")
                number = len(names) - before + 1  # rows are in the order of the official file numbers, without gaps
                names.append(_official_name(image.get("path"), split, number))
                encoded.append(image["bytes"])
                rows.append(row)
    if len(set(names)) < len(names):
        raise InputError("an image is listed twice", file=folder, remedy="remove files that overlap")
    return FaceDataset(
        name="fairface",
        attributes=ATTRIBUTES,
        labels={key: np.concatenate(parts) for key, parts in columns.items()},
        image_names=tuple(names),
        rows=tuple(rows),
        read_bytes=lambda i: encoded[i],
        source=str(folder),
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


def _by_name(table: pa.Table, column: str, categories: tuple[str, ...], file: Path) -> np.ndarray:
    """Category numbers in our order, from text or from integers whose names the metadata tell."""
    values = table.column(column).to_pylist()
    if values and isinstance(values[0], str):
        texts = values
    else:
        stored = _class_names(table.schema.metadata or {}, column)
        if stored is None:
            remedy = "use a file whose metadata name the classes; their order cannot be guessed"
            raise InputError(f"does not say what the integers of {column!r} mean", file=file, remedy=remedy)
        texts = [stored[v] if isinstance(v, int) and 0 <= v < len(stored) else v for v in values]
    for row, text in enumerate(texts, start=1):
        if text not in categories:
            problem = f"{column} {text!r} is not one of {', '.join(categories)}"
            raise InputError(problem, file=file, row=row, remedy="use FairFace's labels")
    return np.array([categories.index(text) for text in texts], dtype=np.int32)


def _class_names(metadata: dict[bytes, bytes], column: str) -> list[str] | None:
    try:
        features: Any = json.loads(metadata[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, ValueError, TypeError):
        return None
    return [str(name) for name in names]


def _official_name(path: str | None, split: str, number: int) -> str:
    return f"{split}/{PurePosixPath(path).name if path else f'{number}.jpg'}"
