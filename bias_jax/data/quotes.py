"""Where quotes are amiss in a record of separated text; a quote that is not closed swallows rows without a word."""

import csv
import re
from collections.abc import Iterator, Sequence

from bias_jax.errors import quoted

LONGEST_FIELD = 2**20  # characters
csv.field_size_limit(LONGEST_FIELD)


def as_written(record: str, separator: str) -> Iterator[tuple[str, bool, str]]:
    """Fields of a record with their quotes: text, whether a closed quotation, and what follows in the record.

    They end with the record, or with the first field whose quotes are amiss.
    """
    field = re.compile(rf'( *"[^"]*(?:""[^"]*)*")|[^{re.escape(separator)}\r\n]*')
    at = 0
    while match := field.match(record, at):
        yield match[0], match[1] is not None, record[match.end() :]
        if record[match.end() : match.end() + 1] != separator:
            return
        at = match.end() + 1


def misplaced(record: str, separator: str) -> str:
    """What is wrong with a record that `csv` refuses.

    >>> print(misplaced('1.jpg,"White,Male', ","))
    the quote before 'White,Male' is not closed
    >>> print(misplaced('1.jpg,"Wh"ite,Male', ","))
    'ite,Male' follows a closing quote
    """
    for text, closed, rest in as_written(record, separator):
        opens = text.lstrip(" ")
        if opens.startswith('"') and not closed:
            return f"the quote before {quoted(_line(opens[1:] + rest))} is not closed"
        if closed and rest and rest[0] not in f"{separator}\r\n":
            if _line(opens) != opens:  # it was closed by the opening quote of a later row
                return f"the quote before {quoted(_line(opens[1:]))} is not closed in its row"
            return f"{quoted(_line(rest))} follows a closing quote"
    return f"a field is longer than {LONGEST_FIELD:,} characters, as if a quote were not closed"


def stray(record: str, separator: str, places: Sequence[int]) -> str | None:
    """The first field of some places that holds a quote but does not stand in quotes."""
    for place, (text, closed, _) in enumerate(as_written(record, separator)):
        if place in places and not closed and '"' in text:
            return text
    return None


def holds_rows(fields: Sequence[str], separator: str) -> bool:
    """Whether lines within a field look like rows: they have as many fields as its record has."""
    within = (line for field in fields for line in re.split("[\r\n]+", field)[1:])
    return any(len(found) == len(fields) for found in csv.reader(within, delimiter=separator))


def _line(text: str) -> str:
    return re.split("[\r\n]", text, maxsplit=1)[0]
