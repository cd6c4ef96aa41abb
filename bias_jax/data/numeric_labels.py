"""Labels that are numbers: few of them are categories, many need bins."""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf, isfinite

from bias_jax.data.labels import NUMBER, Place
from bias_jax.errors import InputError, quoted

MOST_NUMBERS = 20  # different numbers that are still taken for categories
# Numbers as people write them: decimal commas, signs between thousands, percent. "1,000" may be either.
WRITTEN = re.compile(
    "[-+\u2212]?([0-9]+|[0-9]{1,3}([ .,'\u2019\xa0\u2009\u202f][0-9]{3})+)([.,][0-9]+)?[ \xa0\u2009\u202f]?%?"
)
PLAINLY = "write numbers with a point and a plain minus, without percent or signs between thousands (-0.5, 1000)"
INFINITE = frozenset(sign + word for sign in ("", "+", "-") for word in ("inf", "infinity"))


def number(label: str) -> float | None:
    """The number that a label is; None if it is something else.

    >>> number("-1.5e3"), number("inf"), number("1_000"), number("20-29")
    (-1500.0, inf, None, None)
    """
    if NUMBER.fullmatch(label):
        return float(label)
    if label.lower() in INFINITE:
        return -inf if label.startswith("-") else inf
    return None


def by_value(label: str) -> tuple[bool, float, str]:
    """Sorts numbers by value, and text behind them alphabetically."""
    value = number(label)
    return value is None, value or 0.0, label


def refuse_many(labels: Mapping[str, Place], what: str) -> None:
    """Refuse a column that holds a quantity, not categories.

    Args:
        labels: where each comes up first.
        what: the attribute, for messages.

    Raises:
        InputError: infinity among numbers, or more than `MOST_NUMBERS` of them, however written.
    """
    values = {label: value for label in labels if (value := number(label)) is not None}
    finite = [value for value in values.values() if isfinite(value)]
    for label, value in values.items():
        if finite and not isfinite(value):
            file, row = labels[label]
            problem = f"{what} {quoted(label)} is no finite number"
            raise InputError(problem, file=file, row=row, remedy="correct the label or delete the row")
    written = [label for label in labels if label not in values and WRITTEN.fullmatch(label)]
    if (many := len(finite) + len(written)) > MOST_NUMBERS:
        problem = f"{what} holds {many} different numbers"
        problem += f", such as {quoted(written[0])}" if written else f", from {min(finite):g} to {max(finite):g}"
        remedy = f"make categories of them, such as --bins {what}=0,18,40,65, or name every one in --categories"
        remedy = f"{PLAINLY}, then {remedy}" if written else remedy
        raise InputError(problem, file=next(iter(labels.values()))[0], remedy=remedy)


def bin_names(edges: Sequence[float], what: str) -> tuple[str, ...]:
    """Names of the categories that begin at the edges.

    >>> bin_names((0, 18, 40, 65), "age")
    ('0-17', '18-39', '40-64', '65+')
    >>> bin_names((0, 0.5, 1), "score")
    ('0 to below 0.5', '0.5 to below 1', '1+')

    Args:
        edges: first value of each.
        what: the attribute, for messages.

    Raises:
        InputError: fewer than two, not finite, or not increasing.
    """
    pairs = list(pairwise(edges))
    if not pairs or not all(map(isfinite, edges)) or any(low >= high for low, high in pairs):
        problem = f"bins of {what} begin at {', '.join(map(_shortest, edges)) or 'nothing'}"
        raise InputError(problem, remedy=f"give two or more increasing numbers, such as --bins {what}=0,18,40,65")
    if edges[0] >= 0 and all(edge == int(edge) for edge in edges):
        names = [_shortest(a) if b == a + 1 else f"{_shortest(a)}-{_shortest(b - 1)}" for a, b in pairs]
    else:
        names = [f"{_shortest(a)} to below {_shortest(b)}" for a, b in pairs]
    return (*names, f"{_shortest(edges[-1])}+")


def bin_of(label: str, edges: Sequence[float], what: str, place: Place) -> int:
    """Number of the bin that holds a label.

    Args:
        label: a number.
        edges: first value of each bin.
        what: the attribute, for messages.
        place: of the label.

    Raises:
        InputError: no finite number, or one below the first bin.
    """
    value = number(label)
    if value is None or not isfinite(value):
        problem = f"{what} {quoted(label)} is no {'number' if value is None else 'finite number'}"
    elif value < edges[0]:
        problem = f"{what} {quoted(label)} lies below the first bin, which begins at {_shortest(edges[0])}"
    else:
        return bisect_right(edges, value) - 1
    remedy = f"correct the label, delete the row, or change --bins {what}"
    if value is None and WRITTEN.fullmatch(label):
        problem, remedy = f"{what} {quoted(label)} is not written as a number", PLAINLY
    file, row = place
    raise InputError(problem, file=file, row=row, remedy=remedy)


def _shortest(value: float) -> str:
    return f"{value:.0f}" if isfinite(value) and value == int(value) else repr(value)
