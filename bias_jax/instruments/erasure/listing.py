"""What erasure leaves and costs, as text."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.erasure.answer_tables import AGREEMENT, ANSWERS, DISTANCE
from bias_jax.instruments.erasure.conditions import ERASED, NOTHING, RANDOM, SHUFFLED
from bias_jax.instruments.erasure.tables import ACCURACY, LINEAR, NEIGHBOURS

CAVEAT = (
    "Erasure is linear: what no linear probe finds, neighbours or deeper layers may still use.",
    "Where an eraser was fitted it is exact. On other images, on which these probes are trained anew, it leaves what "
    "it could not know: of D features and two classes of n images each, means about sqrt(2 D / n) standard deviations "
    "apart.",
)


def erasure_listing(stored: Stored, tables: Mapping[str, Rows]) -> Iterator[str]:
    """For every erased attribute what is left, beside its controls, and what the others lose."""
    rows = [row for row in tables["erasure"] if row["metric"] == ACCURACY]
    lines = ["erasure, held out: adjusted balanced accuracy (0 chance, 1 perfect), medians over layers"]
    for name in stored.facts["erased"]:
        lines += _of_attribute(name, [row for row in rows if row["erased"] in (name, NOTHING)], tables["erasers"])
        lines += _answers(name, tables.get(ANSWERS, ()))
    yield "\n".join(lines)
    yield " ".join(CAVEAT)


def at_most(bound: float) -> str:
    """An upper bound in two digits, which is one still."""
    return f"{1.06 * bound:.2g}"


def _of_attribute(name: str, rows: Rows, erasers: Rows) -> Iterator[str]:
    own = [row for row in rows if row["target"] == name and row["erased"] == name]
    linear = [row for row in own if row["probe"] == LINEAR]
    after = [row for row in linear if row["control"] == ERASED]
    if not after:
        yield f"  {name}: nothing to measure"
        return
    start = [row for row in rows if row["target"] == name and row["erased"] == NOTHING and row["probe"] == LINEAR]
    controls = {c: _median(row["value"] for row in linear if row["control"] == c) for c in (RANDOM, SHUFFLED)}
    near = [row for row in own if row["probe"] == NEIGHBOURS and row["control"] == ERASED]
    covered, unknown = (sum(row["low"] <= 0.0 <= row["high"] for row in part) for part in (after, start))
    about = [row for row in erasers if row["erased"] == name and row["control"] == ERASED]
    yield (f"  {name}: linear {_median(r['before'] for r in after):.2f} -> {_median(r['value'] for r in after):.2f}"
           + "".join(f" ({control} {value:.2f})" for control, value in controls.items())
           + f", interval covers chance in {covered} of {len(after)} layers (before: {unknown}); neighbours "
           f"{_median(r['before'] for r in near):.2f} -> {_median(r['value'] for r in near):.2f}")  # fmt: skip
    yield (f"    taken away: {100 * _median(r['removed_held_out'] for r in about):.1f} % of the variance "
           f"(rank {max(r['rank'] for r in about)}); where it was fitted, what a linear probe knows beyond the "
           f"frequencies is certified to be below {at_most(max(r['gain_bits'] for r in about))} bits")  # fmt: skip
    others = [row for row in rows if row["erased"] == name and row["probe"] == LINEAR and row["control"] == ERASED
              and not set(row["target"].split(" x ")) & set(name.split(" x "))]  # fmt: skip
    if others:
        worst = min(others, key=lambda row: row["change"])
        lost = [row for row in others if row["change"] < 0 and row["p_change_holm"] < 0.05]
        yield f"    others: {len(lost)} of {len(others)} lose (p, Holm, < 0.05); most {_loss(worst)}"


def _answers(name: str, rows: Rows) -> Iterator[str]:
    """What becomes of the network's answers, if it was asked."""
    own = [row for row in rows if row["erased"] == name]
    if not own:
        return
    moved = {control: _median(row["value"] for row in own if (row["control"], row["metric"]) == (control, DISTANCE))
             for control in (ERASED, RANDOM, SHUFFLED)}  # fmt: skip
    kept = [row["value"] for row in own if (row["control"], row["metric"]) == (ERASED, AGREEMENT)]
    yield (f"    the network's answers: {moved[ERASED]:.2g} of the probability moves ({RANDOM} {moved[RANDOM]:.2g}, "
           f"{SHUFFLED} {moved[SHUFFLED]:.2g}); {100 * _median(kept):.0f} % of {own[0]['images']} images keep their "
           f"class (least {100 * min(kept):.0f} %)")  # fmt: skip


def _loss(row: Mapping[str, Any]) -> str:
    return (f"{row['target']} in {row['layer']}, {row['change']:+.2f} [{row['change_low']:+.2f}, "
            f"{row['change_high']:+.2f}]")  # fmt: skip


def _median(values: Any) -> float:
    found = list(values)
    return float(np.median(found)) if found else float("nan")
