"""Sensitivity of the network's answer to directions between groups, as an instrument."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import OUTPUT, Arrays, Choice, Context, FlaxSubject, ImageSet, Layer, Rows, Seen, Stored, Task
from bias_jax.data import Attribute, FaceDataset
from bias_jax.errors import InputError
from bias_jax.instruments.faces import OfFaces, evenly, people_of, persons_notes
from bias_jax.instruments.predictions.classes import check_families, read_families, read_names
from bias_jax.instruments.sensitivity.account import ACCOUNT, sensitivity_excerpts
from bias_jax.instruments.sensitivity.changing import INSIDE, LOOKED_AT, change_layers, measure_layer
from bias_jax.instruments.sensitivity.figures import sensitivity_figures
from bias_jax.instruments.sensitivity.findings import sensitivity_findings
from bias_jax.instruments.sensitivity.tables import sensitivity_tables
from bias_jax.randomness import stable_hash
from bias_jax.report.account import Account, Excerpt

LEAST = 2  # images, or persons, on either side of a direction


@dataclass(frozen=True)
class Sensitivity(OfFaces):
    """Change of the network's own classes along the directions between groups in each layer: what it uses of them."""

    images: int = 256  # of all groups, drawn evenly: directions are between their means
    looked_at: int = 32  # of these, drawn; of whose answers the derivatives are taken, a forward pass per axis
    classes: str = ""  # text file of the names of the network's classes, one a line (published weights: ImageNet's)
    families: tuple[str, ...] = ()  # families of classes whose probabilities are summed: "weapon=rifle|revolver"
    families_file: str = ""  # text file of further families, one a line
    max_classes: int = 10  # reported classes of each attribute, those that change most beside shuffled labels
    permutations: int = 999  # of labels, for the p-values

    name: ClassVar[str] = "sensitivity"
    account: ClassVar[Account] = ACCOUNT
    places: ClassVar[tuple[str, ...]] = ("classes", "families_file")
    reduction: ClassVar[str] = "mean"  # a direction is added at every position, so it has a number for each channel

    def __post_init__(self) -> None:
        if self.images < 10 or self.looked_at < 2:
            problem = "sensitivity: images must be at least 10, and looked_at at least 2"
            raise InputError(problem, remedy="give more, e.g. 256 and 32")
        if self.permutations < 99 or self.max_classes < 1:
            problem = "sensitivity: permutations must be at least 99, and max_classes at least 1"
            raise InputError(problem, remedy="see --help")

    def choose(self, available: Choice) -> tuple[str, ...]:
        if not available.output:
            remedy = "use weights with a trained classifier, or leave this instrument out"
            raise InputError("sensitivity: these weights have no valid classifier", remedy=remedy)
        return (*available.layers, OUTPUT)

    def prepare(
        self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]], context: Context
    ) -> Task:
        chosen = evenly(seen.dataset, self.images, context.seed)
        dataset = seen.dataset.take(chosen)
        names = read_names(self.classes) if self.classes else ()
        families = read_families(self.families, self.families_file)
        check_families(families, names)
        outputs = next(layer.features for layer in next(iter(layers.values())) if layer.name == OUTPUT)
        if names and len(names) != outputs:
            problem = f"names {len(names)} classes, but the network has {outputs} outputs"
            raise InputError(problem, file=self.classes, remedy="one name a line, in the order of the outputs")
        if outputs < 2:
            raise InputError("a network with one output predicts no classes", remedy="leave sensitivity out")
        contrasts, inside, left_out = _contrasts(dataset)
        if not contrasts:
            problem = f"sensitivity: no group has {LEAST} images or persons beside {LEAST} others"
            raise InputError(problem, file=dataset.source, remedy="add images")
        rng = np.random.default_rng(stable_hash(context.seed, "images whose answers are changed"))
        looked_at = np.sort(rng.permutation(len(dataset))[: self.looked_at])
        notes = [*persons_notes(dataset)]
        notes.append(f"sensitivity: directions of {len(dataset)} of {len(seen.dataset)} images, derivatives of the "
                     f"answers to {len(looked_at)} of them")  # fmt: skip
        if left_out:
            notes.append(f"sensitivity: no direction of {', '.join(left_out)}: too few images")
        facts = {"contrasts": contrasts, "classes": names, "families": families}
        arrays = {INSIDE: inside, LOOKED_AT: looked_at, **people_of(dataset)}
        return Task(np.asarray(seen.rows)[chosen], seen.sha256, facts, arrays, tuple(notes))

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, jax.Array], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        for layer in wanted:
            yield layer, measure_layer(layer, features[layer])

    def intervene(
        self, task: Task, images: ImageSet, subject: FlaxSubject, stored: Stored, wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        return change_layers(task, images, subject, stored, wanted, context)

    def tables(self, stored: Stored) -> Iterator[tuple[str, Rows]]:
        return sensitivity_tables(stored, self.permutations, self.max_classes)

    def figures(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[tuple[str, Callable[[], Figure]]]:
        return sensitivity_figures(stored, tables)

    def findings(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return sensitivity_findings(stored, tables)

    def excerpts(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[Excerpt]:
        return sensitivity_excerpts(tables)


def _contrasts(dataset: FaceDataset) -> tuple[list[list[str]], np.ndarray, list[str]]:
    """Every group against the others; of two groups, the first against the second.

    Returns:
        Attribute, group and what it is compared with, of each; bool [G, n], who is in the group; what is left out.
    """
    contrasts: list[list[str]] = []
    inside: list[np.ndarray] = []
    left_out: list[str] = []
    units = np.arange(len(dataset)) if dataset.persons is None else dataset.persons
    for attribute in (*dataset.attributes, *dataset.solo_attributes):
        labels = dataset.labels[attribute.name]
        occurring = np.unique(labels)
        for group in occurring if len(occurring) > 2 else occurring[:1]:
            own = labels == group
            if min(len(np.unique(units[own])), len(np.unique(units[~own]))) < LEAST:
                left_out.append(f"{attribute.name} {attribute.categories[group]}")
                continue
            contrasts.append([attribute.name, attribute.categories[group], _against(attribute, occurring)])
            inside.append(own)
    return contrasts, np.array(inside), left_out


def _against(attribute: Attribute, occurring: np.ndarray) -> str:
    return attribute.categories[occurring[1]] if len(occurring) == 2 else "the others"
