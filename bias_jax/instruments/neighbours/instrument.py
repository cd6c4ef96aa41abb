"""Nearest neighbours as an instrument."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import Arrays, Context, Layer, Rows, Seen, Stored, Task
from bias_jax.data import FaceDataset, Target
from bias_jax.errors import InputError
from bias_jax.instruments.faces import PEOPLE, OfFaces, people_of, persons_notes
from bias_jax.instruments.neighbours.account import ACCOUNT, neighbour_excerpts, neighbour_findings
from bias_jax.instruments.neighbours.figures import precision_by_layer
from bias_jax.instruments.neighbours.tables import neighbour_listing, neighbour_rows
from bias_jax.neighbours import METRICS, Metric, nearest_images
from bias_jax.report.account import Account, Excerpt


@dataclass(frozen=True)
class Neighbours(OfFaces):
    """Whether the nearest images have the same attributes: precision of retrieval, and the vote of k neighbours."""

    at: tuple[int, ...] = (1, 10)  # numbers of neighbours k
    distances: tuple[Metric, ...] = ("cosine", "euclidean")  # by which they are near, of activations as they are
    permutations: int = 199  # of labels, for chance and p-values
    draws: int = 1000  # bootstrap draws for intervals

    name: ClassVar[str] = "neighbours"
    account: ClassVar[Account] = ACCOUNT
    without_pictures: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.at or min(self.at) < 1:
            raise InputError("neighbours: --neighbours.at must be positive", remedy="see --help")
        if not self.distances or set(self.distances) - set(METRICS):
            raise InputError("neighbours: unknown distance", remedy=f"choose among {', '.join(METRICS)}")
        if self.permutations < 99 or self.draws < 100:
            raise InputError("neighbours: permutations must be at least 99, draws at least 100", remedy="see --help")

    def prepare(
        self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]], context: Context
    ) -> Task:
        dataset = seen.dataset
        most = 1 if dataset.persons is None else int(np.bincount(dataset.persons).max())
        if len(dataset) - most <= max(self.at):
            problem = f"has {len(dataset)} images: too few for {max(self.at)} neighbours"
            raise InputError(problem, file=dataset.source, remedy="give fewer by --neighbours.at, or add images")
        targets = [Target((a,)) for a in (*dataset.attributes, *dataset.solo_attributes)]
        if len(dataset.attributes) > 1:
            targets.append(dataset.groups)
        facts = {"targets": {t.name: list(t.classes) for t in targets}, "groups": dataset.groups.name}
        labels = {f"labels of {t.name}": t.encode(dataset.labels) for t in (*targets, dataset.groups)}
        return Task(seen.rows, seen.sha256, facts, {**labels, **people_of(dataset)}, tuple(persons_notes(dataset)))

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, jax.Array], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        people = task.arrays.get(PEOPLE)
        for layer in wanted:
            if not bool(jax.device_get(_finite(features[layer]))):
                remedy = "check the weights, or use --precision float32"
                raise InputError(f"features of layer {layer!r} are not all finite", remedy=remedy)
            count = max(self.at) + 1
            yield layer, {name: nearest_images(features[layer], count, name, people) for name in self.distances}

    def tables(self, stored: Stored) -> Iterator[tuple[str, Rows]]:
        yield "neighbours", neighbour_rows(stored, self.at, self.permutations, self.draws)

    def figures(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[tuple[str, Callable[[], Figure]]]:
        for distance in self.distances:
            own = [row for row in tables["neighbours"] if row["distance"] == distance]
            title = f"Precision of {distance} neighbours. {stored.title}"
            yield f"precision_by_layer-{distance}", partial(precision_by_layer, own, title)

    def findings(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return neighbour_findings(tables["neighbours"])

    def excerpts(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[Excerpt]:
        return neighbour_excerpts(tables["neighbours"])

    def listing(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        yield neighbour_listing(tables["neighbours"])


@jax.jit
def _finite(features: jax.Array) -> jax.Array:
    return jax.numpy.isfinite(features).all()
