"""How the images are parted into groups, and what is counted in them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bias_jax.audit import Stored
from bias_jax.data import Attribute, FaceDataset, Target
from bias_jax.instruments.faces import PEOPLE
from bias_jax.instruments.predictions.classes import class_names, family_members
from bias_jax.randomness import stable_hash

DRAWN = "drawn image of each person"  # array of the task: its row, int [K]
EVERYONE = "all images"  # the view that does not part them
CLASS, FAMILY = "class", "family"


class View(NamedTuple):
    """One way to part the images: not at all, by an attribute, by all together."""

    name: str
    groups: np.ndarray  # group of each image, int [n]
    names: tuple[str, ...]  # of the groups G; empty ones are left out
    people: np.ndarray | None = None  # person of each image, 0 to K - 1, int [n]; None: all differ
    drawn: np.ndarray | None = None  # a row of each person, int [K]

    def units(self) -> tuple[np.ndarray, np.ndarray]:
        """What is counted in each group: images, or persons with images there.

        Returns:
            Unit of each image int [n], group of each unit int [U].
        """
        if self.people is None:
            return np.arange(len(self.groups)), self.groups
        pairs, unit = np.unique(np.stack([self.groups, self.people]), axis=1, return_inverse=True)
        return unit.reshape(-1), pairs[0]


class Event(NamedTuple):
    """Something that a network can say of an image."""

    kind: str  # CLASS or FAMILY
    label: str
    top: int  # the label is counted if it is among so many most probable ones
    hits: np.ndarray  # bool [n]


class Said(NamedTuple):
    """What a network said of all images."""

    names: tuple[str, ...]  # of its classes C
    classes: np.ndarray  # int [n, k], most probable first
    confidence: np.ndarray  # probability of the first, [n]
    entropy: np.ndarray  # bits, [n]


def said(stored: Stored) -> Said:
    """What was stored of the output."""
    (layer,) = stored.layers
    found = stored.load(layer.name)
    names = class_names(stored.facts["classes"], layer.features, stored.run["weights"])
    return Said(names, found["classes"], found["probabilities"][:, 0].astype(float), found["entropy"].astype(float))


def views_of(stored: Stored) -> list[View]:
    """All images, each attribute, and their intersection."""
    attributes = [Attribute(name, tuple(categories)) for name, categories in stored.facts["attributes"]]
    images = len(next(iter(stored.arrays.values())))
    persons = stored.arrays.get(PEOPLE), stored.arrays.get(DRAWN)
    found = [View(EVERYONE, np.zeros(images, int), (EVERYONE,), *persons)]
    targets = [Target((a,)) for a in attributes]
    if len(attributes) > 1:
        targets.append(Target(tuple(attributes)))
    for target in targets:
        occurring, groups = np.unique(target.encode(stored.arrays), return_inverse=True)
        found.append(View(target.name, groups, tuple(target.classes[g] for g in occurring), *persons))
    return found


def drawn_images(dataset: FaceDataset, seed: int) -> np.ndarray:
    """A row of each person, int [K]: the image with the first of the hashes of seed and name."""
    assert dataset.persons is not None
    order = sorted(range(len(dataset)), key=lambda i: stable_hash(seed, "one image a person", dataset.image_names[i]))
    return np.array(order)[np.unique(dataset.persons[order], return_index=True)[1]]


def mean_of_units(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Means [U] of the images of each unit; units int [n], none empty."""
    return np.asarray(np.bincount(units, values) / np.bincount(units))


def reported_classes(first: np.ndarray, min_images: int, max_classes: int) -> list[int]:
    """Classes that are the most probable one for at least `min_images` of the images, the most frequent first."""
    counts = np.bincount(first)
    order = np.argsort(-counts, kind="stable")[:max_classes]
    return [int(c) for c in order if counts[c] >= min_images]


def events_of(answer: Said, families: Mapping[str, Sequence[str]], min_images: int, max_classes: int) -> list[Event]:
    """Reported classes and all families: the most probable class, and among the k most probable ones."""
    members: dict[tuple[str, str], np.ndarray] = {
        (CLASS, answer.names[c]): np.array([c]) for c in reported_classes(answer.classes[:, 0], min_images, max_classes)
    }
    members |= {(FAMILY, name): numbers for name, numbers in family_members(families, answer.names).items()}
    return [
        Event(*name, top, np.asarray(np.isin(answer.classes[:, :top], numbers).any(axis=1)))
        for name, numbers in members.items()
        for top in dict.fromkeys((1, answer.classes.shape[1]))
    ]
