"""What a network says of people, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.predictions.views import CLASS, EVERYONE, FAMILY, said, views_of

LISTED = 5  # of the most frequent classes
WORST = 3  # of the differences
SIGNIFICANT = 0.05
CAVEAT = (
    "Groups are labels that somebody gave to faces, not what people say of themselves. A difference says that these "
    "photographs are answered differently, not why: pose, background, and quality may differ as well. Confidence is "
    "the softmax of the output; it is no rate of correct answers, for none of these classes need be right for a face."
)


def prediction_findings(stored: Stored, tables: Mapping[str, Rows], min_images: int) -> Iterator[str]:
    """The most frequent classes, the surest differences, confidence, and what none of it means."""
    yield from _overall(stored, tables.get("predictions", []), min_images)
    yield from _differences(tables.get("prediction_differences", []))
    yield _confidence(tables["confidence"])
    yield CAVEAT


def prediction_listing(stored: Stored, tables: Mapping[str, Rows]) -> Iterator[str]:
    """Rates of all images and confidence by attribute, as text."""
    every = [row for row in tables.get("predictions", []) if row["view"] == EVERYONE and row["top"] == 1]
    if every:
        lines = [f"what {stored.run['model']} ({stored.run['weights']}) says of all images"]
        yield "\n".join([*lines, *(f"  {_percent(row)}  {row['label']}" for row in every)])
    lines = [f"mean confidence by attribute (* differs from the other groups, p (max-T) < {SIGNIFICANT})"]
    attributes = [name for name, _ in stored.facts["attributes"]]
    for view in views_of(stored):
        if view.name in attributes:
            own = [r for r in tables["confidence"] if r["view"] == view.name and r["measure"] == "confidence"]
            cells = [f"{r['group']} {_mean(r)}{'*' if r['p_max_t'] < SIGNIFICANT else ''}" for r in own]
            lines.append(f"  {view.name}: " + ", ".join(cells))
    yield "\n".join(lines)


def _overall(stored: Stored, rates: Rows, min_images: int) -> Iterator[str]:
    answer, run = said(stored), stored.run
    every = [row for row in rates if row["view"] == EVERYONE]
    first = [row for row in every if row["kind"] == CLASS and row["top"] == 1]
    most = ", ".join(f"{row['label']} of {_percent(row).strip()}" for row in first[:LISTED])
    named = {row["label"] for row in first}
    others = [c for c in np.unique(answer.classes[:, 0]) if answer.names[c] not in named]
    share = 100.0 * float(np.isin(answer.classes[:, 0], others).mean())
    yield (f"{run['model']} ({run['weights']}) says of {len(answer.classes)} images most often: {most or 'nothing'}; "
           f"reported are {len(first)} of {len(answer.names)} classes, most probable for at least {min_images} images; "
           f"predicted but left out: {len(others)}, for {share:.1f} % of the images.")  # fmt: skip
    for row in [row for row in every if row["kind"] == FAMILY]:
        where = "most probable" if row["top"] == 1 else f"among the {row['top']} most probable"
        yield f"Of the family {row['label']}, {where}, are {_percent(row).strip()} of all images."


def _differences(rows: Rows) -> Iterator[str]:
    if not rows:
        yield "Between groups there is nothing to compare."
        return
    sure = sum(row["p_holm"] < SIGNIFICANT for row in rows)
    yield (f"Between groups, {sure} of {len(rows)} differences have p < {SIGNIFICANT} (Fisher's exact test, Holm's "
           "correction for all of them).")  # fmt: skip
    for row in rows[:WORST]:
        where = "" if row["top"] == 1 else f" among {row['top']}"
        family = "family " if row["kind"] == FAMILY else ""
        yield (f"{family}{row['label']}{where}, {row['view']} {row['group']}: {100 * row['value']:.1f} % against "
               f"{100 * row['others']:.1f} % in the mean of the others, {100 * row['difference']:+.1f} points "
               f"[{100 * row['low']:+.1f}, {100 * row['high']:+.1f}], p (Holm) {row['p_holm']:.2g}.")  # fmt: skip


def _confidence(rows: Rows) -> str:
    (overall,) = [r for r in rows if r["view"] == EVERYONE and r["measure"] == "confidence"]
    compared = [r for r in rows if r["view"] != EVERYONE and r["measure"] == "confidence"]
    text = f"Its mean confidence is {_mean(overall)}"
    sure = sorted((r for r in compared if r["p_max_t"] < SIGNIFICANT), key=lambda r: -abs(r["difference"]))
    if not sure:
        return f"{text}; no group differs from the others significantly (max-T)."
    row = sure[0]
    return (f"{text}; {len(sure)} groups differ from the others (p < {SIGNIFICANT}, max-T), most of all {row['view']} "
            f"{row['group']} with {_mean(row)}, {row['difference']:+.2g} [{row['difference_low']:+.2g}, "
            f"{row['difference_high']:+.2g}].")  # fmt: skip


def _percent(row: Mapping[str, Any]) -> str:
    return f"{100 * row['value']:5.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def _mean(row: Mapping[str, Any]) -> str:
    return f"{row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
