"""What a network says of people, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.predictions.views import CLASS, EVERYONE, FAMILY, said, views_of

LISTED = 5  # of the most frequent classes and of the worst differences
SIGNIFICANT = 0.05
CAVEAT = (
    "Groups are labels that somebody gave to faces, not what people say of themselves. A difference says that these "
    "photographs are answered differently, not why: pose, background, and quality may differ as well. Confidence is "
    "the softmax of the output; it is no rate of correct answers, for none of these classes need be right for a face."
)


def prediction_findings(stored: Stored, tables: Mapping[str, Rows], min_images: int) -> Iterator[str]:
    """Frequent classes, the worst differences, confidence by attribute, and what none of it means."""
    yield "\n".join(_overall(stored, tables.get("predictions", []), min_images))
    yield "\n".join(_differences(tables.get("prediction_differences", [])))
    yield "\n".join(_confidence(stored, tables["confidence"]))
    yield CAVEAT


def _overall(stored: Stored, rates: Rows, min_images: int) -> Iterator[str]:
    answer = said(stored)
    every = [row for row in rates if row["view"] == EVERYONE]
    first = [row for row in every if row["kind"] == CLASS and row["top"] == 1]
    yield f"what {stored.run['model']} ({stored.run['weights']}) says of {len(answer.classes)} images"
    for row in first[:LISTED]:
        yield f"  {_percent(row)}  {row['label']}"
    named = {row["label"] for row in first}
    others = [c for c in np.unique(answer.classes[:, 0]) if answer.names[c] not in named]
    share = 100.0 * float(np.isin(answer.classes[:, 0], others).mean())
    yield (f"  reported: {len(first)} of {len(answer.names)} classes, the most frequent ones, most probable for at "
           f"least {min_images} images; predicted but left out: {len(others)}, "
           f"for {share:.1f} % of the images")  # fmt: skip
    for row in [row for row in every if row["kind"] == FAMILY]:
        where = "most probable" if row["top"] == 1 else f"among the {row['top']} most probable"
        yield f"  {_percent(row)}  family {row['label']}, {where}"


def _differences(rows: Rows) -> Iterator[str]:
    sure = sum(row["p_holm"] < SIGNIFICANT for row in rows)
    if not rows:
        yield "differences between groups: nothing to compare"
        return
    yield (f"differences between groups: {sure} of {len(rows)} with p < {SIGNIFICANT} (Fisher's exact test, "
           f"Holm's correction for all of them); the worst, in points from the mean of the other groups")  # fmt: skip
    for row in rows[:LISTED]:
        where = "" if row["top"] == 1 else f" among {row['top']}"
        family = "family " if row["kind"] == FAMILY else ""
        yield (f"  {family}{row['label']}{where}, {row['view']} {row['group']}: {100 * row['value']:.1f} % against "
               f"{100 * row['others']:.1f} %, {100 * row['difference']:+.1f} [{100 * row['low']:+.1f}, "
               f"{100 * row['high']:+.1f}], p (Holm) {row['p_holm']:.2g}")  # fmt: skip


def _confidence(stored: Stored, rows: Rows) -> Iterator[str]:
    (overall,) = [r for r in rows if r["view"] == EVERYONE and r["measure"] == "confidence"]
    yield (f"mean confidence: {_mean(overall)}; by attribute "
           f"(* differs from the other groups, p (max-T) < {SIGNIFICANT})")  # fmt: skip
    attributes = [name for name, _ in stored.facts["attributes"]]
    for view in views_of(stored):
        if view.name in attributes:
            own = [r for r in rows if r["view"] == view.name and r["measure"] == "confidence"]
            cells = [f"{r['group']} {_mean(r)}{'*' if r['p_max_t'] < SIGNIFICANT else ''}" for r in own]
            yield f"  {view.name}: " + ", ".join(cells)


def _percent(row: Mapping[str, Any]) -> str:
    return f"{100 * row['value']:5.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def _mean(row: Mapping[str, Any]) -> str:
    return f"{row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
