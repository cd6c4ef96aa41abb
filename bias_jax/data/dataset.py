"""A labelled set of face images: what every reader returns and everything downstream takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bias_jax.data.attributes import Attribute, Target, all_targets
from bias_jax.errors import InputError


def numbered(values: np.ndarray) -> np.ndarray:
    """Numbers from 0 of what each value is equal to, in the order of first appearance, int [N].

    >>> numbered(np.array([7, 3, 7, 9])).tolist()
    [0, 1, 0, 2]
    """
    _, first, which = np.unique(values, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which]


@dataclass(frozen=True)
class FaceDataset:
    """N images with one label per attribute; images stay encoded until they are read."""

    name: str
    attributes: tuple[Attribute, ...]  # together they define the intersectional groups
    labels: Mapping[str, np.ndarray]  # attribute name -> int32 [N], indices into its categories
    image_names: tuple[str, ...]  # unique; sampling and folds depend on these, not on row order
    rows: tuple[int, ...]  # row of each image in the file that lists it, for messages
    read_bytes: Callable[[int], bytes]  # encoded image of a row of `image_names`
    source: str  # file or generator that lists the images, for messages
    notes: tuple[str, ...] = ()  # what the reader skipped or repaired, one sentence each
    solo_attributes: tuple[Attribute, ...] = ()  # probed alone, never crossed with the others (e.g. a null attribute)
    people: np.ndarray | None = None  # who is on each image, int [N]; None: on each image another person
    in_table: bool = True  # whether `source` is a list with `rows`; if not, messages name the files of the images

    def __len__(self) -> int:
        return len(self.image_names)

    def place(self, i: int) -> dict[str, Any]:
        """Where a message should look for an image: arguments of `InputError`."""
        if self.in_table:
            return {"file": self.source, "row": self.rows[i]}
        return {"file": f"{self.source}/{self.image_names[i]}"}

    @cached_property
    def groups(self) -> Target:
        """The full intersection of the attributes; its classes are the groups."""
        return Target(self.attributes)

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """Everything that is probed."""
        return all_targets(self.attributes) + tuple(Target((a,)) for a in self.solo_attributes)

    @cached_property
    def group_labels(self) -> np.ndarray:
        """Group of each image, int32 [N]."""
        return self.groups.encode(self.labels)

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images of every category of every attribute, and of every group: name -> class -> images, in order."""
        targets = dict.fromkeys([*(Target((a,)) for a in (*self.attributes, *self.solo_attributes)), self.groups])
        numbers = {t: np.bincount(t.encode(self.labels), minlength=t.size).tolist() for t in targets}
        return {t.name: dict(zip(t.classes, found, strict=True)) for t, found in numbers.items()}

    def varying(self) -> "FaceDataset":
        """Without the attributes of which a single category occurs: nothing can be asked about them.

        Raises:
            InputError: no attribute is left.
        """
        constant = {
            a.name: a.categories[self.labels[a.name][0]]
            for a in (*self.attributes, *self.solo_attributes)
            if len(np.unique(self.labels[a.name])) == 1
        }
        if not constant:
            return self
        said = " and ".join(f"{name} is always {category!r}" for name, category in constant.items())
        left = [a for a in self.attributes if a.name not in constant]
        if not left:
            raise InputError(f"no attribute varies: {said}", file=self.source, remedy="add images of other people")
        return replace(
            self,
            attributes=tuple(left),
            solo_attributes=tuple(a for a in self.solo_attributes if a.name not in constant),
            labels={name: values for name, values in self.labels.items() if name not in constant},
            notes=(*self.notes, f"{said}: nothing is asked about that"),
        )

    @cached_property
    def persons(self) -> np.ndarray | None:
        """Person of each image, numbered as they appear, int [N]; None if no person is on two images.

        A negative number in `people` stands for nobody known: a person of their own.
        """
        if self.people is None or not len(self):
            return None
        unknown = np.asarray(self.people) < 0
        found = numbered(np.where(unknown, np.max(self.people) + 1 + np.arange(len(self)), self.people))
        return found if found.max() < len(self) - 1 else None

    def take(self, rows: np.ndarray) -> "FaceDataset":
        """The images of the given rows, in that order."""
        read = self.read_bytes
        return replace(
            self,
            labels={name: values[rows] for name, values in self.labels.items()},
            image_names=tuple(self.image_names[i] for i in rows),
            rows=tuple(self.rows[i] for i in rows),
            read_bytes=lambda i: read(int(rows[i])),
            people=None if self.people is None else self.people[rows],
        )
