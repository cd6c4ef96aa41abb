"""What instruments of labelled faces have in common."""

from typing import ClassVar

import numpy as np

from bias_jax.audit import NETWORK, PIXELS, Choice, Context
from bias_jax.data import FaceDataset, balanced_subset
from bias_jax.errors import InputError

PEOPLE = "person of each image"  # array of a `Task`, where persons have several images


class OfFaces:
    """An instrument that measures the audited network, and its pixels, on the faces of the run; see `Instrument`."""

    name: ClassVar[str]
    sources: ClassVar[tuple[str, ...]] = (NETWORK,)
    places: ClassVar[tuple[str, ...]] = ()
    looks: ClassVar[tuple[str, ...]] = ()

    def pictures(self, faces: FaceDataset | None, context: Context) -> FaceDataset:
        return require_faces(self.name, faces)

    def choose(self, available: Choice) -> tuple[str, ...]:
        return (*([PIXELS] if available.pixels else []), *available.layers)


def people_of(dataset: FaceDataset) -> dict[str, np.ndarray]:
    """Person of each image as an array of a `Task`; none where each image shows another one."""
    return {} if dataset.persons is None else {PEOPLE: dataset.persons}


def persons_notes(dataset: FaceDataset) -> list[str]:
    """What is drawn and permuted, where it is not images."""
    if dataset.persons is None:
        return []
    persons = dataset.persons.max() + 1
    return [f"{len(dataset)} images show {persons} persons, which are what is split, drawn and permuted"]


def evenly(dataset: FaceDataset, images: int, seed: int) -> np.ndarray:
    """Rows of about so many images, as many of each group as there are, int, ascending."""
    if len(dataset) <= images:
        return np.arange(len(dataset))
    groups = len(np.unique(dataset.group_labels))
    per_group = max(1, images // groups)
    subset = balanced_subset(dataset, per_group, seed)
    place = {name: i for i, name in enumerate(dataset.image_names)}
    return np.sort(np.array([place[name] for name in subset.image_names]))


def check_folds(dataset: FaceDataset, folds: int) -> None:
    """Refuse data that cannot be parted.

    Raises:
        InputError: fewer images, or fewer persons, than folds.
    """
    number, what = (len(dataset), "images") if dataset.persons is None else (dataset.persons.max() + 1, "persons")
    if number < folds:
        problem = f"has {number} {what}, fewer than the {folds} folds"
        raise InputError(problem, file=dataset.source, remedy=f"add {what}")


def require_faces(instrument: str, faces: FaceDataset | None) -> FaceDataset:
    """The faces of the run.

    Raises:
        InputError: it has none.
    """
    if faces is None:
        remedy = "give labelled images: --data, or faces= from Python"
        raise InputError(f"{instrument} needs labelled faces, and this run has none", remedy=remedy)
    return faces
