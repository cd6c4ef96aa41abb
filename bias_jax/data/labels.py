"""Labels: what a text means as a label, whichever file it stands in.

White space around a label is no part of it, what is missing is no category, and labels that differ in nothing but case
or in what one cannot see are told instead of counted apart.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Literal

from bias_jax.errors import InputError, quoted

# Unicode's white space, and characters without width or ink: joiners, marks of direction, byte order mark, fillers.
SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f"
    "\u205f\u3000\xad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062"
    "\u2063\u2064\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f\u2800\u3164\ufeff\uffa0"
)
# In lower case: of pandas, R, databases, spreadsheets (German and Spanish ones too), and of people.
MISSING = frozenset((
    "", "nan", "-nan", "+nan", "<nan>", "nat", "<nat>", "na", "<na>", "n/a", "n.a.", "null", "<null>", "(null)", "nil",
    "none", "<none>", "#n/a", "#n/a n/a", "#na", "#nv", "#n/d", "#null!", "#value!", "#ref!", "#div/0!", "#name?",
    "#num!", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "\\n", "na_character_", "?", "-", "--", ".",
))  # fmt: skip
# What looks like a dash or an apostrophe, and is something else to Unicode.
LOOKS = str.maketrans(dict.fromkeys("\u2212\u2043", "-") | dict.fromkeys("\xb4\u2018\u2019\u02bc\u2032", "'"))
MOST_SINGLE = 20  # categories that may be found though most of them are of one image: small tables have few
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,(\d\d?|\d{4,})", re.ASCII)  # three digits behind it may be thousands
WHOLE = re.compile(r"([+-]?\d+)\.0+", re.ASCII)

Place = tuple[str | None, int | None]  # file and row, for messages


@dataclass(frozen=True)
class LabelRules:
    """What is done with labels that are no clean categories."""

    missing: Literal["refuse", "drop"] = "refuse"  # drop: leave images out whose label is missing
    merge_case: bool = False  # labels that differ in case alone are one category
    bins: Mapping[str, Sequence[float]] = field(default_factory=dict)  # attribute -> first value of every category


def header_name(text: str) -> str:
    """Name of a column: trimmed, and in Unicode's normal form C, in which letters are composed."""
    return unicodedata.normalize("NFC", trimmed(text))


def trimmed(text: str) -> str:
    """Text without the white space and the characters without width around it."""
    return text.strip(SPACE)


def read_label(text: str, what: str, place: Place = (None, None)) -> str:
    r"""The label that a text is; it may still mean that a label is missing.

    It is trimmed and in Unicode's normal form C (composed), and a whole number that became a float is whole again.

    Args:
        text: as it stands in the file.
        what: the attribute or column, for messages.
        place: of the text.

    Raises:
        InputError: it holds control characters or line breaks.

    >>> read_label(" Female\u200b", "gender"), read_label("20.0", "age")
    ('Female', '20')
    """
    label = unicodedata.normalize("NFC", trimmed(text))
    if not label.isprintable() and any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in label):
        problem = f"{what} {quoted(label)} holds a control character or line break"
        raise InputError(problem, file=place[0], row=place[1], remedy="correct the label or delete the row")
    whole = WHOLE.fullmatch(label)
    return whole[1] if whole else label


def is_missing(label: str) -> bool:
    """Whether a label that was read means that there is none."""
    return seen(label) in MISSING


def folded(label: str) -> str:
    """The same for labels that differ in case alone."""
    return unicodedata.normalize("NFC", label.casefold())


def seen(label: str) -> str:
    """The same for labels that look the same, whatever their case: unseen characters, kinds of space, dash and letter.

    >>> seen("20\u201329"), seen("\uff2dale "), seen("a\u200b  b")
    ('20-29', 'male', 'a b')
    """
    if label.isascii():
        return " ".join(label.lower().split())
    kinds = [(c, unicodedata.category(c)) for c in folded(unicodedata.normalize("NFKC", label.translate(LOOKS)))]
    return " ".join("".join("-" if kind == "Pd" else c for c, kind in kinds if kind != "Cf").split())


def _value(label: str) -> Decimal | str:
    """The same for labels that are the same number, and no other."""
    label = label.replace(",", ".") if DECIMAL_COMMA.fullmatch(label) else label
    try:
        return Decimal(label) if NUMBER.fullmatch(label) else label
    except InvalidOperation:  # an exponent beyond all bounds
        return label


def one_spelling(
    labels: Mapping[str, Place],
    what: str,
    images: Mapping[str, int] | None = None,
    remedy: str = "or pass --merge-case",
) -> dict[str, str]:
    """Label -> the spelling under which it counts; labels must not differ in case alone, or in what one cannot see.

    Args:
        labels: where each comes up first, in this order.
        what: the attribute or column, for messages.
        images: number of each; if given, those that differ in case alone count as the most frequent of them.
        remedy: what else helps against labels that differ in case.

    Raises:
        InputError: naming the two labels.
    """
    spelling = {label: label for label in labels}
    kinds: tuple[tuple[Callable[[str], object], str, str], ...] = (
        (folded, "differ in case alone", f"spell them alike, {remedy}"),
        (seen, "look the same", "spell them alike"),
        (_value, "are the same number", "write it one way"),
    )
    for key, how, way_out in kinds:
        alike: dict[object, list[str]] = {}
        for label in dict.fromkeys(spelling.values()):
            alike.setdefault(key(label), []).append(label)
        for first, *others in alike.values():
            if others and key is folded and images is not None:
                best = max([first, *others], key=lambda label: images[label])
                spelling.update(dict.fromkeys([first, *others], best))
            elif others:
                (file, row), (_, before) = labels[others[0]], labels[first]
                first_row = f" (row {before})" if before is not None else ""
                problem = f"{what} {quoted(others[0])} and {quoted(first)}{first_row} {how}"
                raise InputError(problem, file=file, row=row, remedy=way_out)
    return spelling


def refuse_single(images: Mapping[str, int], what: str, file: str | None) -> None:
    """Refuse a column that tells nearly every image from all others: identifiers, dates, free text.

    Args:
        images: number of each category, none of them 0.
        what: the attribute or column, for messages.
        file: of the labels, for messages.

    Raises:
        InputError: more than `MOST_SINGLE` categories, most of them of a single image.
    """
    single = [label for label, count in images.items() if count == 1]
    if len(images) > MOST_SINGLE and 2 * len(single) > len(images):
        problem = f"{what} holds {len(images)} different labels, {len(single)} of them on a single image"
        remedy = f"name another column; bin numbers by --bins {what}=...; or name every category in --categories"
        raise InputError(f"{problem}, such as {quoted(single[0])}", file=file, remedy=remedy)
