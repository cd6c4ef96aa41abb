"""The data set that a configuration asks for, and what to say about it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from bias_jax.audit import RunConfig
from bias_jax.data import (
    Attribute,
    CalibrationConfig,
    FaceDataset,
    Table,
    balanced_subset,
    calibration_faces,
    infer_categories,
    open_images,
    read_fairface,
    read_table,
    read_utkface,
)
from bias_jax.errors import InputError

log = logging.getLogger("bias_jax.experiments")
DESCRIPTIONS = {
    "calibration": "Self-test on drawn faces with planted attributes: it shows that the tool recovers what was "
    "planted and finds nothing in the null attribute. It says nothing about people.",
    "fairface": "FairFace labels are the perception of annotators, not self-identification.",
    "utkface": "UTKFace ages are estimates, and its races are not those of FairFace.",
    "table": "Who assigned these labels, and how, belongs beside every number.",
}


def flat(kind: Any) -> Any:
    """A group of options without a prefix of its own."""
    return Annotated[kind, tyro.conf.arg(name="")]


@dataclass(frozen=True)
class DataConfig:
    """Which labelled images."""

    data: Literal["calibration", "fairface", "utkface", "table"] = "calibration"  # which images
    data_dir: str = ""  # folder or zip of the data set; for --data table, of the images (default: the CSV's)
    table: str = ""  # CSV of images and labels, for --data table
    image_column: str = "file"  # its column with the images' paths, relative to --data-dir
    attributes: tuple[str, ...] = ()  # its columns with attributes, 1 to 6; their categories are sorted
    categories: tuple[str, ...] = ()  # order of an attribute's categories, e.g. age=young|old,size=s|m|l
    padding: Literal["0.25", "1.25"] = "0.25"  # FairFace crop, where --data-dir holds both
    splits: Literal["train", "val", "both"] = "train"  # FairFace splits to draw from
    per_group: int | None = None  # images per intersectional group at most (default: 128, calibration: 10)
    repair_labels: bool = False  # accept ages that a spreadsheet turned into dates (Oct-19 for 10-19)

    def __post_init__(self) -> None:
        require({
            "--per-group must be positive": self.per_group is None or self.per_group > 0,
            f"--data {self.data} needs --data-dir": self.data not in ("fairface", "utkface") or bool(self.data_dir),
            "--data table needs --table": self.data != "table" or bool(self.table),
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


def read_faces(config: DataConfig, run: RunConfig, *, subset: bool = True) -> FaceDataset:
    """The faces that are audited: a subset with equal groups, or all of them; says what they are.

    Raises:
        InputError: naming file, row and way out.
    """
    if config.data == "calibration":
        planted = CalibrationConfig(per_group=config.per_group or CalibrationConfig.per_group)
        faces = calibration_faces(planted, run.seed)
    elif config.data == "utkface":
        faces = read_utkface(config.data_dir)
    elif config.data == "table":
        faces = _user_table(config, run.skip_unreadable)
    else:
        faces = read_fairface(
            config.data_dir,
            splits=config.splits,
            padding=config.padding,
            skip_unreadable=run.skip_unreadable,
            repair_labels=config.repair_labels,
        )
    if subset and config.data != "calibration":
        faces = balanced_subset(faces, config.per_group or 128, run.seed)
    log.info("%s: %d images in %d groups. %s", faces.name, len(faces), faces.groups.size, DESCRIPTIONS[config.data])
    return faces


def _user_table(config: DataConfig, skip_unreadable: bool) -> FaceDataset:
    """Anybody's images: a CSV with a column of paths and one column per attribute."""
    path = Path(config.table)
    table = Table.file(path)
    given = dict(entry.partition("=")[::2] for entry in config.categories)
    if unknown := set(given) - set(config.attributes):
        remedy = "list it in --attributes as well"
        raise InputError(f"--categories names {sorted(unknown)[0]!r}, which is no attribute", remedy=remedy)
    attributes = []
    for name in config.attributes:
        if name in given:
            attributes.append(Attribute(name, tuple(given[name].split("|"))))
        else:
            attributes.append(infer_categories([table], name))
        if len(attributes[-1].categories) < 2:
            problem = f"attribute {name!r} has only the category {', '.join(attributes[-1].categories)!r}"
            raise InputError(problem, file=path, remedy="choose attributes that vary")
    return read_table(
        [table],
        open_images(config.data_dir or path.parent),
        attributes,
        name="table",
        image_column=config.image_column,
        skip_unreadable=skip_unreadable,
    )
