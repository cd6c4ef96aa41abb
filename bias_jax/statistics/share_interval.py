"""Confidence intervals for shares of variance, by inversion of a test on permuted residuals."""

from typing import NamedTuple

import numpy as np

HALVINGS = 20


class Errors(NamedTuple):
    """What permuted residuals do to the estimate of an effect of length sqrt(E): 2 sqrt(E) slope + offset, and more."""

    slope: np.ndarray  # [P, ...], inner product of the residuals with the effect's direction
    offset: np.ndarray  # [P, ...], squared length of the residuals along the term, without its expectation
    rest: np.ndarray  # [P, ...], error of everything else in the whole


def share_interval(
    share: np.ndarray, whole: np.ndarray, errors: Errors, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Shares s, from 0 to 1, at which ``effect - s * whole`` is no more extreme than its errors (Fieller's idea).

    An effect's error grows with the effect, so that errors at the estimate would give intervals too short above and
    too long below; here each s is judged by the errors of an effect of that size. The interval is about the true
    share: it starts at 0 exactly where the effect is not significant at (1 - level) / 2, and need not contain a
    negative estimate.

    Args:
        share: estimates [...]; may be negative or above 1.
        whole: what they are shares of, [...]; where not positive the interval is NaN.
        errors: of the estimates under P permutations.
        level: of the interval.
    """
    usable = np.isfinite(share) & (whole > 0)
    estimate, whole = np.where(usable, share, 0.0), np.where(usable, whole, 1.0)

    def rejected(s: np.ndarray) -> np.ndarray:
        own = 2.0 * np.sqrt(s * whole) * errors.slope + errors.offset
        error = (1.0 - s) * own - s * errors.rest
        seen = whole * (estimate - s)
        return np.minimum((error >= seen).mean(axis=0), (error <= seen).mean(axis=0)) <= (1.0 - level) / 2.0

    ends = []
    for end in (0.0, 1.0):
        inside = np.clip(estimate, 0.0, 1.0)
        outside = np.full_like(inside, end)
        inside = np.where(rejected(outside), inside, outside)
        for _ in range(HALVINGS):
            middle = (inside + outside) / 2.0
            wrong = rejected(middle)
            inside, outside = np.where(wrong, inside, middle), np.where(wrong, middle, outside)
        ends.append(np.where(usable, inside, np.nan))
    return ends[0], ends[1]
