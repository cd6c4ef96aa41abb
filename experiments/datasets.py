"""The data set that a configuration asks for, and what to say about it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from bias_jax.audit import RunConfig
from bias_jax.data import (
    CalibrationConfig,
    FaceDataset,
    LabelRules,
    balanced_subset,
    calibration_faces,
    read_fairface,
    read_utkface,
)
from bias_jax.errors import InputError
from bias_jax.features import Features, open_features
from experiments.user_tables import given_bins, user_table

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
    # images and labels, for --data table: a CSV (separated by , ; tab or |); or parquet as Hugging Face writes it, a
    # file, several parted by commas, or a folder, with the images inside or their paths
    table: str = ""
    # embeddings in the place of pictures, computed anywhere: .npz, .safetensors, .npy, .parquet, or a folder of .npy or
    # .parquet; rows as in --table
    features: str = ""
    id_column: str = ""  # column that tells which row of --features a row of --table is (default: the same order)
    # columns of numbers of a .parquet that are the features (default: columns of lists; or emb_0, emb_1, ...)
    feature_columns: tuple[str, ...] = ()
    # its column of images: their paths, relative to --data-dir, or in parquet the images themselves (default: file; in
    # parquet the only one there is)
    image_column: str = ""
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
        faces = user_table(config, rules, run.skip_unreadable, features)
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
