"""What is trained and evaluated: labels, groups, and which images serve for what; stored, and opened again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from bias_jax.audit import Stored
from bias_jax.data import Attribute, Target
from bias_jax.disparity import FittedHeads, Split, dense
from bias_jax.disparity.heads import Unverified
from bias_jax.errors import InputError
from bias_jax.instruments.faces import PEOPLE

EVERYONE = "all images"
COMMON_LABELS = 30  # that are reported on their own by default
MENDED = "group that is mended of each image"  # array of a `Task`
UNUSED, TRAINING, TUNING, TEST = range(4)  # roles of an image in a split


@dataclass(frozen=True)
class Problem:
    """N images with C labels, of which E are evaluated."""

    data: str  # name of the evaluated images
    labels: csr_array  # int8 [N, C]: 1 present, -1 verified absent; what is not stored, nobody verified
    classes: tuple[str, ...]
    splits: tuple[Split, ...]  # each with ascending rows
    attributes: tuple[Attribute, ...]  # of the evaluated images
    categories: Mapping[str, np.ndarray]  # attribute -> category of each evaluated image, int [E]
    people: np.ndarray | None = None  # person of each evaluated image, 0 to K - 1, int [E]; None: all differ
    groups: np.ndarray | None = None  # for `HeadsConfig.mends`, group of each image, int [N]

    @cached_property
    def rows(self) -> np.ndarray:
        """Rows of the evaluated images among the N, int [E]: the test images, split by split."""
        return np.concatenate([split.test for split in self.splits])

    def truth(self, judged: Unverified) -> np.ndarray:
        """Labels of the evaluated images, 0, 1 or NaN, float32 [E, C]."""
        return dense(csr_array(self.labels[self.rows]), judged)

    def views(self) -> dict[str, tuple[np.ndarray, tuple[str, ...]]]:
        """Ways to part the evaluated images: not at all, by each attribute, by all together.

        View -> group of each image int [E], names of the groups.
        """
        found: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {EVERYONE: (np.zeros(len(self.rows), int), (EVERYONE,))}
        targets = [Target((attribute,)) for attribute in self.attributes]
        if len(self.attributes) > 1:
            targets.append(Target(self.attributes))
        for target in targets:
            found[target.name] = target.encode(self.categories), target.classes
        return found

    def reported(self, names: Sequence[str]) -> list[int]:
        """Numbers of the labels that get rates of their own.

        Raises:
            InputError: one of the names is not trained.
        """
        if unknown := [name for name in names if name not in self.classes]:
            remedy = f"choose among {', '.join(self.classes[:8])}"
            raise InputError(f"report_labels names {unknown[0]!r}, which is not trained", remedy=remedy)
        if names:
            return [self.classes.index(name) for name in names]
        counts = np.asarray((self.labels > 0).sum(axis=0)).ravel()
        return sorted(np.argsort(-counts, kind="stable")[:COMMON_LABELS].tolist())

    def members(self, families: Sequence[str]) -> dict[str, np.ndarray]:
        """Families of labels, written as ``name=label|label``, and the numbers of those labels that are trained.

        Raises:
            InputError: none of a family is.
        """
        found = {}
        for entry in families:
            name, _, labels = entry.partition("=")
            found[name] = np.array([c for c, label in enumerate(self.classes) if label in labels.split("|")], int)
            if not len(found[name]):
                raise InputError(f"no label of the family {name!r} is trained", remedy="see families in --help")
        return found

    def facts(self) -> dict[str, Any]:
        """Names, for `Task.facts`."""
        return {
            "data": self.data,
            "classes": self.classes,
            "attributes": [[attribute.name, attribute.categories] for attribute in self.attributes],
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Numbers, for `Task.arrays`."""
        roles = np.full((len(self.splits), self.labels.shape[0]), UNUSED, np.int8)
        for f, split in enumerate(self.splits):
            for role, rows in ((TRAINING, split.training), (TUNING, split.tuning), (TEST, split.test)):
                roles[f, rows] = role
        return {
            "roles": roles,
            "label data": self.labels.data.astype(np.int8),
            "label indices": self.labels.indices.astype(np.int64),
            "label indptr": self.labels.indptr.astype(np.int64),
            **{f"categories of {name}": labels for name, labels in self.categories.items()},
            **({} if self.people is None else {PEOPLE: self.people}),
            **({} if self.groups is None else {MENDED: self.groups}),
        }


def problem_of(facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Problem:
    """Inverse of `Problem.facts` and `Problem.arrays`."""
    roles, classes = arrays["roles"], tuple(facts["classes"])
    splits = [Split(*(np.flatnonzero(own == role) for role in (TRAINING, TUNING, TEST))) for own in roles]
    parts = (arrays["label data"], arrays["label indices"], arrays["label indptr"])
    attributes = tuple(Attribute(name, tuple(categories)) for name, categories in facts["attributes"])
    return Problem(
        facts["data"],
        csr_array(parts, shape=(roles.shape[1], len(classes))),
        classes,
        tuple(splits),
        attributes,
        {attribute.name: arrays[f"categories of {attribute.name}"] for attribute in attributes},
        arrays.get(PEOPLE),
        arrays.get(MENDED),
    )


def fitted_heads(stored: Stored, layer: str) -> FittedHeads:
    """Heads of one layer.

    Raises:
        InputError: written by another version.
    """
    arrays = stored.load(layer)
    if arrays.keys() != FittedHeads.__dataclass_fields__.keys():
        remedy = "run that sweep again, with another --out"
        raise InputError("written by another version of bias-jax", file=stored.folder.path, remedy=remedy)
    return FittedHeads(**arrays)
