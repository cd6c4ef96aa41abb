"""Every published row beside the recomputed one: does it come out again, and does it hold for other images?"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bias_jax.association.intervals import FEW_IMAGES, interval_from_cosines
from bias_jax.association.permutation import permutation_test
from bias_jax.published.finding import (
    ALPHA,
    AS_PUBLISHED,
    HONEST,
    NOT_DECIDABLE,
    NOT_SUPPORTED,
    SUPPORTED,
    Finding,
    Verdict,
    corrected_level,
    undecided,
)
from bias_jax.published.steed2021.numbers import PUBLISHED, TITLES, PublishedRow
from bias_jax.report.account import Account

SOURCE = "arXiv 2010.15052; results-full.csv of ryansteed/ieat"
CLAIMED = 0.1  # p below which the paper speaks of an association
DIGITS = 1e-4  # numbers are published with four digits
PUBLISHED_DRAWS = 10_000
NEGLIGIBLE = 0.2  # an effect size below is none
LEVEL = corrected_level(len(PUBLISHED))
DRAWS = 20_000  # bootstrap draws: the corrected tails are thin

ACCOUNT = Account(
    title="Published findings: Steed & Caliskan 2021",
    question="Do the effect sizes of arXiv 2010.15052 come out again, and do they hold for other images?",
    reads=(
        "As published: the row comes out again if d agrees to the four published digits, and p too; a p-value that was "
        f"drawn must lie within four standard errors of {PUBLISHED_DRAWS:,} draws of our exact value or bounds. From "
        "other embeddings than the published ones this decides nothing.",
        f"Honest: intervals of d resample targets and attributes, at level {100 * LEVEL:.2f} %: corrected for "
        f"{len(PUBLISHED)} rows. A row with p < {CLAIMED} claims an association: supported if the interval is above 0; "
        "not supported if it lies below 0, or wholly below the published d; else not decidable. Any other row claims "
        f"none: supported if the interval lies within {NEGLIGIBLE} of 0, not supported if it excludes 0, else not "
        "decidable: no evidence of an association is no evidence of none.",
        f"Sets of fewer than {FEW_IMAGES} images decide nothing: their bootstrap intervals are too short.",
    ),
    limits=(
        "d says how consistent an association is, not how strong: near 2 it saturates.",
        "Targets are often grey and attributes in colour; raw pixels give Weight, Skin-Tone and Gender-Career too. "
        "An association that comes out again need not have been learned.",
        "The published p-values are one-sided and not corrected; a negative d cannot become significant in them.",
    ),
    tables={"findings": "a published row under a protocol, with number, interval and verdict"},
    place=0,
)


class Recomputed(NamedTuple):
    """One test as we find it."""

    row: PublishedRow
    s: np.ndarray  # associations of the targets, x before y, [|X| + |Y|]
    to_a: np.ndarray  # their cosines with a, [|X| + |Y|, |A|]
    to_b: np.ndarray
    size: int  # |X|
    same: bool  # whether embeddings are the published ones
    about: str = ""  # where the numbers come from
    reason: str = ""  # why they decide nothing; empty if they may


def row_findings(recomputed: Sequence[Recomputed], seed: int = 0) -> Iterator[Finding]:
    """Both protocols of every row, and a line for every row of which nothing is there, in the order of the paper.

    Args:
        recomputed: tests that could be computed.
        seed: of the bootstrap.
    """
    by_row: dict[PublishedRow, list[Recomputed]] = {}
    for one in recomputed:
        by_row.setdefault(one.row, []).append(one)
    for row in PUBLISHED:
        if row not in by_row:
            claim = _claim(row)
            quantity, why = "effect size d", "neither embeddings nor pictures of this test were given."
            yield Finding(_name(row), claim, SOURCE, AS_PUBLISHED, quantity, *(math.nan,) * 3, "number", NOT_DECIDABLE,
                          why)  # fmt: skip
        for one in by_row.get(row, ()):
            yield from _findings(one, seed)


def _findings(one: Recomputed, seed: int) -> Iterator[Finding]:
    row, size = one.row, one.size
    test = permutation_test(one.s[:size], one.s[size:], alternative="greater")
    interval = interval_from_cosines(
        one.to_a, one.to_b, size, resampled="targets and attributes", level=LEVEL, draws=DRAWS, seed=seed
    )
    numbers = test.effect_size, interval.low, interval.high
    p = f"p {_p(test.p_value)}" if test.method == "exact" else f"p from {_p(test.p_low)} to {_p(test.p_high)}"
    about = f"{size} and {len(one.s) - size} images{f', {one.about}' if one.about else ''}"
    again = came_out_again(row, test.effect_size, test.p_low, test.p_high)
    why = f"ours {p} ({test.method}), {about}."
    first = Finding(_name(row), _claim(row), SOURCE, AS_PUBLISHED, "effect size d", *numbers, "number", again, why)
    yield first if one.same else undecided(first, "embeddings are others than the published ones")
    verdict, reason = holds(row, interval.low, interval.high, interval.small)
    corrected = min(1.0, len(PUBLISHED) * test.p_high)
    sure = f"p times {len(PUBLISHED)} rows: {_p(corrected)}{'' if corrected <= ALPHA else ', not below 0.05'}."
    quantity = "effect size d, interval of targets and attributes"
    second = Finding(
        _name(row), _claim(row), SOURCE, HONEST, quantity, *numbers, "number", verdict, f"{reason}; {sure}"
    )
    yield undecided(second, one.reason) if one.reason else second


def came_out_again(row: PublishedRow, d: float, p_low: float, p_high: float) -> Verdict:
    """Whether a row is what was published, up to its digits and draws."""
    slack = DIGITS
    if row.sampled:
        slack += 4.0 * math.sqrt(max(row.p * (1.0 - row.p), 1.0 / PUBLISHED_DRAWS) / PUBLISHED_DRAWS)
    fine = abs(d - row.d) <= DIGITS and p_low - slack <= row.p <= p_high + slack
    return SUPPORTED if fine else NOT_SUPPORTED


def holds(row: PublishedRow, low: float, high: float, small: bool) -> tuple[Verdict, str]:
    """Whether what a row claims holds for other images, and why."""
    if math.isnan(low) or math.isnan(high):
        return NOT_DECIDABLE, "d is not defined"
    if small:
        return NOT_DECIDABLE, f"fewer than {FEW_IMAGES} images a set, whose interval cannot be trusted"
    if row.p < CLAIMED:
        if low > 0:
            return SUPPORTED, "an association was claimed, and the interval is above 0"
        if high < max(0.0, row.d):
            return NOT_SUPPORTED, "an association was claimed, and the interval is below 0 or below what was published"
        return NOT_DECIDABLE, "an association was claimed, and the interval holds 0"
    if low > -NEGLIGIBLE and high < NEGLIGIBLE:
        return SUPPORTED, f"no association was claimed, and the interval lies within {NEGLIGIBLE} of 0"
    if low > 0 or high < 0:
        return NOT_SUPPORTED, "no association was claimed, and the interval excludes 0"
    return NOT_DECIDABLE, "no association was claimed, and the interval holds 0 and more"


def _name(row: PublishedRow) -> str:
    return f"{row.test}, {TITLES[row.model]}"


def _claim(row: PublishedRow) -> str:
    return f"d {row.d:.4f}, p {row.p:.4f}{' (drawn)' if row.sampled else ''}."


def _p(p: float) -> str:
    return f"{p:.2g}"
