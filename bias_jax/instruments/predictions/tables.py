"""Tidy tables of what a network says: rates, differences between groups, confidence and entropy."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.predictions.means import group_means, permutation_tests
from bias_jax.instruments.predictions.rates import difference_from_others, fisher_exact
from bias_jax.instruments.predictions.views import Event, Said, View, events_of, said, views_of
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
    hits, images = _counts(view, events)
    low, high = clopper_pearson_interval(hits, images[:, None])
    return [
        {
            "view": view.name,
            "group": group,
            **_of(event),
            "value": hits[g, e] / images[g],
            "low": low[g, e],
            "high": high[g, e],
            "hits": int(hits[g, e]),
            "images": int(images[g]),
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
        hits, images = _counts(view, varying)
        difference, low, high = difference_from_others(hits, images)
        p = fisher_exact(hits, images)
        for e, event in enumerate(varying):
            for g, group in enumerate(view.names if len(view.names) > 2 else view.names[:1]):
                rate = hits[g, e] / images[g]
                rows.append({
                    "view": view.name,
                    "group": group,
                    **_of(event),
                    "value": rate,
                    "others": rate - difference[g, e],
                    "difference": difference[g, e],
                    "low": low[g, e],
                    "high": high[g, e],
                    "hits": int(hits[g, e]),
                    "images": int(images[g]),
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
    tests = permutation_tests(list(measures.values()), [view.groups for view in views], permutations, seed)
    corrected = zip(*tests, strict=True)
    rows: Table = []
    for measure, values in measures.items():
        for view in views:
            found = group_means(values, view.groups)
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


def _counts(view: View, events: Sequence[Event]) -> tuple[np.ndarray, np.ndarray]:
    """Hits int [G, M] and images int [G] of every group."""
    size = len(view.names)
    hits = [np.bincount(view.groups[event.hits], minlength=size) for event in events]
    return np.array(hits, int).reshape(len(events), size).T, np.bincount(view.groups, minlength=size)


def _of(event: Event) -> dict[str, Any]:
    return {"kind": event.kind, "label": event.label, "top": event.top}
