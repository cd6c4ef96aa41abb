"""The probes of Krug & Stober 2025 (arXiv 2506.03664) as an instrument."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from bias_jax.arithmetic import matmul
from bias_jax.audit import Arrays, Context, Layer, Rows, Seen, Stored, Task
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError
from bias_jax.instruments.faces import OfFaces, persons_notes
from bias_jax.instruments.recipe.figures import recipe_by_layer
from bias_jax.instruments.recipe.findings import ACCOUNT, recipe_excerpts, recipe_findings, recipe_table
from bias_jax.instruments.recipe.tables import PREDICTED, chosen_settings, recipe_rows
from bias_jax.probes import RecipeConfig, RecipeNumbers, RecipeProbes, fit_recipe
from bias_jax.probes.holdout import draw_held_out
from bias_jax.report.account import Account, Excerpt


@dataclass(frozen=True)
class Recipe(OfFaces, RecipeConfig):
    """Probes as published: dropout, L1 and Adam on mini-batches, one held-out split, every strength beside the others.

    `Probes` is the better measurement; this one is for numbers to be set beside the paper's.
    """

    name: ClassVar[str] = "recipe"
    account: ClassVar[Account] = ACCOUNT
    without_pictures: ClassVar[bool] = True

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ValueError as error:
            raise InputError(f"recipe: {error}", remedy="see --help") from None

    def prepare(
        self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]], context: Context
    ) -> Task:
        dataset = seen.dataset
        labels = {target.name: target.encode(dataset.labels) for target in dataset.targets}
        held_out = draw_held_out(np.stack(list(labels.values()), axis=1), self, context.seed, dataset.persons)
        if not 0 < held_out.sum() < len(held_out):
            problem = f"recipe: held_out {self.held_out} leaves nothing of {len(held_out)} images on one side"
            raise InputError(problem, file=dataset.source, remedy="add images, or choose another share")
        arrays = {f"labels of {target}": values for target, values in labels.items()}
        notes = tuple(persons_notes(dataset))
        return Task(seen.rows, seen.sha256, {"targets": list(labels)}, {**arrays, "held out": held_out}, notes)

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, jax.Array], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        labels = {target: task.arrays[f"labels of {target}"] for target in task.facts["targets"]}
        # All layers of the width, also those that are stored: layers that are trained together share their programs,
        # and a resumed run must give the same numbers.
        try:
            found = fit_recipe(features, labels, config=self, seed=context.seed, validation=task.arrays["held out"])
        except ValueError as error:  # features that no probe can be trained on, such as NaN
            problem = f"layers {', '.join(features)}: {error}"
            raise InputError(problem, remedy="check the weights, or use --precision float32") from None
        for layer in wanted:
            numbers = self._numbers(found, layer, list(labels))
            yield layer, {**numbers, PREDICTED: self._predicted(found, layer, features[layer], numbers, list(labels))}

    def _predicted(
        self, found: RecipeProbes, layer: str, features: jax.Array, numbers: Arrays, targets: Sequence[str]
    ) -> np.ndarray:
        """Classes that the probes with the chosen settings say, of training and held-out images, int32 [T, S, N]."""
        predicted = np.empty((len(targets), self.seeds, len(features)), np.int32)
        for t, (r, e) in enumerate(chosen_settings(numbers)):
            for s in range(self.seeds):
                probe = found.weights(layer, targets[t], self.l1[r], self.learning_rates[e], s)
                predicted[t, s] = jax.device_get(_classes(features, *probe))
        return predicted

    def _numbers(self, found: RecipeProbes, layer: str, targets: Sequence[str]) -> Arrays:
        """Field of `RecipeNumbers` -> [T, R, learning rates, S]."""
        shape = len(targets), len(self.l1), len(self.learning_rates), self.seeds
        arrays: dict[str, np.ndarray] = {}
        for t, r, e, s in np.ndindex(shape):
            numbers = found.numbers(layer, targets[t], self.l1[r], self.learning_rates[e], s)
            for name in RecipeNumbers.__dataclass_fields__:
                value = getattr(numbers, name)
                arrays.setdefault(name, np.empty(shape, np.asarray(value).dtype))[t, r, e, s] = value
        return arrays

    def tables(self, stored: Stored) -> Iterator[tuple[str, Rows]]:
        yield "recipe", recipe_rows(stored, self)

    def figures(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[tuple[str, Callable[[], Figure]]]:
        yield "recipe_by_layer", lambda: recipe_by_layer(tables["recipe"], stored.title)

    def findings(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return recipe_findings(tables["recipe"])

    def excerpts(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[Excerpt]:
        return recipe_excerpts(tables["recipe"])

    def listing(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        yield recipe_table(tables["recipe"])


@jax.jit
def _classes(features: jax.Array, weights: jax.Array, biases: jax.Array) -> jax.Array:
    """The most likely class of each image, int32 [N]; weights [D, C], biases [C]."""
    return (matmul(features.astype(jnp.float32), weights) + biases[None]).argmax(axis=1).astype(jnp.int32)
