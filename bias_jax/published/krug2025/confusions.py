"""What an intersectional probe takes for what, as a tidy table, and shares of its errors with intervals.

A share is that of the images of one kind of error, e.g. a wrong age, that are of another, e.g. the adjacent bin. Beside
it stands the share that results if the same predictions are dealt out at random.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bias_jax.audit import Rows
from bias_jax.data import Target
from bias_jax.data.fairface import ATTRIBUTES
from bias_jax.statistics import wilson_interval

GROUPS = Target(ATTRIBUTES)
FREQUENT, REPEATED = 30, 2  # frequent errors: so many of the most frequent ones, on at least so many images
Kind = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # categories [3, n] -> counted, hit, bool [n]


class Share(NamedTuple):
    """A share of errors."""

    hits: int
    trials: int
    value: float  # NaN without trials
    low: float  # Wilson
    high: float
    dealt: float  # if the same predictions were dealt out at random


def confusion_rows(true: np.ndarray, predicted: np.ndarray, **about: Any) -> list[dict[str, Any]]:
    """One row per pair of true and predicted group that occurs.

    Args:
        true, predicted: groups of each image, int [n], in the order of `GROUPS`.
        about: further columns, the first ones.
    """
    pairs, images = np.unique(np.stack([true, predicted]), axis=1, return_counts=True)
    rows = []
    for a, b, n in zip(*pairs.tolist(), images.tolist(), strict=True):
        parts = {}
        for side, group in (("true", a), ("predicted", b)):
            for attribute, number in GROUPS.decode(np.array([group])).items():
                names = next(one.categories for one in ATTRIBUTES if one.name == attribute)
                parts[f"{side}_{attribute}"] = names[int(number[0])]
        rows.append({**about, **parts, "images": n})
    return rows


def categories(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True and predicted categories, int [3, n] each, and images, int [n], of rows of the table."""
    found = [
        np.array([[one.categories.index(row[f"{side}_{one.name}"]) for row in rows] for one in ATTRIBUTES], int)
        for side in ("true", "predicted")
    ]
    return found[0].reshape(3, -1), found[1].reshape(3, -1), np.array([row["images"] for row in rows], int)


def frequent_errors(rows: Rows) -> list[Any]:
    """Rows of the most frequent errors, ties included."""
    true, predicted, _ = categories(rows)
    wrong = [row for row, off in zip(rows, (true != predicted).any(axis=0), strict=True) if off]
    wrong = sorted((row for row in wrong if row["images"] >= REPEATED), key=lambda row: -row["images"])
    return [row for row in wrong if row["images"] >= wrong[min(FREQUENT, len(wrong)) - 1]["images"]]


def share(rows: Rows, kind: Kind, level: float, among: Sequence[Any] | None = None) -> Share:
    """A share of errors.

    Args:
        rows: of one probe and split, correct predictions included.
        kind: which errors are counted, and which of them are hits.
        level: of the interval.
        among: the rows that are looked at; None: all.
    """
    true, predicted, images = categories(rows if among is None else among)
    counted, hit = kind(true, predicted)
    trials, hits = int(images[counted].sum()), int(images[counted & hit].sum())
    low, high = (float(end) for end in wilson_interval(np.array(hits), np.array(trials), level))
    return Share(hits, trials, hits / trials if trials else float("nan"), low, high, _dealt(rows, kind))


def _dealt(rows: Rows, kind: Kind) -> float:
    true, predicted, images = categories(rows)
    sizes = GROUPS.shape
    given, said = (np.bincount(np.ravel_multi_index(tuple(x), sizes), images, GROUPS.size) for x in (true, predicted))
    weights = np.outer(given, said).ravel()
    pairs = np.indices((GROUPS.size, GROUPS.size)).reshape(2, -1)
    counted, hit = kind(*(np.stack(np.unravel_index(groups, sizes)) for groups in pairs))
    total = weights[counted].sum()
    return float(weights[counted & hit].sum() / total) if total else float("nan")
