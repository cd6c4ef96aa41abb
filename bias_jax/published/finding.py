"""A published sentence beside a number with its interval, and the rules by which one is held against the other.

Limits were fixed before any number was looked at (what was changed since, says docs/reproduce.md). A claim says on
which side of a limit a number lies:

* *supported*: the whole interval lies on that side;
* *not supported*: the whole interval lies on the other side;
* *not decidable*: the interval holds the limit, or what would decide is not there: too few images, an untrained
  network, a number or a layer that was not published.

Intervals are corrected (Bonferroni) for the number of findings of a paper that are tested on the same images.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from bias_jax.errors import printable
from bias_jax.report.account import Column, Excerpt
from bias_jax.report.words import number as in_words

Verdict = Literal["supported", "not supported", "not decidable"]
SUPPORTED: Final = "supported"
NOT_SUPPORTED: Final = "not supported"
NOT_DECIDABLE: Final = "not decidable"
Protocol = Literal["as published", "honest"]
AS_PUBLISHED: Final = "as published"
HONEST: Final = "honest"
Side = Literal["above", "below"]
ALPHA = 0.05  # for all findings of a paper together


@dataclass(frozen=True)
class Finding:
    """One published sentence under one protocol."""

    name: str  # short, unique within a paper and a protocol, e.g. "1"
    sentence: str  # what was published, in our words
    source: str  # where
    protocol: Protocol  # how the number was made: as in the paper, as far as that is known, or as we would
    quantity: str  # what the number is
    number: float  # NaN: there is none
    low: float  # corrected interval; NaN: there is none
    high: float
    form: Literal["percent", "number"]  # how the number is shown
    verdict: Verdict
    why: str

    @property
    def shown(self) -> str:
        """The number with its interval as text."""
        if not math.isfinite(self.number):
            return "no number"
        value, low, high = (in_words(x, self.form) for x in (self.number, self.low, self.high))
        text = value if math.isnan(self.low) and math.isnan(self.high) else f"{value} [{low}, {high}]"
        return f"{text} %" if self.form == "percent" else text

    @property
    def line(self) -> str:
        """Everything in one line."""
        return f"{self.name}. {self.sentence} {self.protocol.capitalize()}: {self.verdict}; {self._number}; {self.why}"

    @property
    def _number(self) -> str:
        return f"{self.quantity}: {self.shown}" if math.isfinite(self.number) else "no number"


def corrected_level(findings: int) -> float:
    """Level of the interval of one of several findings, so that all hold together at 95 %.

    >>> round(corrected_level(7), 4)
    0.9929
    """
    return 1.0 - ALPHA / findings


def judged(low: float, high: float, limit: float, claim: Side) -> Verdict:
    """Whether an interval lies on the claimed side of a limit.

    >>> judged(0.55, 0.70, 0.5, "above"), judged(0.1, 0.2, 0.5, "above"), judged(0.4, 0.6, 0.5, "above")
    ('supported', 'not supported', 'not decidable')
    """
    if claim == "below":
        low, high, limit = -high, -low, -limit
    if math.isnan(low) or math.isnan(high):
        return NOT_DECIDABLE
    return SUPPORTED if low > limit else NOT_SUPPORTED if high < limit else NOT_DECIDABLE


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Of a sentence that claims several things: supported if all are, not supported if one is not."""
    if NOT_SUPPORTED in verdicts:
        return NOT_SUPPORTED
    return SUPPORTED if set(verdicts) == {SUPPORTED} else NOT_DECIDABLE


def undecided(finding: Finding, reason: str) -> Finding:
    """The finding with its number, which for a reason outside of it decides nothing."""
    if finding.verdict == NOT_DECIDABLE:
        return replace(finding, why=f"{reason}; {finding.why}")
    return replace(
        finding, verdict=NOT_DECIDABLE, why=f"{reason}; by its number alone: {finding.verdict}; {finding.why}"
    )


def lines(findings: Sequence[Finding]) -> list[str]:
    """Findings as text, a line each; several without a number, for one reason, share a line."""
    bare = Counter(f.why for f in findings if not math.isfinite(f.number))
    shared = {why for why, count in bare.items() if count > 2}
    found = [printable(f.line) for f in findings if math.isfinite(f.number) or f.why not in shared]
    for why in sorted(shared):
        names = "; ".join(f.name for f in findings if f.why == why and not math.isfinite(f.number))
        found.append(printable(f"{names}: not decidable; {why}"))
    return found


def as_rows(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """For a tidy table, one row per sentence and protocol."""
    return [asdict(finding) for finding in findings]


def as_excerpt(findings: Sequence[Finding], title: str, note: str) -> Excerpt:
    """The table that a reader should see."""
    columns = tuple(Column(name) for name in ("finding", "protocol", "verdict", "number", "what it is", "why"))
    rows = tuple(
        (f"{f.name}. {f.sentence}", f.protocol, f.verdict, f.shown, f.quantity, f.why) for f in findings
    )  # fmt: skip
    return Excerpt("findings", title, columns, rows, note, keys=2, table="findings", compared=("verdict",))
