"""Which images' answers the network is asked for, and what is reported of them.

The images are some that no eraser was fitted to; where persons have several, one of each, so that all are independent.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bias_jax.audit import OUTPUT, Layer, Stored
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError
from bias_jax.instruments.faces import evenly
from bias_jax.instruments.predictions.classes import (
    check_families,
    class_names,
    family_members,
    read_families,
    read_names,
)
from bias_jax.instruments.predictions.views import CLASS, FAMILY, drawn_images, reported_classes
from bias_jax.randomness import stable_hash

ANSWERED = "images whose answers are asked for"  # array of the task: rows int [m]
LEAST = 5  # images for which a reported class is the most probable one


class Asked(NamedTuple):
    """Something that is reported of the answers."""

    kind: str  # CLASS or FAMILY
    label: str
    members: np.ndarray  # numbers of the classes, int


def output_classes(layers: Mapping[str, tuple[Layer, ...]]) -> int:
    """Number of the network's classes; 0: it has none, or they are not asked for."""
    return next((layer.features for own in layers.values() for layer in own if layer.name == OUTPUT), 0)


def answers_wanted(
    dataset: FaceDataset, held_out: np.ndarray, images: int, outputs: int, seed: int
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Array of the task with the rows whose answers are asked for, or what to say where there is nothing to ask.

    Args:
        dataset: the images.
        held_out: rows that no eraser is fitted to.
        images: how many to ask at most, as many of each group as there are; 0: none.
        outputs: classes of the network.
        seed: to draw by.
    """
    if not images:
        return {}, []
    if outputs < 2:
        return {}, ["erasure: there is no output of at least two classes, so what erasing does to it is left out"]
    rows, mine = held_out, dataset.take(held_out)
    if mine.persons is not None:
        drawn = np.sort(drawn_images(mine, seed))
        rows, mine = rows[drawn], mine.take(drawn)
    chosen = evenly(mine, images, seed)
    if len(chosen) > images:  # there are more groups
        rng = np.random.default_rng(stable_hash(seed, "images whose answers are asked for"))
        chosen = np.sort(rng.permutation(chosen)[:images])
    return {ANSWERED: rows[chosen]}, []


def names_given(classes: str, families: Sequence[str], families_file: str, outputs: int) -> dict[str, Any]:
    """Names of classes and families as options give them.

    Raises:
        InputError: they do not fit each other, or the network.
    """
    names = read_names(classes) if classes else ()
    found = read_families(families, families_file)
    check_families(found, names)
    if names and outputs and len(names) != outputs:
        problem = f"names {len(names)} classes, but the network has {outputs} outputs"
        raise InputError(problem, file=classes, remedy="one name a line, in the order of the outputs")
    return {"classes": names, "families": found}


def asked_of(stored: Stored) -> list[Asked]:
    """The classes that the network most often gives to these images, and all families.

    Raises:
        InputError: a family has a class that the network does not have.
    """
    facts: Mapping[str, Any] = stored.facts
    names = class_names(facts["classes"], output_classes(stored.sources), stored.run["weights"])
    most = reported_classes(stored.load(OUTPUT)["predicted"], LEAST, facts["max_classes"])
    found = [Asked(CLASS, names[c], np.array([c])) for c in most]
    return found + [Asked(FAMILY, name, own) for name, own in family_members(facts["families"], names).items()]
