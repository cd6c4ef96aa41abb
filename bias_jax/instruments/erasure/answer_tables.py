"""Tidy tables of what erasing a layer does to the network's answers: of all images, and by group.

Everything is about other images with the same erasers, the controls' too. Intervals and tests are in closed form,
because answers of few images often do not change at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bias_jax.audit import OUTPUT, Rows, Stored
from bias_jax.disparity.comparisons import from_others
from bias_jax.instruments.erasure.asking import ANSWERED, Asked, asked_of
from bias_jax.instruments.erasure.conditions import ERASED, NOTHING, Condition, conditions_of
from bias_jax.statistics import (
    clopper_pearson_interval,
    combined_interval,
    holm,
    mcnemar_exact,
    mean_change,
    paired_change,
)

ANSWERS, BY_GROUP = "erasure_answers", "erasure_answers_by_group"  # tables
AGREEMENT, DISTANCE = "agreement", "change of probabilities"  # metrics
RATE, PROBABILITY = "rate", "probability"  # measures
EVERYONE = "all images"  # the view that does not part them
Table = list[dict[str, Any]]


def answer_tables(stored: Stored) -> Iterator[tuple[str, Rows]]:
    """Tables by name; none where the network was not asked."""
    if not (layers := stored.intervened()):
        return
    columns, asked, conditions = stored.layer_columns(), asked_of(stored), conditions_of(stored.facts)
    views = _views(stored)
    overall: Table = []
    grouped: Table = []
    for layer in layers:
        arrays = stored.interventions(layer)
        off = {"reinserted": float(arrays["reinserted"][0])}
        overall += [{**columns[layer], **row, **off} for row in _overall(arrays, conditions)]
        grouped += [{**columns[layer], **row} for row in _by_group(arrays, conditions, asked, views)]
    _correct(overall, "p_beyond")
    _correct(grouped, "p_change")
    yield ANSWERS, overall
    yield BY_GROUP, grouped


def _correct(rows: Table, name: str) -> None:
    """Add Holm's p-values of all rows that have one."""
    tested = [row for row in rows if np.isfinite(row[name])]
    for row in rows:
        row[f"{name}_holm"] = float("nan")
    for row, p in zip(tested, holm([row[name] for row in tested]), strict=True):
        row[f"{name}_holm"] = float(p)


def _overall(arrays: Mapping[str, np.ndarray], conditions: Sequence[Condition]) -> Iterator[dict[str, Any]]:
    """How many answers stay the same and how far probabilities move; of controls, how much further erasing goes."""
    same, distance = arrays["predicted"] == arrays["predicted"][:1], arrays["distance"].astype(float)
    images = same.shape[1]
    for k, condition in enumerate(conditions):
        if condition.erased == NOTHING:
            continue
        real = conditions.index(Condition(condition.erased, ERASED))
        nothing = {name: float("nan") for name in ("beyond", "beyond_low", "beyond_high", "p_beyond")}
        for metric in (AGREEMENT, DISTANCE):
            if metric == AGREEMENT:
                value = float(same[k].mean())
                low, high = map(float, clopper_pearson_interval(same[k].sum(), np.array(images)))
                beyond = (*paired_change(same[k], same[real]), mcnemar_exact(same[k], same[real]))
            else:
                value, low, high, _ = mean_change(distance[k])
                low, high = max(low, 0.0), min(high, 1.0)
                beyond = mean_change(distance[real] - distance[k])
            own = dict(zip(nothing, beyond, strict=True)) if k != real else nothing
            place = {**condition._asdict(), "metric": metric}
            yield {**place, "value": value, "low": low, "high": high, **own, "images": images}


def _by_group(
    arrays: Mapping[str, np.ndarray], conditions: Sequence[Condition], asked: Sequence[Asked],
    views: Mapping[str, tuple[np.ndarray, Sequence[str]]],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """What is said of each group of the erased attributes before and after."""
    predicted, probabilities = arrays["predicted"], arrays["probabilities"].astype(float)
    for k, condition in enumerate(conditions):
        if condition.erased == NOTHING:
            continue
        for name in (EVERYONE, *condition.erased.split(" x ")):
            groups, names = views[name]
            for e, one in enumerate(asked):
                hits = np.isin(predicted[[0, k]], one.members)
                for measure, (before, after) in ((RATE, hits), (PROBABILITY, probabilities[[0, k], :, e])):
                    place = {**condition._asdict(), "view": name, "kind": one.kind, "label": one.label}
                    for row in _groups(before, after, groups, names, measure):
                        yield {**place, "measure": measure, **row}


def _groups(
    before: np.ndarray, after: np.ndarray, groups: np.ndarray, names: Sequence[str], measure: str
) -> Iterator[dict[str, Any]]:
    """Means of the groups that occur, their changes, and gaps: how far each is from the mean of the others."""
    there = np.unique(groups)
    means = np.array([[side[groups == g].mean() for side in (before, after)] for g in there])
    gaps = from_others(means)[0]
    changes = []
    for g in there:
        own = before[groups == g], after[groups == g]
        if measure == RATE:
            changes.append((*paired_change(*own), mcnemar_exact(*own)))
        else:
            value, low, high, p = mean_change(own[1] - own[0])
            changes.append((value, max(low, -1.0), min(high, 1.0), p))
    value, low, high, p = np.array(changes).T
    for i, g in enumerate(there):
        row = {"group": names[g], "images": int((groups == g).sum()), "before": means[i, 0], "after": means[i, 1]}
        row |= {"change": value[i], "change_low": low[i], "change_high": high[i], "p_change": p[i]}
        row |= dict.fromkeys(("gap_before", "gap_after", "gap_change", "gap_change_low", "gap_change_high"), np.nan)
        if len(there) > 1:
            weights = np.where(np.arange(len(there)) == i, 1.0, -1.0 / (len(there) - 1))
            row |= {"gap_before": gaps[i, 0], "gap_after": gaps[i, 1]}
            parts = combined_interval(weights, value, low, high)
            row |= dict(zip(("gap_change", "gap_change_low", "gap_change_high"), parts, strict=True))
        yield {name: float(x) if isinstance(x, np.floating) else x for name, x in row.items()}


def _views(stored: Stored) -> dict[str, tuple[np.ndarray, Sequence[str]]]:
    """Name -> group of each asked image int [m], and names of the groups; of the attributes, and of none."""
    rows = stored.arrays[ANSWERED]
    found: dict[str, tuple[np.ndarray, Sequence[str]]] = {EVERYONE: (np.zeros(len(rows), int), (EVERYONE,))}
    for name, classes in stored.facts["targets"].items():
        if " x " not in name:
            found[name] = stored.arrays[f"labels of {name}"][rows], classes
    return found


def probed_layers(stored: Stored) -> list[str]:
    """Layers that probes looked at: all but the output."""
    return [layer.name for layer in stored.layers if layer.name != OUTPUT]
