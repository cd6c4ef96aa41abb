"""Findings 1 to 4: in which attributes the intersectional probe errs.

As published, the frequent training errors of the published recipe; honest, the held-out errors of certified probes.
Whether sentences 2 to 4 are about frequent errors or all errors is not known: as published they are read as the table
they stand beside, honest as what they say. What is *frequent* is not published either: `confusions.FREQUENT`.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from bias_jax.audit import Rows
from bias_jax.data.fairface import ATTRIBUTES, RACE
from bias_jax.published.finding import AS_PUBLISHED, NOT_DECIDABLE, Finding, Protocol, Side, Verdict, judged
from bias_jax.published.krug2025.confusions import FREQUENT, REPEATED, Kind, frequent_errors, share

SOURCE = "arXiv 2506.03664, Table 1 and text"
LEAST = 20  # errors below which nothing is decided
RACE_AT, AGE_AT, GENDER_AT = range(len(ATTRIBUTES))
LATINO = RACE.categories.index("Latino_Hispanic")
NEAR = [RACE.categories.index(name) for name in ("White", "Indian", "Middle Eastern")]


def flipped_gender(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wrong predictions, and those of the other gender."""
    off = true != predicted
    return off.any(axis=0), off[GENDER_AT]


def race_and_age(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wrong predictions, and those of another race and age, whatever the gender."""
    off = true != predicted
    return off.any(axis=0), off[RACE_AT] & off[AGE_AT]


def adjacent_age(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wrong ages, and those of the bin beside the right one."""
    distance = np.abs(true[AGE_AT] - predicted[AGE_AT])
    return distance > 0, distance == 1


def latino_as_near(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wrong races, and Latino_Hispanic taken for one of the three."""
    given, said = true[RACE_AT], predicted[RACE_AT]
    return given != said, (given == LATINO) & np.isin(said, NEAR)


def correct(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All predictions, and the right ones."""
    right = (true == predicted).all(axis=0)
    return np.ones_like(right), right


class Claim(NamedTuple):
    """A sentence about errors as a share with a limit."""

    name: str
    sentence: str
    kind: Kind
    of: str  # what is counted
    are: str  # what of it is a hit
    limit: float
    side: Side  # of the limit on which the paper puts the share
    frequent: bool = False  # whether the sentence names frequent errors


CLAIMS = (
    Claim("1", "None of the frequent errors flips gender.", flipped_gender, "wrong predictions", "flip gender", 0.05,
          "below", frequent=True),
    Claim("2", "Wrong predictions mostly differ from the truth in both race and age.", race_and_age,
          "wrong predictions", "differ in race and age", 0.5, "above"),
    Claim("3", "Age errors are almost always to the adjacent bin.", adjacent_age, "wrong ages",
          "are of the adjacent bin", 0.9, "above"),
    Claim("4", "Most race errors are Latino_Hispanic predicted as White, Indian or Middle Eastern.", latino_as_near,
          "wrong races", "are Latino_Hispanic taken for these three", 0.5, "above"),
)  # fmt: skip


def error_findings(by_protocol: Mapping[Protocol, Rows], level: float) -> Iterator[Finding]:
    """Findings 1 to 4 under each protocol.

    Args:
        by_protocol: rows of `confusion_rows` of one layer and split each.
        level: of the intervals.
    """
    for claim in CLAIMS:
        for protocol, rows in by_protocol.items():
            yield error_finding(claim, protocol, rows, level)


def error_finding(claim: Claim, protocol: Protocol, rows: Rows, level: float) -> Finding:
    """One of them."""
    few = claim.frequent or protocol == AS_PUBLISHED
    found = share(rows, claim.kind, level, frequent_errors(rows) if few else None)
    which = f"of the {FREQUENT} most frequent errors on {REPEATED} images or more" if few else "of all errors"
    quantity = f"share of {claim.of} that {claim.are}, {which}"
    verdict: Verdict = judged(found.low, found.high, claim.limit, claim.side)
    why = f"{found.hits} of {found.trials} {claim.of} {claim.are}"
    why += f"; dealt out at random {100 * found.dealt:.1f} % of all would" if np.isfinite(found.dealt) else ""
    why += f"; the claim is read as {claim.side} {100 * claim.limit:g} %"
    if rows:
        why += f"; layer {rows[0]['layer']}, {rows[0]['split']}"
    right = share(rows, correct, level)
    why += f"; {right.hits} of {right.trials} predictions are right"
    if found.trials < LEAST:
        verdict, why = NOT_DECIDABLE, f"fewer than {LEAST} errors: {why}"
    elif not right.low > right.dealt:  # errors of a probe that guesses are those of chance
        verdict, why = NOT_DECIDABLE, f"the probe is not surely better than its predictions dealt out at random: {why}"
    numbers = found.value, found.low, found.high
    return Finding(claim.name, claim.sentence, SOURCE, protocol, quantity, *numbers, "percent", verdict, f"{why}.")
