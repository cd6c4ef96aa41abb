"""FairFace in its official layout: ``train/``, ``val/`` and ``fairface_label_{train,val}.csv``.

Karkkainen & Joo, "FairFace: Face Attribute Dataset for Balanced Race, Gender, and Age", WACV 2021 (CC BY 4.0).
The labels are the perception of annotators, not self-identified.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bias_jax.data.attributes import Attribute
from bias_jax.data.dataset import FaceDataset
from bias_jax.errors import InputError

RACE = Attribute(
    "race", ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern")
)
AGE = Attribute("age", ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"))
GENDER = Attribute("gender", ("Female", "Male"))
ATTRIBUTES = (RACE, AGE, GENDER)

SPLITS = {"train": ("train",), "val": ("val",), "both": ("train", "val")}
_MONTHS = {"mar": 3, "sep": 9, "oct": 10}


def read_fairface(
    directory: str | Path,
    *,
    splits: str = "train",
    skip_unreadable: bool = False,
    repair_labels: bool = False,
) -> FaceDataset:
    """Read labels and check that every listed image exists; images are decoded later.

    Args:
        directory: folder with the CSV files and the image folders, or one prepared by `fairface_tfds`.
        splits: ``train``, ``val`` or ``both``.
        skip_unreadable: leave out listed images that are absent, and say how many.
        repair_labels: accept ages that a spreadsheet turned into dates (``Oct-19`` for ``10-19``).

    Raises:
        InputError: naming file, row and way out, for anything that is not as it should be.
    """
    root = Path(directory)
    if not root.is_dir():
        raise InputError("no such directory", file=root, remedy="give the folder that holds fairface_label_train.csv")
    if (root / "dataset_info.json").exists():  # prepared by TensorFlow Datasets, whose import takes a second
        from bias_jax.data.fairface_tfds import read_prepared

        return read_prepared(root, splits=splits)
    columns: dict[str, list[int]] = {a.name: [] for a in ATTRIBUTES}
    names: list[str] = []
    rows: list[int] = []
    absent: list[str] = []
    repaired: Counter[str] = Counter()
    seen: dict[str, int] = {}
    tables = [root / f"fairface_label_{split}.csv" for split in SPLITS[splits]]
    for table in tables:
        for row, record in _records(table):
            name = record["file"]
            _check_inside(root, name, table, row)
            if name in seen:
                raise InputError(
                    f"image {name!r} is listed twice", file=table, row=row, remedy="delete one of the rows"
                )
            seen[name] = row
            encoded = {}
            for attribute in ATTRIBUTES:
                encoded[attribute.name] = _encode(
                    attribute, record[attribute.name], table, row, repair_labels, repaired
                )
            if not (root / name).is_file():
                if not skip_unreadable:
                    remedy = "restore the file, delete its row, or pass --skip-unreadable"
                    raise InputError(f"image {name!r} is listed but absent", file=table, row=row, remedy=remedy)
                absent.append(name)
                continue
            for key, value in encoded.items():
                columns[key].append(value)
            names.append(name)
            rows.append(row)
    if not names:
        raise InputError("no usable image is listed", file=tables[0], remedy="check that the download is complete")
    notes = [f"{count} labels {text!r} read as the age a spreadsheet mangled" for text, count in repaired.items()]
    if absent:
        notes.append(f"{len(absent)} listed images are absent and were skipped, the first {absent[0]!r}")
    return FaceDataset(
        name="fairface",
        attributes=ATTRIBUTES,
        labels={key: np.array(values, dtype=np.int32) for key, values in columns.items()},
        image_names=tuple(names),
        rows=tuple(rows),
        read_bytes=lambda i: (root / names[i]).read_bytes(),
        source=str(root),
        notes=tuple(notes),
    )


def _records(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a label file with their line numbers (the header is row 1)."""
    needed = ("file", *(a.name for a in ATTRIBUTES))
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [column for column in needed if column not in (reader.fieldnames or ())]
            if missing:
                found = ", ".join(reader.fieldnames or ()) or "nothing"
                problem = f"column {missing[0]!r} is missing (found: {found})"
                raise InputError(problem, file=table, row=1, remedy="use the official label file")
            for record in reader:
                if any(record[column] is None for column in needed) or None in record:
                    problem = f"expected {len(reader.fieldnames or ())} fields"
                    raise InputError(problem, file=table, row=reader.line_num, remedy="mend or delete the row")
                yield reader.line_num, record
    except FileNotFoundError:
        raise InputError("no such file", file=table, remedy="put FairFace's label file there") from None
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise InputError(
            f"cannot be read as CSV in UTF-8 ({error})", file=table, remedy="use the official label file"
        ) from None


def _check_inside(root: Path, name: str, table: Path, row: int) -> None:
    try:
        inside = bool(name) and (root / name).resolve().is_relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError):  # null bytes, link loops, names too long
        inside = False
    if not inside:
        remedy = "list only images below the data directory"
        raise InputError(f"path {name!r} leaves the data directory", file=table, row=row, remedy=remedy)


def _encode(attribute: Attribute, text: str, table: Path, row: int, repair: bool, repaired: Counter[str]) -> int:
    if text in attribute.categories:
        return attribute.categories.index(text)
    original = unmangle_age(text) if attribute is AGE else None
    if original is not None and repair:
        repaired[text] += 1
        return attribute.categories.index(original)
    if original is not None:
        problem = f"age {text!r} is {original!r} after a spreadsheet took it for a date"
        raise InputError(problem, file=table, row=row, remedy="use the official file, or pass --repair-labels")
    problem = f"{attribute.name} {text!r} is not one of {', '.join(attribute.categories)}"
    raise InputError(problem, file=table, row=row, remedy="correct the label or delete the row")


def unmangle_age(text: str) -> str | None:
    """``03-Sep``, ``9-Mar`` -> ``3-9``; ``Oct-19``, ``19-Oct`` -> ``10-19``; anything else -> None."""
    match = re.fullmatch(r"(\d{1,2})-([A-Za-z]{3})|([A-Za-z]{3})-(\d{1,2})", text.strip())
    if match is None:
        return None
    day, month = int(match[1] or match[4]), _MONTHS.get((match[2] or match[3]).lower(), 0)
    return {frozenset((3, 9)): "3-9", frozenset((10, 19)): "10-19"}.get(frozenset((day, month)))
