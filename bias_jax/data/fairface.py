"""FairFace from every form people have: official folders, official zip, parquet of the hub, TensorFlow Datasets.

Karkkainen & Joo, "FairFace: Face Attribute Dataset for Balanced Race, Gender, and Age", WACV 2021 (CC BY 4.0).
The labels are the perception of annotators, not self-identification.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bias_jax.data.attributes import Attribute
from bias_jax.data.dataset import FaceDataset
from bias_jax.data.labels import LabelRules
from bias_jax.data.stores import FolderImages, ImageStore, ZipImages
from bias_jax.data.table import read_table
from bias_jax.data.text_files import Table
from bias_jax.errors import InputError

RACE = Attribute(
    "race", ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern")
)
AGE = Attribute(
    "age", ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"), ordinal=True
)
GENDER = Attribute("gender", ("Female", "Male"))
ATTRIBUTES = (RACE, AGE, GENDER)

SPLITS = {"train": ("train",), "val": ("val",), "both": ("train", "val")}
_MONTHS = {"mar": 3, "sep": 9, "oct": 10}


def read_fairface(
    path: str | Path,
    *,
    splits: str = "train",
    padding: str = "0.25",
    rules: LabelRules = LabelRules(),  # noqa: B008 - frozen
    group_column: str = "",
    encoding: str = "",
    skip_lines: int = 0,
    skip_unreadable: bool = False,
    repair_labels: bool = False,
    on_problem: Callable[[InputError], None] | None = None,
) -> FaceDataset:
    """Read labels and check that every listed image exists; images are decoded later.

    Args:
        path: a folder with the label CSVs and ``train/``, ``val/`` or the official zip; that zip itself, with the
            CSVs inside or beside it; a folder of parquet files (or of the two paddings, with such files); or a
            folder prepared by `fairface_tfds`.
        splits: ``train``, ``val`` or ``both``.
        padding: ``0.25`` or ``1.25``, where the path holds both.
        rules: for labels that are no clean categories.
        group_column: column of the CSVs that tells who is on each image, if there is one.
        encoding: of CSVs without a byte order mark (default: utf-8).
        skip_lines: lines above the header of the CSVs.
        skip_unreadable: leave out listed images that are absent, and say how many.
        repair_labels: accept ages that a spreadsheet turned into dates (``Oct-19`` for ``10-19``).
        on_problem: called with each defective row instead of raising (CSV forms).

    Raises:
        InputError: naming file, row and way out, for anything that is not as it should be.
    """
    root = Path(path)
    if not root.exists():
        remedy = "give the folder that holds fairface_label_train.csv"
        raise InputError("no such file or directory", file=root, remedy=remedy)
    prepared, parquet = (root / "dataset_info.json").exists(), _parquet_folder(root, padding)
    if group_column and (prepared or parquet):
        problem = f"holds no label CSV, in which a column {group_column!r} could stand"
        raise InputError(problem, file=root, remedy="leave --group-column out, or give FairFace's folders and CSVs")
    if prepared:  # prepared by TensorFlow Datasets, whose import takes a second
        from bias_jax.data.fairface_tfds import read_prepared

        return read_prepared(root, splits=splits)
    if parquet:
        from bias_jax.data.fairface_parquet import read_parquet

        return read_parquet(parquet, splits=splits, rules=rules)
    tables, images = _official_form(root, SPLITS[splits])
    return read_table(
        [replace(table, encoding=encoding, skip_lines=skip_lines) for table in tables],
        images,
        ATTRIBUTES,
        name="fairface",
        group_column=group_column,
        rules=rules,
        restore=lambda attribute, label: unmangle_age(label) if attribute is AGE else None,
        repair_labels=repair_labels,
        skip_unreadable=skip_unreadable,
        on_problem=on_problem,
    )


def _parquet_folder(root: Path, padding: str) -> Path | None:
    for folder in (root, root / padding):
        if folder.is_dir() and any(folder.glob("train-*.parquet")):
            return folder
    return None


def _official_form(root: Path, splits: tuple[str, ...]) -> tuple[list[Table], ImageStore]:
    """Label tables and images of a folder, or of a zip with its labels inside or beside it."""
    names = [f"fairface_label_{split}.csv" for split in splits]
    if root.is_dir():
        archives = sorted(root.glob("*.zip"))
        unpacked = any((root / split).is_dir() for split in splits)
        images: ImageStore = ZipImages(archives[0]) if len(archives) == 1 and not unpacked else FolderImages(root)
        return [Table.file(root / name) for name in names], images
    archive = ZipImages(root)
    tables = [
        Table(f"{root}/{name}", lambda name=name: archive.read(name))  # type: ignore[misc]
        if archive.contains(name)
        else Table.file(root.parent / name)
        for name in names
    ]
    return tables, archive


def unmangle_age(text: str) -> str | None:
    """``03-Sep``, ``9-Mar`` -> ``3-9``; ``Oct-19``, ``19-Oct`` -> ``10-19``; anything else -> None."""
    match = re.fullmatch(r"(\d{1,2})-([A-Za-z]{3})|([A-Za-z]{3})-(\d{1,2})", text.strip())
    if match is None:
        return None
    day, month = int(match[1] or match[4]), _MONTHS.get((match[2] or match[3]).lower(), 0)
    return {frozenset((3, 9)): "3-9", frozenset((10, 19)): "10-19"}.get(frozenset((day, month)))
