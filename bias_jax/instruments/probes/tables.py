"""Tidy tables of everything probes say: scores, recalls, mistakes and differences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.faces import PEOPLE
from bias_jax.instruments.probes.stored import Shapes, classes_of, probe_results, shapes_of
from bias_jax.probes import (
    COMPARED,
    OutOfFold,
    ProbeConfig,
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
from bias_jax.statistics import collapsed_strata


def probe_tables(stored: Stored, config: ProbeConfig, seed: int) -> Iterator[tuple[str, Rows]]:
    """Tables by name."""
    shapes, classes = shapes_of(stored.facts), classes_of(stored.facts)
    results, common = probe_results(stored), stored.layer_columns()
    people, key = stored.arrays.get(PEOPLE), key_for(seed, "bootstrap")
    groups = collapsed_strata(stored.arrays[f"labels of {stored.facts['groups']}"], people)
    scores: list[dict[str, Any]] = []
    for layer, result in results.items():
        strengths = _strengths(result, list(shapes), config)
        for s in score_probes(
            result, shapes, groups, ordinal=stored.facts["ordinal"], draws=config.draws, key=key, people=people
        ):
            scores.append({**common[layer], **s._asdict(), **strengths[s.probe]})
    yield "probes", scores
    yield (
        "recalls",
        [{**common[n], **r._asdict()} for n, result in results.items() for r in class_recalls(result, classes, people)],
    )
    if any(len(parts) > 1 for parts in shapes.values()):
        yield (
            "mistake_types",
            [
                {**common[n], **m._asdict()}
                for n, result in results.items()
                for m in mistake_types(result, shapes, people)
            ],
        )
        yield (
            "frequent_mistakes",
            [
                {**common[n], **m._asdict()}
                for n, result in results.items()
                for m in frequent_mistakes(result, shapes, classes)
            ],
        )
    yield "differences", _differences(stored.run["model"], results, shapes, groups, people, config, seed)


def _differences(
    model: str,
    results: Mapping[str, OutOfFold],
    shapes: Shapes,
    groups: np.ndarray,
    people: np.ndarray | None,
    config: ProbeConfig,
    seed: int,
) -> list[dict[str, Any]]:
    """Between every two layers for every target, and between every two attributes in every layer."""
    singles = [target for target, attributes in shapes.items() if len(attributes) == 1]
    key, found = key_for(seed, "bootstrap"), []
    for metric in COMPARED:
        values = probe_values(model, results, shapes, metric)
        kinds = {"layers": layer_pairs(list(values))}
        if metric == COMPARED[0]:  # bits of attributes with unequal entropies are not comparable
            kinds["attributes"] = attribute_pairs(list(values), singles)
        for kind, pairs in kinds.items():
            rows = compare_probes(metric, values, pairs, groups, draws=config.draws, key=key, people=people)
            found += [{"compared": kind, **row._asdict()} for row in rows]
    return found


def _strengths(result: OutOfFold, targets: Sequence[str], config: ProbeConfig) -> dict[str, dict[str, float | bool]]:
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
