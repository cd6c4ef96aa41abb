"""FairFace from every form people have: official folders, official zip, parquet of the hub, TensorFlow Datasets.

Karkkainen & Joo, "FairFace: Face Attribute Dataset for Balanced Race, Gender, and Age", WACV 2021 (CC BY 4.0).
The labels are the perception of annotators, not self-identification.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bias_jax.data.attributes import Attribute
from bias_jax.data.dataset import FaceDataset
from bias_jax.data.fairface_places import (
    Place,
    SplitImages,
    Survey,
    choose,
    choose_labels,
    image_folders,
    label_files,
    padding_note,
    padding_of,
    survey,
)
from bias_jax.data.labels import LabelRules
from bias_jax.data.listings import LISTS, Folder, below, is_archive, is_picture, packed_inside
from bias_jax.data.shards import choose_shards, fewer_notes, split_of
from bias_jax.data.stores import FolderImages, ImageStore, open_images
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
        path: a folder with label CSVs, ``train/`` and ``val/``, unpacked or in official zips (one padding or both);
            such a zip itself, with the CSVs inside or beside it; a folder of parquet files (one padding or both), also
            in the Hugging Face hub's cache; or a folder prepared by `fairface_tfds`. All may lie some folders deeper.
        splits: ``train``, ``val`` or ``both``.
        padding: ``0.25`` or ``1.25``. If names tell only the other one, it is refused. If they tell none, the images
            are taken as they are, with a note unless it is the default.
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
    found = survey(open_images(root), padding)
    prepared = _prepared(found.folders)
    if group_column and (prepared or _is_parquet(found)):
        problem = f"holds no label CSV, in which a column {group_column!r} could stand"
        raise InputError(problem, file=root, remedy="leave --group-column out, or give FairFace's folders and CSVs")
    if prepared:  # by TensorFlow Datasets, whose import takes a second
        from bias_jax.data.fairface_tfds import read_prepared

        place = choose(prepared, padding, root, "prepared data")
        dataset, places = read_prepared(root / place.path, splits=splits), [place]
    elif _is_parquet(found):
        from bias_jax.data.fairface_parquet import read_parquet

        shards, places = choose_shards(found, SPLITS[splits], padding)
        dataset = read_parquet(shards, ATTRIBUTES, root, rules)
        dataset = replace(dataset, notes=(*dataset.notes, *fewer_notes(shards, dataset.image_names)))
    else:
        tables, images, places = _official_form(found, SPLITS[splits], padding)
        dataset = read_table(
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
    return replace(dataset, notes=(*dataset.notes, *padding_note(places, padding)))


def _prepared(folders: Sequence[Folder]) -> list[Place]:
    return [
        Place(folder.path, padding_of(folder.path))
        for folder in folders
        if "dataset_info.json" in folder.files and (not folder.path or "features.json" in folder.files)
    ]


def _is_parquet(found: Survey) -> bool:
    """Whether there are parquet files of a split, and not labels and images beside them."""
    shards = any(split_of(folder.path, name) for folder in found.folders for name in (*folder.files, *folder.outside))
    official = any(label_files(found.folders, split) and image_folders(found, split) for split in SPLITS["both"])
    return shards and not official


def _official_form(found: Survey, splits: tuple[str, ...], padding: str) -> tuple[list[Table], ImageStore, list[Place]]:
    """Label tables, images, and where these lie."""
    tables: list[Table] = []
    places: list[Place] = []
    folders: dict[str, str] = {}
    root = found.store.source
    files = [below(folder.path, name) for folder in found.folders for name in folder.files]
    packed = [name for name in files if is_archive(name) and not LISTS.fullmatch(name)]
    if packed and not any(map(is_picture, files)) and not found.unopened:
        raise packed_inside(packed[0], root)
    for split in splits:
        images = [*image_folders(found, split), *found.unopened]
        if found.damaged and all(place.padding not in (None, padding) for place in images):
            raise found.damaged[0]
        if images:
            places.append(choose(images, padding, root, "images"))
            folders[split] = places[-1].path
        tables.append(_labels(found, split, folders.get(split, split)))
    return tables, SplitImages(found.store, folders), places


def _labels(found: Survey, split: str, images: str) -> Table:
    """The label file of a split: in the given folder or archive, or beside the archive."""
    root, store = found.store.source, found.store
    files = label_files(found.folders, split)
    if not files and root.is_file():
        store = FolderImages(root.parent)
        files = label_files([next(store.walk(depth=0))], split)
    if files:
        name = choose_labels(files, images, store)
        return Table(f"{store.source}/{name}", lambda: store.read(name))
    if linked := label_files(found.folders, split, linked=True):
        raise InputError(
            f"{linked[0]} is a link that leaves the data directory", file=root, remedy="copy the file there"
        )
    if found.damaged:
        raise found.damaged[0]
    others = [other for other in SPLITS["both"] if label_files(found.folders, other)]
    remedy = f"put the label file there{f', or pass --splits {others[0]}' if others else ''}"
    problem = f"no such file, nor in the folders and archives there (found: {found.store.summary()})"
    raise InputError(problem, file=f"{root}/fairface_label_{split}.csv", remedy=remedy)


def unmangle_age(text: str) -> str | None:
    """``03-Sep``, ``9-Mar`` -> ``3-9``; ``Oct-19``, ``19-Oct`` -> ``10-19``; anything else -> None."""
    match = re.fullmatch(r"(\d{1,2})-([A-Za-z]{3})|([A-Za-z]{3})-(\d{1,2})", text.strip())
    if match is None:
        return None
    day, month = int(match[1] or match[4]), _MONTHS.get((match[2] or match[3]).lower(), 0)
    return {frozenset((3, 9)): "3-9", frozenset((10, 19)): "10-19"}.get(frozenset((day, month)))
