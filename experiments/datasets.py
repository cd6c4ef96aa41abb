"""The data set that a configuration asks for, and what to say about it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from bias_jax.audit import RunConfig
from bias_jax.data import (
    Attribute,
    CalibrationConfig,
    FaceDataset,
    LabelRules,
    Table,
    balanced_subset,
    calibration_faces,
    open_images,
    read_fairface,
    read_table,
    read_utkface,
)
from bias_jax.data.labels import read_label
from bias_jax.data.numeric_labels import number
from bias_jax.errors import InputError
from bias_jax.features import Features, label_features, open_features

log = logging.getLogger("bias_jax.experiments")
DESCRIPTIONS = {
    "calibration": "Self-test on drawn faces with planted attributes: it shows that the tool recovers what was "
    "planted and finds nothing in the null attribute. It says nothing about people.",
    "fairface": "FairFace labels are the perception of annotators, not self-identification.",
    "utkface": "UTKFace ages are estimates, and its races are not those of FairFace.",
    "table": "Who assigned these labels, and how, belongs beside every number.",
}
# The options that not every data set takes.
TAKERS = {
    "data_dir": ("fairface", "utkface", "table"),
    **dict.fromkeys(("table", "image_column", "attributes", "categories", "bins", "features"), ("table",)),
    **dict.fromkeys(("missing", "merge_case", "group_column", "encoding", "skip_lines"), ("table", "fairface")),
    **dict.fromkeys(("padding", "splits", "repair_labels"), ("fairface",)),
}


def flat(kind: Any) -> Any:
    """A group of options without a prefix of its own."""
    return Annotated[kind, tyro.conf.arg(name="")]


@dataclass(frozen=True)
class DataConfig:
    """Which labelled images."""

    data: Literal["calibration", "fairface", "utkface", "table"] = "calibration"  # which images
    data_dir: str = ""  # folder or zip of the data set; for --data table, of the images (default: the CSV's)
    table: str = ""  # CSV (separated by , ; tab or |) of images and labels, for --data table
    # embeddings in the place of pictures, computed anywhere: .npz, .safetensors, .npy, .parquet, or a folder of .npy or
    # .parquet; rows as in --table
    features: str = ""
    id_column: str = ""  # column that tells which row of --features a row of --table is (default: the same order)
    feature_columns: tuple[
        str, ...
    ] = ()  # columns of a .parquet that are features (default: lists, or emb_0, emb_1 ..)
    image_column: str = "file"  # its column with the images' paths, relative to --data-dir
    attributes: tuple[str, ...] = ()  # its columns with attributes, 1 to 6; their categories are sorted
    categories: tuple[str, ...] = ()  # order of an attribute's categories, e.g. age=young|old,size=s|m|l
    bins: tuple[str, ...] = ()  # categories of a column of numbers, by their first values, e.g. age=0,18,40,65
    missing: Literal["refuse", "drop"] = "refuse"  # where a label is empty, nan, NA ...: end, or leave the image out
    merge_case: bool = False  # labels that differ in case alone are one (male, Male)
    group_column: str = ""  # column of who is on each image, for several images of one person
    encoding: str = ""  # of a table without byte order mark, e.g. cp1252 (default: utf-8)
    skip_lines: int = 0  # lines above the header of a table
    padding: Literal["0.25", "1.25"] = "0.25"  # FairFace crop; refused if names tell only the other
    splits: Literal["train", "val", "both"] = "train"  # FairFace splits to draw from
    per_group: int | None = None  # images per intersectional group at most (default: 128, calibration: 10)
    repair_labels: bool = False  # accept ages that a spreadsheet turned into dates (Oct-19 for 10-19)

    def __post_init__(self) -> None:
        if self.features and self.data == "calibration":  # their labels are in a table anyway
            object.__setattr__(self, "data", "table")
        require({
            "--per-group must be positive": self.per_group is None or self.per_group > 0,
            f"--data {self.data} needs --data-dir": self.data not in ("fairface", "utkface") or bool(self.data_dir),
            "--data table needs --table": self.data != "table" or bool(self.table),
            "--skip-lines must not be negative": self.skip_lines >= 0,
            **{
                f"--{name.replace('_', '-')} is for {' and '.join(f'--data {data}' for data in takers)}": (
                    self.data in takers or getattr(self, name) == getattr(DataConfig, name)
                )
                for name, takers in TAKERS.items()
            },
            "--id-column and --feature-columns are for --features": bool(self.features)
            or not (self.id_column or self.feature_columns),
            "--data-dir and --image-column are for pictures, not for --features": not self.features
            or (not self.data_dir and self.image_column == DataConfig.image_column),
            "--data table needs 1 to 6 --attributes": self.data != "table" or 1 <= len(set(self.attributes)) <= 6,
        })  # fmt: skip


def require(checks: Mapping[str, bool]) -> None:
    """Refuse a configuration: sentence -> whether it is fulfilled.

    Raises:
        InputError: the first that is not.
    """
    for problem, fine in checks.items():
        if not fine:
            raise InputError(problem, remedy="see --help")


def read_features(config: DataConfig, run: RunConfig) -> Features | None:
    """The features in the place of pictures; None if there are none.

    Raises:
        InputError: naming file, layer and way out.
    """
    if not config.features:
        return None
    labels = [*config.attributes, *([config.group_column] if config.group_column else [])]
    return open_features(config.features, layers=run.layers, id_column=config.id_column,
                         columns=config.feature_columns, labels=labels)  # fmt: skip


def read_faces(
    config: DataConfig, run: RunConfig, *, subset: bool = True, features: Features | None = None
) -> FaceDataset:
    """The faces that are audited, or rows of features: a subset with equal groups, or all; says what they are.

    Raises:
        InputError: naming file, row and way out.
    """
    if config.features and features is None:
        raise InputError("--features has no pictures, which this command needs", remedy="use experiments.sweep")
    rules = LabelRules(config.missing, config.merge_case, given_bins(config.bins))
    if config.data == "calibration":
        planted = CalibrationConfig(per_group=config.per_group or CalibrationConfig.per_group)
        faces = calibration_faces(planted, run.seed)
    elif config.data == "utkface":
        faces = read_utkface(config.data_dir)
    elif config.data == "table":
        faces = _user_table(config, rules, run.skip_unreadable, features)
    else:
        faces = read_fairface(
            config.data_dir,
            splits=config.splits,
            padding=config.padding,
            rules=rules,
            group_column=config.group_column,
            encoding=config.encoding,
            skip_lines=config.skip_lines,
            skip_unreadable=run.skip_unreadable,
            repair_labels=config.repair_labels,
        )
    if subset and config.data != "calibration":
        faces = balanced_subset(faces, config.per_group or 128, run.seed)
    log.info("%s: %d images in %d groups. %s", faces.name, len(faces), faces.groups.size, DESCRIPTIONS[config.data])
    return faces


def _user_table(config: DataConfig, rules: LabelRules, skip_unreadable: bool, features: Features | None) -> FaceDataset:
    """Anybody's images: a table with a column of paths and one column per attribute; or labels of features."""
    path = Path(config.table)
    given = given_categories(config.categories)
    for option, names in (("categories", given), ("bins", rules.bins)):
        if unknown := sorted(set(names) - set(config.attributes)):
            remedy = "list it in --attributes as well"
            raise InputError(f"--{option} names {unknown[0]!r}, which is no attribute", remedy=remedy)
    if twice := sorted(set(given) & set(rules.bins)):
        raise InputError(f"{twice[0]!r} has both --categories and --bins", remedy="leave one of them out")
    tables = [Table.file(path, config.encoding, config.skip_lines)]
    attributes = [given.get(name, name) for name in dict.fromkeys(config.attributes)]
    if features is not None:
        return label_features(
            features, tables, attributes, id_column=config.id_column, group_column=config.group_column, rules=rules
        )
    return read_table(
        tables,
        open_images(config.data_dir or path.parent),
        attributes,
        name="table",
        image_column=config.image_column,
        group_column=config.group_column,
        rules=rules,
        skip_unreadable=skip_unreadable,
    )


