"""Tidy tables of everything probes say: scores, recalls, mistakes and differences."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bias_jax.data import FaceDataset
from bias_jax.probes import (
    COMPARED,
    OutOfFold,
    Score,
    attribute_pairs,
    class_recalls,
    compare_probes,
    frequent_mistakes,
    layer_pairs,
    mistake_types,
    probe_values,
    score_probes,
)
from bias_jax.randomness import key_for
from bias_jax.results import RunDirectory
from experiments.config import SweepConfig

Shapes = Mapping[str, tuple[tuple[str, int], ...]]  # target -> (attribute, number of categories)


def columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, list]:
    """Rows of a table as columns."""
    found = list(rows)
    return {key: [row[key] for row in found] for key in found[0]} if found else {}


def probe_tables(
    directory: RunDirectory,
    config: SweepConfig,
    dataset: FaceDataset,
    results: Mapping[str, OutOfFold],
    common: Mapping[str, Mapping[str, Any]],
) -> dict[str, list[Score]]:
    """Write the tables; returns the scores of every layer.

    Args:
        directory: where.
        config: of the sweep.
        dataset: whose labels were probed.
        results: layer -> predictions.
        common: layer -> columns that every row of the layer carries, among them `model`.
    """
    shapes = {t.name: tuple((a.name, len(a.categories)) for a in t.attributes) for t in dataset.targets}
    classes = {t.name: t.classes for t in dataset.targets}
    ordinal = [a.name for a in (*dataset.attributes, *dataset.solo_attributes) if a.ordinal]
    groups, key = dataset.group_labels, key_for(config.seed, "bootstrap")
    scores = {
        layer: score_probes(result, shapes, groups, ordinal=ordinal, draws=config.draws, key=key)
        for layer, result in results.items()
    }
    strengths = {layer: _strengths(result, list(shapes), config) for layer, result in results.items()}

    def save(name: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        directory.save_table(name, columns({**common[layer], **row} for layer, row in rows))

    save("probes.parquet", ((n, s._asdict() | strengths[n][s.probe]) for n, found in scores.items() for s in found))
    save("recalls.parquet", ((n, r._asdict()) for n, result in results.items() for r in class_recalls(result, classes)))
    if len(dataset.attributes) > 1:
        types = ((n, m._asdict()) for n, result in results.items() for m in mistake_types(result, shapes))
        save("mistake_types.parquet", types)
        most = ((n, m._asdict()) for n, result in results.items() for m in frequent_mistakes(result, shapes, classes))
        save("frequent_mistakes.parquet", most)
    model = next(iter(common.values()))["model"]
    if rows := differences(model, results, shapes, groups, config):
        directory.save_table("differences.parquet", columns(rows))
    return scores


def differences(
    model: str, results: Mapping[str, OutOfFold], shapes: Shapes, groups: np.ndarray, config: SweepConfig
) -> list[dict[str, Any]]:
    """Between every two layers for every target, and between every two attributes in every layer."""
    singles = [target for target, attributes in shapes.items() if len(attributes) == 1]
    key, found = key_for(config.seed, "bootstrap"), []
    for metric in COMPARED:
        values = probe_values(model, results, shapes, metric)
        kinds = {"layers": layer_pairs(list(values))}
        if metric == COMPARED[0]:  # bits of attributes with unequal entropies are not comparable
            kinds["attributes"] = attribute_pairs(list(values), singles)
        for kind, pairs in kinds.items():
            rows = compare_probes(metric, values, pairs, groups, draws=config.draws, key=key)
            found += [{"compared": kind, **row._asdict()} for row in rows]
    return found


def _strengths(result: OutOfFold, targets: Sequence[str], config: SweepConfig) -> dict[str, dict[str, float | bool]]:
    """Columns about each target's chosen strengths."""
    edges = (min(config.l2), max(config.l2))
    return {
        target: {
            "l2": float(np.exp(np.log(result.l2[t]).mean())),  # geometric mean over outer folds
            "l2_at_edge": bool(np.isin(result.l2[t], edges).any()),  # a wider grid might do better
            "relative_gap": float(result.relative_gap[t]),
        }
        for t, target in enumerate(targets)
    }
