"""The data set that a configuration asks for, and what to say about it."""

from pathlib import Path

import numpy as np

from bias_jax.data import (
    Attribute,
    CalibrationConfig,
    FaceDataset,
    FolderImages,
    Table,
    balanced_subset,
    calibration_faces,
    infer_categories,
    read_fairface,
    read_table,
    read_utkface,
)
from bias_jax.errors import InputError
from experiments.config import DataConfig

DESCRIPTIONS = {
    "calibration": "Self-test on drawn faces with planted attributes: it shows that the tool recovers what was "
    "planted and finds nothing in the null attribute. It says nothing about people.",
    "fairface": "FairFace labels are the perception of annotators, not self-identification.",
    "utkface": "UTKFace ages are estimates, and its races are not those of FairFace.",
    "table": "Who assigned these labels, and how, belongs beside every number.",
}


def read_dataset(config: DataConfig) -> FaceDataset:
    """The balanced subset that is audited."""
    if config.data == "calibration":
        planted = CalibrationConfig(per_group=config.per_group or CalibrationConfig.per_group)
        return calibration_faces(planted, config.seed)
    if config.data == "utkface":
        dataset = read_utkface(config.data_dir)
    elif config.data == "table":
        dataset = read_user_table(config)
    else:
        dataset = read_fairface(
            config.data_dir,
            splits=config.splits,
            padding=config.padding,
            skip_unreadable=config.skip_unreadable,
            repair_labels=config.repair_labels,
        )
    return balanced_subset(dataset, config.per_group or 128, config.seed)


def read_user_table(config: DataConfig) -> FaceDataset:
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
        FolderImages(Path(config.data_dir or path.parent)),
        attributes,
        name="table",
        image_column=config.image_column,
        skip_unreadable=config.skip_unreadable,
    )


def fold_notes(dataset: FaceDataset, folds: int) -> list[str]:
    """What a reader must know about groups that are empty or smaller than the number of folds."""
    counts = np.bincount(dataset.group_labels, minlength=dataset.groups.size)
    notes = []
    for what, chosen in (
        ("have no images", counts == 0),
        (f"have fewer images than the {folds} folds, so some folds lack them", (counts > 0) & (counts < folds)),
    ):
        if chosen.any():
            first = dataset.groups.classes[int(np.flatnonzero(chosen)[0])]
            notes.append(f"{chosen.sum()} of {len(counts)} groups {what}, the first {first!r}")
    return notes
