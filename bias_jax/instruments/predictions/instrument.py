"""What a network says of people, as an instrument."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from matplotlib.figure import Figure

from bias_jax.audit import OUTPUT, Arrays, Choice, Context, Layer, Rows, Seen, Stored, Task
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError
from bias_jax.instruments.faces import OfFaces, people_of
from bias_jax.instruments.predictions.account import ACCOUNT, prediction_excerpts
from bias_jax.instruments.predictions.classes import check_families, read_families, read_names
from bias_jax.instruments.predictions.figures import prediction_figures
from bias_jax.instruments.predictions.findings import prediction_findings, prediction_listing
from bias_jax.instruments.predictions.tables import prediction_tables
from bias_jax.instruments.predictions.views import DRAWN, drawn_images
from bias_jax.report.account import Account, Excerpt


@dataclass(frozen=True)
class Predictions(OfFaces):
    """The network's own classes by group: how often each is predicted, and how confidently."""

    classes: str = ""  # text file of the names of the network's classes, one a line (published weights: ImageNet's)
    families: tuple[str, ...] = ()  # families of classes to be counted together: "weapon=rifle|revolver"
    families_file: str = ""  # text file of further families, one a line
    top: int = 5  # a class is also counted if it is among so many most probable ones
    min_images: int = 10  # classes are reported that are the most probable one for so many images
    max_classes: int = 20  # number of reported classes at most, the most frequent ones
    permutations: int = 999  # of group labels, for the p-values of confidence and entropy
    shown: int = 30  # differences in a figure, the worst ones

    name: ClassVar[str] = "predictions"
    account: ClassVar[Account] = ACCOUNT
    places: ClassVar[tuple[str, ...]] = ("classes", "families_file")
    looks: ClassVar[tuple[str, ...]] = ("shown",)

    def __post_init__(self) -> None:
        for name in ("top", "min_images", "shown"):
            if getattr(self, name) < 1:
                raise InputError(f"predictions: {name} must be at least 1", remedy="see --help")
        if self.max_classes < 0:
            raise InputError("predictions: max_classes must not be negative", remedy="0 reports families only")
        if self.permutations < 99:
            raise InputError("predictions: permutations must be at least 99", remedy="give more, e.g. 999")

    def choose(self, available: Choice) -> tuple[str, ...]:
        if not available.output:
            remedy = "use weights with a trained classifier (of your own: answer with (output, activations)), or leave "
            remedy += "this instrument out"
            raise InputError("predictions: these weights have no valid classifier", remedy=remedy)
        return (OUTPUT,)

    def prepare(
        self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]], context: Context
    ) -> Task:
        dataset = seen.dataset
        names = read_names(self.classes) if self.classes else ()
        families = read_families(self.families, self.families_file)
        check_families(families, names)
        outputs = next(iter(layers.values()))[0].features
        if names and len(names) != outputs:
            problem = f"names {len(names)} classes, but the network has {outputs} outputs"
            raise InputError(problem, file=self.classes, remedy="one name a line, in the order of the outputs")
        if outputs < 2:
            raise InputError("a network with one output predicts no classes", remedy="leave predictions out")
        attributes = [[a.name, a.categories] for a in dataset.attributes]
        facts = {"attributes": attributes, "classes": names, "families": families}
        arrays = {a.name: dataset.labels[a.name] for a in dataset.attributes}
        if dataset.persons is None:
            return Task(seen.rows, seen.sha256, facts, arrays)
        arrays |= {**people_of(dataset), DRAWN: drawn_images(dataset, context.seed)}
        note = f"predictions: rates of {dataset.persons.max() + 1} persons, who are on {len(dataset)} images"
        return Task(seen.rows, seen.sha256, facts, arrays, (note,))

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, jax.Array], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        for layer in wanted:
            yield layer, read_output(features[layer], self.top)

    def tables(self, stored: Stored) -> Iterator[tuple[str, Rows]]:
        return prediction_tables(stored, self.min_images, self.max_classes, self.permutations)

    def figures(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[tuple[str, Callable[[], Figure]]]:
        return prediction_figures(stored, tables, self.shown)

    def findings(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return prediction_findings(stored, tables, self.min_images)

    def excerpts(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[Excerpt]:
        return prediction_excerpts(tables)

    def listing(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return prediction_listing(stored, tables)


def read_output(logits: jax.Array, top: int) -> Arrays:
    """What is kept of the output of a network.

    Args:
        logits: [n, C], C >= 2; their softmax is taken for probabilities.
        top: classes k to keep, at most C - 1: all C would always hold every class.

    Returns:
        ``classes`` int [n, k], most probable first, of equal ones the first; their ``probabilities`` [n, k], of which
        the first is the confidence; ``entropy`` [n] in bits.

    Raises:
        InputError: a logit is not a number or infinite.
    """
    classes, probabilities, entropy, finite = jax.device_get(_read(logits, min(top, logits.shape[1] - 1)))
    if not finite:
        raise InputError("the output holds values that are no numbers", remedy="check the weights")
    return {"classes": classes, "probabilities": probabilities, "entropy": entropy}


@partial(jax.jit, static_argnames="top")
def _read(logits: jax.Array, top: int) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    logits = logits.astype(jnp.float32)
    log_p = jax.nn.log_softmax(logits, axis=-1)
    # Among logits, not probabilities: those of a confident network round to 0.
    _, classes = jax.lax.top_k(logits, top)
    probabilities = jnp.exp(jnp.take_along_axis(log_p, classes, axis=-1))
    entropy = -jnp.sum(jnp.exp(log_p) * log_p, axis=-1) / math.log(2.0)
    return classes, probabilities, entropy, jnp.isfinite(logits).all()
