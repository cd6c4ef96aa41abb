"""Concept erasure as an instrument."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import (
    OUTPUT,
    PIXELS,
    Arrays,
    Choice,
    Context,
    FlaxSubject,
    ImageSet,
    Layer,
    Rows,
    Seen,
    Stored,
    Task,
)
from bias_jax.data import FaceDataset, Target, stratified_folds
from bias_jax.errors import InputError
from bias_jax.instruments.erasure.account import ACCOUNT, erasure_excerpts, erasure_findings
from bias_jax.instruments.erasure.answering import ANSWERED, change_answers, plain_answers
from bias_jax.instruments.erasure.asking import answers_wanted, names_given, output_classes
from bias_jax.instruments.erasure.figures import erasure_figures
from bias_jax.instruments.erasure.listing import erasure_listing
from bias_jax.instruments.erasure.measuring import FIT, HALF, measure_layer
from bias_jax.instruments.erasure.tables import erasure_tables
from bias_jax.instruments.faces import OfFaces, people_of, persons_notes
from bias_jax.probes import ProbeConfig
from bias_jax.report.account import Account, Excerpt


@dataclass(frozen=True)
class Erasure(OfFaces):
    """Erase attributes from every layer by the least change (LEACE), and see what is left and what else is lost."""

    erased: tuple[str, ...] = ()  # what is erased: attributes, or "race x gender" (default: each one, and all together)
    shrinkage: bool = True  # of the covariance; without, images that it was not fitted to are changed more
    neighbours: int = 10  # whose majority is the nonlinear probe
    folds: int = 5  # of the probes, among images that no eraser was fitted to
    l2: tuple[float, ...] = tuple(10.0**k for k in range(-3, 3))  # strengths of the probes; the least certifies
    tolerance: float = 1e-4  # certified gap at which a probe stops, relative to its objective
    draws: int = 2000  # bootstrap draws for intervals
    # held-out images at most of whose answers it is asked what erasing changes, each passing through the rest of the
    # network once as it is and three times for everything that is erased; 0: the network is not asked
    answers: int = 128
    classes: str = ""  # text file of the names of the network's classes, one a line (published weights: ImageNet's)
    families: tuple[str, ...] = ()  # families of classes whose probabilities are summed: "weapon=rifle|revolver"
    families_file: str = ""  # text file of further families, one a line
    max_classes: int = 5  # reported classes at most, those that the network gives most often as it is

    name: ClassVar[str] = "erasure"
    account: ClassVar[Account] = ACCOUNT
    places: ClassVar[tuple[str, ...]] = ("classes", "families_file")
    without_pictures: ClassVar[bool] = True
    intervenes_if_possible: ClassVar[bool] = True

    def __post_init__(self) -> None:
        try:
            self.probes()
        except ValueError as error:
            raise InputError(f"erasure: {error}", remedy="see --help") from None
        if self.neighbours < 1 or self.draws < 100:
            raise InputError("erasure: neighbours must be positive, and draws at least 100", remedy="see --help")
        if self.answers < 0 or self.max_classes < 0:
            raise InputError("erasure: answers and max_classes must not be negative", remedy="see --help")

    def probes(self) -> ProbeConfig:
        """How what is left is probed."""
        return ProbeConfig(
            l2=self.l2, folds=self.folds, shuffles=0, tolerance=self.tolerance, draws=self.draws
        )  # fmt: skip

    def choose(self, available: Choice) -> tuple[str, ...]:
        return (*super().choose(available), *([OUTPUT] if available.output and self.answers else []))

    def prepare(
        self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]], context: Context
    ) -> Task:
        dataset = seen.dataset
        targets = self._targets(dataset)
        erased = self.erased or tuple(targets)
        if unknown := [name for name in erased if name not in targets]:
            remedy = f"choose among {', '.join(targets)}, or several joined by ' x '"
            raise InputError(f"erasure: there is nothing called {unknown[0]!r} to erase", remedy=remedy)
        number, what = (len(dataset), "images") if dataset.persons is None else (dataset.persons.max() + 1, "persons")
        if number < 2 * self.folds:
            problem = f"has {number} {what}; half of them are too few for {self.folds} folds"
            raise InputError(problem, file=dataset.source, remedy=f"add {what}")
        half = stratified_folds(dataset, 2, context.seed)
        measured = np.flatnonzero(half != FIT)
        folds = np.full(len(dataset), -1)
        folds[measured] = stratified_folds(dataset.take(measured), self.folds, context.seed)
        if self.neighbours >= (others := len(measured) - np.bincount(folds[measured]).max()):
            problem = f"erasure: {self.neighbours} neighbours are too many of {others} images in other folds"
            raise InputError(problem, remedy="give --erasure.neighbours fewer, or add images")
        labels = {name: target.encode(dataset.labels) for name, target in targets.items()}
        for name in erased:
            if len(np.unique(labels[name][half == FIT])) < 2:
                problem = f"erasure: the images erasers are fitted to have one class of {name} only"
                raise InputError(problem, file=dataset.source, remedy="add images, or name others by --erasure.erased")
        outputs = output_classes(layers)
        asked, left_out = answers_wanted(dataset, measured, self.answers, outputs, context.seed)
        facts = {
            "targets": {name: list(target.classes) for name, target in targets.items()},
            "erased": list(dict.fromkeys(erased)),
            "groups": dataset.groups.name,
            **names_given(self.classes, self.families, self.families_file, outputs),
            "max_classes": self.max_classes,
        }
        arrays = {f"labels of {name}": y for name, y in labels.items()}
        arrays |= {f"labels of {dataset.groups.name}": dataset.group_labels, HALF: half, "folds": folds}
        note = (f"erasure: erasers are fitted to {(half == FIT).sum()} images, and everything that is reported as "
                f"held out is measured on the other {len(measured)}")  # fmt: skip
        notes = [*persons_notes(dataset), note, *left_out]
        if alone := int((np.bincount(dataset.group_labels[measured]) == 1).sum()):
            notes.append(f"erasure: {alone} groups have one measured image: for intervals they are one group")
        arrays |= {**people_of(dataset), **asked}
        return Task(seen.rows, seen.sha256, facts, arrays, tuple(notes), intervenes=bool(asked))

    def _targets(self, dataset: FaceDataset) -> dict[str, Target]:
        """Every attribute, and the intersections that are to be erased."""
        attributes = {a.name: a for a in (*dataset.attributes, *dataset.solo_attributes)}
        found = {name: Target((a,)) for name, a in attributes.items()}
        for name in self.erased or (dataset.groups.name,):
            parts = name.split(" x ")
            if name not in found and all(part in attributes for part in parts) and len(set(parts)) == len(parts):
                found[name] = Target(tuple(attributes[part] for part in parts))
        return found

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, jax.Array], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        asked = task.arrays.get(ANSWERED)
        for layer in wanted:
            if layer == OUTPUT:
                yield layer, plain_answers(features[layer], np.zeros(0, int) if asked is None else asked)
                continue
            try:
                answered = None if layer == PIXELS else asked
                yield layer, measure_layer(features[layer], task, self, context.seed, answered)
            except ValueError as error:  # features that no probe can be trained on
                remedy = "check the weights, or use --precision float32"
                raise InputError(str(error), remedy=remedy) from None

    def intervene(
        self, task: Task, images: ImageSet, subject: FlaxSubject, stored: Stored, wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        return change_answers(task, images, subject, stored, wanted, context)

    def tables(self, stored: Stored) -> Iterator[tuple[str, Rows]]:
        return erasure_tables(stored, self.draws, stored.run["seed"])

    def figures(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[tuple[str, Callable[[], Figure]]]:
        return erasure_figures(stored, tables)

    def findings(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return erasure_findings(stored.facts["erased"], tables)

    def excerpts(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[Excerpt]:
        return erasure_excerpts(stored.facts["erased"], tables)

    def listing(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return erasure_listing(stored, tables)
