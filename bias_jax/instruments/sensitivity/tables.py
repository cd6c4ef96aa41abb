"""Tidy tables: how much of the answer changes along each direction, and which classes change.

Slopes are derivatives of log-probabilities, in nats per scale of the layer, means over the images that were looked at.
p-values compare with directions between shuffled labels (of persons, where they have several images) and are exact;
``p_max_t`` is corrected for all layers, attributes, groups and, of classes, for all of them, reported or not.
Intervals are about other images, along the same direction.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bias_jax.audit import OUTPUT, Rows, Stored
from bias_jax.instruments.faces import PEOPLE
from bias_jax.instruments.predictions.views import CLASS, FAMILY
from bias_jax.instruments.sensitivity.changing import INSIDE, LOOKED_AT, answers_of, contrasts_of, loaded_span
from bias_jax.randomness import stable_hash
from bias_jax.sensitivity import Tested, beyond, permuted_test
from bias_jax.statistics import shuffled_blocks

Table = list[dict[str, Any]]


def sensitivity_tables(stored: Stored, permutations: int, max_classes: int) -> Iterator[tuple[str, Rows]]:
    """Tables by name."""
    names, families = answers_of(stored)
    layers = [layer.name for layer in stored.layers if layer.name != OUTPUT]
    contrasts, images = contrasts_of(stored.arrays), stored.arrays[INSIDE].shape[1]
    rng = np.random.default_rng(stable_hash(stored.run["seed"], "shuffled labels of directions"))
    # The same permutations in every layer, so that p-values can be corrected for all layers together.
    orders = np.stack([shuffled_blocks(stored.arrays.get(PEOPLE), rng, images) for _ in range(permutations)])
    tested = {}
    for layer in layers:
        span, slopes = loaded_span(stored, layer), stored.interventions(layer)["slopes"]
        tested[layer] = permuted_test(contrasts, span.coordinates, span.scale, slopes, orders, len(names))
    yield "sensitivity_strength", _strengths(stored, tested, len(names))
    yield "sensitivity", _classes(stored, tested, names, list(families), max_classes)


def _strengths(stored: Stored, tested: dict[str, Tested], classes: int) -> Table:
    """Per layer and direction the root mean square slope over all classes, and that along other directions."""
    statistics = {}
    for layer, found in tested.items():
        unit = np.sqrt(np.square(found.strength).mean(axis=0))
        statistics[layer] = np.round(found.strength / np.where(unit > 0, unit, 1.0), 5)
    largest = np.max([own.max(axis=1) for own in statistics.values()], axis=0)
    columns, rows = stored.layer_columns(), []
    for layer, found in tested.items():
        random = np.sqrt(np.square(stored.interventions(layer)["random"][:, :classes]).mean(axis=1))
        for g, (attribute, group, against) in enumerate(stored.facts["contrasts"]):
            own, null = statistics[layer][:, g], found.strength[1:, g]
            rows.append({
                **columns[layer],
                "attribute": attribute,
                "group": group,
                "against": against,
                "value": float(found.strength[0, g]),
                "shuffled": float(np.median(null)),
                "shuffled_low": float(np.percentile(null, 2.5)),
                "shuffled_high": float(np.percentile(null, 97.5)),
                "random": float(np.median(random)),
                "p_value": float((own >= own[0]).mean()),
                "p_max_t": float(beyond(own[0], largest)),
                "images": len(stored.arrays[LOOKED_AT]),
            })  # fmt: skip
    return rows


def _classes(
    stored: Stored, tested: dict[str, Tested], names: tuple[str, ...], families: list[str], max_classes: int
) -> Table:
    """Per layer and direction the slopes of all families, and of an attribute's most sensitive classes."""
    largest = np.max([found.largest for found in tested.values()], axis=0)
    contrasts = stored.facts["contrasts"]
    of_attribute = np.array([attribute for attribute, *_ in contrasts])
    predicted = np.bincount(stored.load(OUTPUT)["predicted"], minlength=len(names)) / stored.arrays[INSIDE].shape[1]
    labels = [(FAMILY, name) for name in families]
    reported = {}
    for attribute in dict.fromkeys(of_attribute.tolist()):
        best = np.max([found.statistic[of_attribute == attribute].max(axis=0) for found in tested.values()], axis=0)
        order = np.argsort(-best[: len(names)], kind="stable")[:max_classes]
        numbers = [*(len(names) + f for f in range(len(families))), *order.tolist()]
        reported[attribute] = list(zip(numbers, [*labels, *((CLASS, names[c]) for c in order)], strict=True))
    columns, rows = stored.layer_columns(), []
    for layer, found in tested.items():
        arrays = stored.interventions(layer)
        random = np.sqrt(np.square(arrays["random"]).mean(axis=0))
        corrected = beyond(found.statistic, largest)
        for g, (attribute, group, against) in enumerate(contrasts):
            for c, (kind, label) in reported[attribute]:
                rows.append({
                    **columns[layer],
                    "attribute": attribute,
                    "group": group,
                    "against": against,
                    "kind": kind,
                    "label": label,
                    "value": float(found.value[g, c]),
                    "low": float(arrays["low"][g, c]),
                    "high": float(arrays["high"][g, c]),
                    "positive": float(arrays["positive"][g, c]),
                    "shuffled": float(found.shuffled[g, c]),
                    "random": float(random[c]),
                    "p_value": float(found.p_value[g, c]),
                    "p_max_t": float(corrected[g, c]),
                    "predicted": float(predicted[c]) if kind == CLASS else float("nan"),
                    "images": len(stored.arrays[LOOKED_AT]),
                })  # fmt: skip
    return rows