def given_categories(entries: Sequence[str]) -> dict[str, Attribute]:
    """Attributes with their categories in an order, from ``age=young|old``.

    Raises:
        InputError: an attribute without name or categories, or one of them twice.
    """
    attributes: dict[str, Attribute] = {}
    for entry in entries:
        name, _, text = entry.partition("=")
        categories = tuple(read_label(category, name) for category in text.split("|"))
        if not name or not all(categories) or len(set(categories)) < len(categories) or name in attributes:
            remedy = "give each attribute once, its categories once, such as age=young|old"
            raise InputError(f"--categories cannot be {entry!r}", remedy=remedy)
        attributes[name] = Attribute(name, categories)
    return attributes


def given_bins(entries: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """First values of bins by attribute, from ``age=0``, ``18``, ``income=0``, ``9``: commas part them all alike.

    Raises:
        InputError: no attribute, or what is no number.
    """
    bins: dict[str, tuple[float, ...]] = {}
    name = ""
    for entry in entries:
        before, equals, text = entry.rpartition("=")
        name = before.strip() if equals else name
        value = number(text.strip())
        if not name or value is None or (equals and name in bins):
            raise InputError(f"--bins cannot hold {entry!r}", remedy="give numbers, such as --bins age=0,18,40,65")
        bins[name] = (*bins.get(name, ()), value)
    return bins
