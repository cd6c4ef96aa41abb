"""Cross-validated linear probes as an instrument."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import Arrays, Context, Layer, Rows, Seen, Stored, Task
from bias_jax.data import FaceDataset, stratified_folds
from bias_jax.errors import InputError
from bias_jax.instruments.faces import PEOPLE, OfFaces, check_folds, people_of, persons_notes
from bias_jax.instruments.probes.account import ACCOUNT, probe_excerpts
from bias_jax.instruments.probes.figures import probe_figures
from bias_jax.instruments.probes.findings import accuracy_table, probe_findings
from bias_jax.instruments.probes.gaps import recall_gaps
from bias_jax.instruments.probes.stored import scores_by_layer
from bias_jax.instruments.probes.tables import probe_tables
from bias_jax.probes import ProbeConfig, cross_validate_layers
from bias_jax.randomness import stable_hash
from bias_jax.report.account import Account, Excerpt
from bias_jax.statistics import collapsed_strata


@dataclass(frozen=True)
class Probes(OfFaces, ProbeConfig):
    """Certified softmax probes of every layer for every combination of attributes, reported out of fold."""

    name: ClassVar[str] = "probes"
    account: ClassVar[Account] = ACCOUNT
    without_pictures: ClassVar[bool] = True
    collective: ClassVar[bool] = True

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ValueError as error:
            raise InputError(f"probes: {error}", remedy="see --help") from None
        if self.draws < 100:
            raise InputError("probes: draws must be at least 100", remedy="see --help")

    def prepare(
        self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]], context: Context
    ) -> Task:
        dataset = seen.dataset
        check_folds(dataset, self.folds)
        facts = {
            "categories": {a.name: a.categories for a in (*dataset.attributes, *dataset.solo_attributes)},
            "ordinal": [a.name for a in (*dataset.attributes, *dataset.solo_attributes) if a.ordinal],
            "targets": {t.name: [a.name for a in t.attributes] for t in dataset.targets},
            "groups": dataset.groups.name,
        }
        labels = {f"labels of {t.name}": t.encode(dataset.labels) for t in dataset.targets}
        folds = stratified_folds(dataset, self.folds, context.seed)
        arrays = {**labels, "folds": folds, **people_of(dataset)}
        return Task(seen.rows, seen.sha256, facts, arrays, fold_notes(dataset, self.folds))

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, jax.Array], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        targets, sizes = task.facts["targets"], {n: len(c) for n, c in task.facts["categories"].items()}
        labels = {target: task.arrays[f"labels of {target}"] for target in targets}
        classes = {target: int(np.prod([sizes[name] for name in parts])) for target, parts in targets.items()}
        folds, people = task.arrays["folds"], task.arrays.get(PEOPLE)
        groups = collapsed_strata(labels[task.facts["groups"]], people)
        seed = stable_hash(context.seed, "shuffled labels") % 2**63
        bank = {layer: features[layer] for layer in wanted}
        found = cross_validate_layers(bank, labels, classes, folds, groups, self, seed, people, context.mesh)
        try:
            for layer, fields in found:
                yield layer, vars(fields)
        except ValueError as error:  # features that no probe can be trained on, such as NaN
            remedy = "check the weights, or use --precision float32"
            raise InputError(str(error), remedy=remedy) from None

    def tables(self, stored: Stored) -> Iterator[tuple[str, Rows]]:
        return probe_tables(stored, self, stored.run["seed"])

    def figures(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[tuple[str, Callable[[], Figure]]]:
        return probe_figures(stored, tables["probes"])

    def findings(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return probe_findings(stored, tables, self._gaps(stored, tables))

    def excerpts(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[Excerpt]:
        return probe_excerpts(stored, tables, self._gaps(stored, tables))

    def listing(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        yield accuracy_table(scores_by_layer(tables["probes"]), list(stored.facts["targets"]))

    def _gaps(self, stored: Stored, tables: Mapping[str, Rows]) -> Rows:
        return recall_gaps(tables, list(stored.facts["targets"]), PEOPLE in stored.arrays)


def fold_notes(dataset: FaceDataset, folds: int) -> tuple[str, ...]:
    """What a reader must know about groups that are empty or smaller than the number of folds."""
    groups, what = dataset.group_labels, "images"
    if dataset.persons is not None:
        groups, what = np.unique(np.stack([groups, dataset.persons]), axis=1)[0], "persons"
    counts = np.bincount(groups, minlength=dataset.groups.size)
    reasons = {"have no images": counts == 0}
    alone = "one image" if what == "images" else "images of one person alone"
    reasons[f"have {alone}, so for intervals they are one group"] = counts == 1
    reasons[f"have fewer {what} than the {folds} folds, so some folds lack them"] = (counts > 0) & (counts < folds)
    notes = persons_notes(dataset)
    for reason, chosen in reasons.items():
        if chosen.any():
            first = dataset.groups.classes[int(np.flatnonzero(chosen)[0])]
            notes.append(f"{chosen.sum()} of {len(counts)} groups {reason}, the first {first!r}")
    return tuple(notes)
