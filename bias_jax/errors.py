"""The one exception for bad input: what is wrong, where, and the way out; and how programs end on it."""

import sys
from collections.abc import Callable
from pathlib import Path


class InputError(Exception):
    """Bad input, told in one line: file, row, problem, way out. Entry points print it and exit with status 2."""

    def __init__(self, problem: str, *, file: str | Path | None = None, row: int | None = None, remedy: str = ""):
        where = f"{file}: " if file is not None else ""
        where += f"row {row}: " if row is not None else ""
        message = f"{where}{problem}" + (f". Way out: {remedy}" if remedy else "")
        super().__init__(printable(message))


def printable(text: str) -> str:
    """The text with escapes for control characters: labels and names in files come from strangers."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def quoted(text: str, longest: int = 60) -> str:
    """Text of a stranger in quotes, cut, for a message."""
    return repr(text if len(text) <= longest else text[: longest - 3] + "...")


def run(program: Callable[[], int]) -> int:
    """Run a program; bad input becomes one line on standard error and exit status 2."""
    try:
        return program()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: run the same command again to continue", file=sys.stderr)
        return 130
