"""Probes as they were stored, and the targets they were trained for."""

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from bias_jax.audit import Stored
from bias_jax.audit.stored import TASK, layer_file
from bias_jax.errors import InputError
from bias_jax.probes import OutOfFold, Score
from bias_jax.results import DamagedError

Shapes = Mapping[str, tuple[tuple[str, int], ...]]  # target -> (attribute, number of categories)

FACTS = {"categories": {str: [str]}, "targets": {str: [str]}, "groups": str, "ordinal": [str]}


def probe_facts(stored: Stored) -> Mapping[str, Any]:
    """`Task.facts` of probes, from a run that may have been damaged.

    Raises:
        DamagedError: they are not what probes write.
    """
    facts = stored.folder.load_json("facts.json", FACTS)
    named = {name for parts in facts["targets"].values() for name in parts}
    if not named <= facts["categories"].keys() or facts["groups"] not in facts["targets"]:
        raise DamagedError(stored.folder.path / "facts.json", "its targets are not made of its attributes")
    return facts


def fitting_results(stored: Stored) -> tuple[dict[str, OutOfFold], np.ndarray]:
    """layer -> predictions; and the group of each image, int [N]; from a run that may have been damaged.

    Raises:
        InputError: as `probe_results`, and where arrays, each of them whole, are not those of `probe_facts`.
    """
    facts, path = probe_facts(stored), stored.folder.path
    groups, results = stored.arrays.get(f"labels of {facts['groups']}"), probe_results(stored)
    if groups is None:
        raise DamagedError(path / TASK, f"it has no labels of {facts['groups']}")
    sizes = [prod(size for _, size in parts) for parts in shapes_of(facts).values()]
    for layer, result in results.items():
        classes = result.truth.max(axis=(0, 2), initial=0).tolist() if result.truth.ndim == 3 else []
        fits = len(classes) == len(sizes) and all(top < size for top, size in zip(classes, sizes, strict=True))
        if not fits or result.truth.shape[2] != len(groups):
            raise DamagedError(
                path / layer_file(stored.source, layer), "its targets or images are not those of the run"
            )
    return results, groups


def probe_results(stored: Stored) -> dict[str, OutOfFold]:
    """layer -> predictions, in depth order.

    Raises:
        InputError: a layer is missing, or was written by another version.
    """
    return {layer.name: probe_result(stored, layer.name) for layer in stored.layers}


def probe_result(stored: Stored, layer: str) -> OutOfFold:
    """Predictions in one layer; raises as `probe_results` does."""
    arrays = stored.load(layer)
    if arrays.keys() != OutOfFold.__dataclass_fields__.keys():
        remedy, file = "run that sweep with another --out", layer_file(stored.source, layer)
        raise InputError("written by another version of bias-jax", file=stored.folder.path / file, remedy=remedy)
    return OutOfFold(**arrays)


def shapes_of(facts: Mapping[str, Any]) -> Shapes:
    """Attributes of every target, from `Task.facts`."""
    categories = facts["categories"]
    return {t: tuple((name, len(categories[name])) for name in parts) for t, parts in facts["targets"].items()}


def classes_of(facts: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Class names of every target, in the order of their numbers."""
    return {
        target: tuple(" / ".join(names) for names in product(*(facts["categories"][name] for name in parts)))
        for target, parts in facts["targets"].items()
    }


def scores_by_layer(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Score]]:
    """Scores of every layer, from the rows of the table `probes`."""
    found: dict[str, list[Score]] = {}
    for row in rows:
        found.setdefault(row["layer"], []).append(Score(**{name: row[name] for name in Score._fields}))
    return found
