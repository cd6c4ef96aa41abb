"""Mahadev & Chakravarti 2021 (arXiv 2107.09211): does the training loss change who is recognised?

Of the paper its question and its materials are known here, not its numbers: the same question is put, and sentences are
held against our numbers. Heads on frozen features compare losses given the representation.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scipy.special import ndtri

from bias_jax.audit import Rows
from bias_jax.disparity import ALL
from bias_jax.instruments.heads.examples import PREFERRED
from bias_jax.published.finding import (
    ALPHA,
    AS_PUBLISHED,
    HONEST,
    NOT_DECIDABLE,
    NOT_SUPPORTED,
    SUPPORTED,
    Finding,
    Verdict,
)
from bias_jax.report.account import Account

SOURCE = "arXiv 2107.09211, abstract"
VIEWS = ("gender", "race")
LEAST = 30  # labels to be recalled in a group, or images of it, below which its bootstrap interval is not used
NO_GAP, NO_CHANGE = 0.05, 0.02  # differences in recall below which there is none
TESTED = 2  # findings with numbers
UNTRAINED = "the network is untrained"
DRAWN = "the faces are drawn, with a disparity that was planted"

ACCOUNT = Account(
    title="Published findings: Mahadev & Chakravarti 2021",
    question="Does recognition differ between genders and races, and does the training loss change that?",
    reads=(
        "A difference is that of a group's recall over all labels from the mean of the other groups, for genders and "
        f"for races; groups with fewer than {LEAST} labels to be recalled are left out.",
        "Intervals are bootstrap intervals of 95 %, widened by normal quantiles to hold together for all groups, "
        "losses and both findings.",
        f"Gaps: supported if some interval excludes 0; not supported if all lie within {100 * NO_GAP:g} points of 0; "
        "else not decidable. Change by the loss, of the same gaps, paired by image: likewise, within "
        f"{100 * NO_CHANGE:g} points. An untrained network, and drawn faces, decide nothing.",
    ),
    limits=(
        "Not known to us: the backbone and whether it was pre-trained, the threshold or number of labels, which labels "
        "are right for a face, seeds, all numbers of the tables, the kind of activation map, and in which direction "
        "the loss changes the gaps.",
        "The paper trains on Inclusive Images and evaluates on MR2, 74 faces with self-identified gender and race: "
        "about 12 a cell, where only gaps of 30 points and more show.",
        "Heads on frozen features are another experiment than networks trained end to end.",
        "Attention maps illustrate mistakes; they are no evidence of degree.",
    ),
    tables={"findings": "a published sentence with number, interval and verdict"},
    place=0,
)  # fmt: skip


def mahadev2021(tables: Mapping[str, Rows], figures: Sequence[str], *, reason: str = "") -> Iterator[Finding]:
    """The findings.

    Args:
        tables: of the instrument ``heads``, with both losses of the paper.
        figures: names of its figures.
        reason: why nothing is decided, if so.
    """
    softmax, entropy = PREFERRED
    gaps = [r for r in tables["rates"] if _counts(r) and r["loss"] in PREFERRED and r["trials"] >= LEAST]
    sentence = "Recognition differs between genders and between races."
    yield _finding("1", sentence, "difference in recall from the other groups", gaps, "difference", NO_GAP, reason)
    changes = [r for r in map(_softmax_first, tables.get("losses", ())) if r is not None and _counts(r)]
    changes = [r for r in changes if min(r["trials"], r["minus_trials"]) >= LEAST]
    sentence = "A multi-label softmax loss changes the disparities that binary cross-entropy gives."
    yield _finding("2", sentence, f"difference in recall with {softmax} less that with {entropy}", changes, "disparity",
                   NO_CHANGE, reason)  # fmt: skip
    shown = [name for name in figures if name.startswith(("contact_", "attention-"))]
    why = "maps illustrate mistakes, and no number of ours could contradict them"
    why += f"; see the figures {', '.join(shown)} of heads." if shown else "; no maps were drawn."
    sentence = "Where the model looked tells why it was wrong."
    yield _without_number("3", sentence, HONEST, why)
    why = "the numbers, the decision rule and the labels that count as right are not known to us."
    yield _without_number("4", "Rates by gender and race on MR2, for both losses.", AS_PUBLISHED, why)


def _counts(row: Mapping[str, Any]) -> bool:
    return (row["metric"], row["label"]) == ("recall", ALL) and row["view"] in VIEWS


def _softmax_first(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A comparison of the paper's two losses, softmax less cross-entropy; None for other losses."""
    if (row["loss"], row["minus_loss"]) == PREFERRED:
        return row
    if (row["minus_loss"], row["loss"]) != PREFERRED:
        return None
    turned = {"disparity": -row["disparity"], "disparity_low": -row["disparity_high"],
              "disparity_high": -row["disparity_low"]}  # fmt: skip
    return {**row, **turned, "loss": row["minus_loss"], "minus_loss": row["loss"]}


def _finding(
    name: str, sentence: str, quantity: str, rows: Sequence[Mapping[str, Any]], column: str, none: float, reason: str
) -> Finding:
    """A sentence that says that some difference is there: of all rows the surest one is its number."""
    known = [row for row in rows if math.isfinite(row[column]) and math.isfinite(row[f"{column}_low"])]
    number, (low_name, high_name) = TESTED * len(known), (f"{column}_low", f"{column}_high")
    intervals = [(row, *widened(row[column], row[low_name], row[high_name], number)) for row in known]
    if not intervals:
        why = f"no gender or race has {LEAST} labels to be recalled"
        return _without_number(name, sentence, HONEST, f"{reason}; {why}." if reason else f"{why}.", quantity)
    row, low, high = max(intervals, key=lambda found: max(found[1], -found[2]))
    verdict: Verdict = NOT_DECIDABLE
    if low > 0 or high < 0:
        verdict = SUPPORTED
    elif all(-none < a and b < none for _, a, b in intervals):
        verdict = NOT_SUPPORTED
    loss = "" if "minus_loss" in row else f", {row['loss']}"
    why = f"the surest of {len(intervals)}: {row['group']} ({row['view']}{loss}), layer {row['layer']}"
    if reason:
        why, verdict = f"{reason}; by its number alone: {verdict}; {why}", NOT_DECIDABLE
    return Finding(name, sentence, SOURCE, HONEST, f"{quantity}, points", 100 * row[column], 100 * low, 100 * high,
                   "number", verdict, f"{why}.")  # fmt: skip


def widened(value: float, low: float, high: float, number: int) -> tuple[float, float]:
    """A 95 % interval as one of several that hold together at 95 %: both sides by the ratio of normal quantiles.

    >>> [round(end, 3) for end in widened(0.0, -1.0, 2.0, 1)]
    [-1.0, 2.0]
    >>> [round(end, 3) for end in widened(0.0, -1.0, 2.0, 10)]
    [-1.432, 2.864]
    """
    factor = float(ndtri(1.0 - ALPHA / (2 * number)) / ndtri(1.0 - ALPHA / 2))
    return value - factor * (value - low), value + factor * (high - value)


def _without_number(name: str, sentence: str, protocol: Any, why: str, quantity: str = "none") -> Finding:
    return Finding(name, sentence, SOURCE, protocol, quantity, *(math.nan,) * 3, "number", NOT_DECIDABLE, why)
