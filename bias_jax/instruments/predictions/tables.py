"""Tidy tables of what a network says: rates, differences between groups, confidence and entropy.

Where persons have several images, a group's rate is the mean of its persons' rates, and a person counts as one trial:
means of trials vary at most as much as one. Tests of rates take one image of each person, drawn by seed, so that they
stay exact; those of confidence permute persons. The columns `hits` and `images` count images, `persons` persons.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from bias_jax.audit import Rows, Stored
from bias_jax.disparity.rate_differences import difference_from_others, fisher_exact
from bias_jax.instruments.predictions.means import group_means, permutation_tests
from bias_jax.instruments.predictions.views import Event, Said, View, events_of, mean_of_units, said, views_of
from bias_jax.statistics import benjamini_hochberg, clopper_pearson_interval, holm

Table = list[dict[str, Any]]


def prediction_tables(
    stored: Stored, min_images: int, max_classes: int, permutations: int
) -> Iterator[tuple[str, Rows]]:
    """Tables by name."""
    answer, views = said(stored), views_of(stored)
    events = events_of(answer, stored.facts["families"], min_images, max_classes)
    yield "predictions", [{**stored.common, **row} for view in views for row in rate_rows(view, events)]
    yield "prediction_differences", [{**stored.common, **row} for row in difference_rows(views, events)]
    rows = confidence_rows(views, answer, permutations, stored.run["seed"])
    yield "confidence", [{**stored.common, **row} for row in rows]


def rate_rows(view: View, events: Sequence[Event]) -> Table:
    """One row per group and event, with the Clopper-Pearson interval of the rate."""
    counts = _counts(view, events)
    low, high = clopper_pearson_interval(counts.successes, counts.trials[:, None])
    return [
        {
            "view": view.name,
            "group": group,
            **_of(event),
            "value": counts.successes[g, e] / counts.trials[g],
            "low": low[g, e],
            "high": high[g, e],
            **counts.columns(g, e),
        }
        for e, event in enumerate(events)
        for g, group in enumerate(view.names)
    ]


def difference_rows(views: Sequence[View], events: Sequence[Event]) -> Table:
    """Every group against the others, worst first: the smallest p-value, then the largest difference.

    `difference` is from the mean of the other groups' rates; `p_value` tests the group against all other images
    (Fisher's exact test), and all rows together are corrected. A view of two groups gives one test and has one row, of
    its first group. What is said of no image, or of all, cannot differ and has no row.
    """
    rows: Table = []
    varying = [event for event in events if 0 < event.hits.sum() < len(event.hits)]
    for view in views:
        if len(view.names) < 2 or not varying:
            continue
        counts = _counts(view, varying)
        difference, low, high = difference_from_others(counts.successes, counts.trials)
        p = fisher_exact(*_independent(view, varying))
        for e, event in enumerate(varying):
            for g, group in enumerate(view.names if len(view.names) > 2 else view.names[:1]):
                rate = counts.successes[g, e] / counts.trials[g]
                rows.append({
                    "view": view.name,
                    "group": group,
                    **_of(event),
                    "value": rate,
                    "others": rate - difference[g, e],
                    "difference": difference[g, e],
                    "low": low[g, e],
                    "high": high[g, e],
                    **counts.columns(g, e),
                    "p_value": p[g, e],
                })  # fmt: skip
    values = [row["p_value"] for row in rows]
    corrected = zip(holm(values), benjamini_hochberg(values), strict=True)
    found = [{**row, "p_holm": h, "p_benjamini_hochberg": b} for row, (h, b) in zip(rows, corrected, strict=True)]
    return sorted(found, key=lambda row: (row["p_value"], -abs(row["difference"])))


def confidence_rows(views: Sequence[View], answer: Said, permutations: int, seed: int) -> Table:
    """Mean confidence (probability of the predicted class) and mean entropy (bits) of every group.

    `p_value` and `p_max_t` are of the differences, from permuted group labels; the latter is corrected for all groups,
    views and both measures together.
    """
    measures = {"confidence": answer.confidence, "entropy": answer.entropy}
    largest = {"confidence": 1.0, "entropy": float(np.log2(len(answer.names)))}
    corrected = iter(_permuted(list(measures.values()), views, permutations, seed))
    rows: Table = []
    for measure, values in measures.items():
        for view in views:
            unit, groups = view.units()
            found = group_means(mean_of_units(values, unit), groups)
            most = largest[measure]
            bounded = found._replace(
                low=np.maximum(found.low, 0.0),
                high=np.minimum(found.high, most),
                difference_low=np.maximum(found.difference_low, -most),
                difference_high=np.minimum(found.difference_high, most),
            )
            images = np.bincount(view.groups)
            for g, group in enumerate(view.names):
                p_value, p_max_t = next(corrected)
                place = {"view": view.name, "group": group, "measure": measure, "images": int(images[g])}
                numbers = {name: float(column[g]) for name, column in bounded._asdict().items()}
                rows.append({**place, **numbers, "p_value": float(p_value), "p_max_t": float(p_max_t)})
    return rows


def _permuted(values: Sequence[np.ndarray], views: Sequence[View], permutations: int, seed: int) -> np.ndarray:
    """`permutation_tests` of images, or of persons in their drawn images' groups, [M, 2]; NaN of groups without."""
    people, drawn = views[0].people, views[0].drawn
    parts = [view.groups for view in views]
    if people is not None:
        values, parts = [mean_of_units(v, people) for v in values], [groups[drawn] for groups in parts]
    occupied = [np.unique(groups, return_inverse=True) for groups in parts]
    tests = permutation_tests(values, [number for _, number in occupied], permutations, seed)
    there = [np.isin(np.arange(len(view.names)), g) for view, (g, _) in zip(views, occupied, strict=True)]
    found = np.full((len(values) * sum(map(len, there)), 2), np.nan)
    found[np.tile(np.concatenate(there), len(values))] = np.transpose(tests)
    return found


class _Counts(NamedTuple):
    """What a rate is made of, in G groups for M events."""

    hits: np.ndarray  # of images, int [G, M]
    images: np.ndarray  # int [G]
    successes: np.ndarray  # sum of the units' rates: of persons, if they have several images, [G, M]
    trials: np.ndarray  # number of units, [G]
    of_persons: bool

    def columns(self, g: int, e: int) -> dict[str, int]:
        """Columns of counts of a table."""
        found = {"hits": int(self.hits[g, e]), "images": int(self.images[g])}
        return {**found, "persons": int(self.trials[g])} if self.of_persons else found


def _counts(view: View, events: Sequence[Event]) -> _Counts:
    size, (unit, groups) = len(view.names), view.units()
    hits = [np.bincount(view.groups[event.hits], minlength=size) for event in events]
    rates = [np.bincount(groups, mean_of_units(event.hits, unit), minlength=size) for event in events]
    hits_, rates_ = (np.array(a).reshape(len(events), size).T for a in (hits, rates))
    return _Counts(hits_, np.bincount(view.groups), rates_, np.bincount(groups), view.people is not None)


def _independent(view: View, events: Sequence[Event]) -> tuple[np.ndarray, np.ndarray]:
    """Hits int [G, M] and images int [G] of every group, of one image of each person."""
    rows = slice(None) if view.drawn is None else view.drawn
    groups, size = view.groups[rows], len(view.names)
    hits = [np.bincount(groups[event.hits[rows]], minlength=size) for event in events]
    return np.array(hits, int).T, np.bincount(groups, minlength=size)


def _of(event: Event) -> dict[str, Any]:
    return {"kind": event.kind, "label": event.label, "top": event.top}
