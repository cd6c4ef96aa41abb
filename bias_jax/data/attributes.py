"""Attributes, the targets made of them, and intersectional groups."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

import numpy as np


@dataclass(frozen=True)
class Attribute:
    """A property of people, with its categories in a fixed order."""

    name: str
    categories: tuple[str, ...]
    ordinal: bool = False  # whether neighbours in that order are more alike, as ages are


@dataclass(frozen=True)
class Target:
    """What a probe predicts: a subset of attributes, with the product of their categories as classes.

    Class numbers are mixed radix in the order of the attributes, the last one running fastest.

    >>> race, gender = Attribute("race", ("White", "Black")), Attribute("gender", ("Male", "Female"))
    >>> groups = Target((race, gender))
    >>> groups.classes
    ('White / Male', 'White / Female', 'Black / Male', 'Black / Female')
    >>> groups.encode({"race": np.array([0, 1, 1]), "gender": np.array([1, 0, 1])})
    array([1, 2, 3], dtype=int32)
    >>> groups.decode(np.array([2]))
    {'race': array([1], dtype=int32), 'gender': array([0], dtype=int32)}
    """

    attributes: tuple[Attribute, ...]

    @cached_property
    def name(self) -> str:
        return " x ".join(a.name for a in self.attributes)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Number of categories of each attribute."""
        return tuple(len(a.categories) for a in self.attributes)

    @cached_property
    def size(self) -> int:
        """Number of classes C."""
        return math.prod(self.shape)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names, e.g. ``White / 20-29 / Female``, in the order of their numbers."""
        return tuple(" / ".join(names) for names in product(*(a.categories for a in self.attributes)))

    def encode(self, labels: Mapping[str, np.ndarray]) -> np.ndarray:
        """Class numbers int32 [N] from one int array [N] per attribute."""
        columns = tuple(np.asarray(labels[a.name]) for a in self.attributes)
        return np.ravel_multi_index(columns, self.shape).astype(np.int32)

    def decode(self, classes: np.ndarray) -> dict[str, np.ndarray]:
        """Inverse of `encode`: one int32 array [N] per attribute."""
        columns = np.unravel_index(classes, self.shape)
        return {a.name: column.astype(np.int32) for a, column in zip(self.attributes, columns, strict=True)}


def all_targets(attributes: Sequence[Attribute]) -> tuple[Target, ...]:
    """Every non-empty subset of the attributes: single ones first, the full intersection last.

    >>> attributes = [Attribute(name, ("no", "yes")) for name in ("race", "age", "gender")]
    >>> [target.name for target in all_targets(attributes)]
    ['race', 'age', 'gender', 'race x age', 'race x gender', 'age x gender', 'race x age x gender']
    """
    return tuple(Target(subset) for k in range(1, len(attributes) + 1) for subset in combinations(attributes, k))
