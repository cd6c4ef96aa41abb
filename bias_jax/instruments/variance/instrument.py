"""The variance partition as an instrument."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import Arrays, Context, Layer, Rows, Seen, Stored, Task
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError, counted
from bias_jax.instruments.faces import PEOPLE, OfFaces
from bias_jax.instruments.variance.account import ACCOUNT, variance_excerpts, variance_findings, variance_table
from bias_jax.instruments.variance.tables import variance_rows
from bias_jax.randomness import stable_hash
from bias_jax.report import variance_by_layer
from bias_jax.report.account import Account, Excerpt
from bias_jax.statistics import factorial_design, group_sums, home_groups, permanova, relabellings


@dataclass(frozen=True)
class Variance(OfFaces):
    """Share of race, age, gender and their interactions in the distance between groups, in every layer."""

    permutations: int = 999  # of images (of persons where they have several), for p-values and intervals

    name: ClassVar[str] = "variance"
    account: ClassVar[Account] = ACCOUNT
    without_pictures: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.permutations < 99:
            raise InputError("variance: permutations must be at least 99", remedy="give more, e.g. 999")

    def prepare(
        self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]], context: Context
    ) -> Task:
        dataset, persons = seen.dataset, seen.dataset.persons
        labels = {a.name: dataset.labels[a.name] for a in dataset.attributes}
        facts = {"attributes": [[a.name, a.categories] for a in dataset.attributes]}
        if persons is None:
            return Task(seen.rows, seen.sha256, facts, labels)
        at_home = dataset.group_labels == home_groups(dataset.group_labels, persons)[persons]
        notes = [f"variance: of the means of {persons.max() + 1} persons, who are on {len(dataset)} images"]
        if away := int((~at_home).sum()):
            left_out = counted(away, "image is left out, because its", "images are left out, because their")
            notes.append(f"variance: {left_out} person has more in another group")
        arrays = {**labels, PEOPLE: np.where(at_home, persons, -1)}
        return Task(seen.rows, seen.sha256, facts, arrays, tuple(notes))

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, jax.Array], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        labels, people = labels_and_people(task.arrays)
        design = factorial_design(labels)
        # The same permutations in every layer, so that p-values can be corrected for all layers together.
        relabelled = relabellings(design, self.permutations, stable_hash(context.seed, "variance"))
        for layer in wanted:
            points = features[layer] if people is None else _means(features[layer], *jax.device_put(people))
            yield layer, vars(permanova(points, design, relabelled))

    def tables(self, stored: Stored) -> Iterator[tuple[str, Rows]]:
        yield "variance", variance_rows(stored)

    def figures(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[tuple[str, Callable[[], Figure]]]:
        yield "variance_by_layer", lambda: variance_by_layer(tables["variance"], stored.title)

    def findings(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return variance_findings(tables["variance"])

    def excerpts(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[Excerpt]:
        return variance_excerpts(tables["variance"])

    def listing(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        yield variance_table(tables["variance"])


def labels_and_people(arrays: Arrays) -> tuple[dict[str, np.ndarray], tuple[np.ndarray, np.ndarray] | None]:
    """Labels of everything that is permuted: of images; or of persons, and then who is on each image.

    Returns:
        attribute -> int [n], or [K]; None, or the person of each image int32 [n] (negative: not counted) and the
        number of images of each person [K].
    """
    labels = {name: values for name, values in arrays.items() if name != PEOPLE}
    if PEOPLE not in arrays:
        return labels, None
    numbers, first = np.unique(arrays[PEOPLE], return_index=True)
    first = first[numbers >= 0]
    counts = np.bincount(arrays[PEOPLE][arrays[PEOPLE] >= 0]).astype(np.float32)
    return {name: values[first] for name, values in labels.items()}, (arrays[PEOPLE].astype(np.int32), counts)


@jax.jit
def _means(features: jax.Array, people: jax.Array, counts: jax.Array) -> jax.Array:
    """Mean features of each person, [K, D]."""
    features = features.astype(jnp.float32)
    centred = features - features.mean(axis=0)[None]  # so that sums lose no digits
    return group_sums(centred, people, len(counts)) / counts[:, None]
