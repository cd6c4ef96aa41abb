"""Looking probes up by what they were fitted to."""

from collections.abc import Collection
from typing import Any


def position(what: str, value: Any, there: Collection[Any]) -> int:
    """Where a value is among those there are.

    Raises:
        KeyError: lists them.
    """
    if value not in there:
        raise KeyError(f"no {what} {value!r}; there are {', '.join(map(repr, there))}")
    return list(there).index(value)
