"""Probes as they were stored, and the targets they were trained for."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from bias_jax.audit import Stored
from bias_jax.audit.stored import layer_file
from bias_jax.errors import InputError
from bias_jax.probes import OutOfFold, Score

Shapes = Mapping[str, tuple[tuple[str, int], ...]]  # target -> (attribute, number of categories)


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
