"""The variance partition as an instrument."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
from matplotlib.figure import Figure

from bias_jax.audit import Arrays, Context, Layer, Rows, Seen, Stored, Task
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError
from bias_jax.instruments.faces import OfFaces
from bias_jax.instruments.variance.tables import variance_rows, variance_verdict
from bias_jax.randomness import stable_hash
from bias_jax.report import variance_by_layer
from bias_jax.statistics import factorial_design, permanova, relabellings


@dataclass(frozen=True)
class Variance(OfFaces):
    """Share of race, age, gender and their interactions in the distance between groups, in every layer."""

    permutations: int = 999  # of images, for p-values and intervals

    name: ClassVar[str] = "variance"

    def __post_init__(self) -> None:
        if self.permutations < 99:
            raise InputError("permutations must be at least 99", remedy="give more, e.g. 999")

    def prepare(
        self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]], context: Context
    ) -> Task:
        dataset = seen.dataset
        labels = {a.name: dataset.labels[a.name] for a in dataset.attributes}
        facts = {"attributes": [[a.name, a.categories] for a in dataset.attributes]}
        return Task(seen.rows, seen.sha256, facts, labels)

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, jax.Array], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        design = factorial_design(dict(task.arrays))
        # The same permutations in every layer, so that p-values can be corrected for all layers together.
        relabelled = relabellings(design, self.permutations, stable_hash(context.seed, "variance"))
        for layer in wanted:
            yield layer, vars(permanova(features[layer], design, relabelled))

    def tables(self, stored: Stored) -> Iterator[tuple[str, Rows]]:
        images = len(next(iter(stored.arrays.values())))
        yield "variance", variance_rows(stored, images)

    def figures(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[tuple[str, Callable[[], Figure]]]:
        yield "variance_by_layer", lambda: variance_by_layer(tables["variance"], stored.title)

    def findings(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        yield variance_verdict(tables["variance"])
