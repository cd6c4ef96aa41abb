"""What programs tell in one line: bad input, and a machine that gives out."""

import errno
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONTINUE = "run the same command again: it continues"
NO_SPACE = {errno.ENOSPC: "no space left on the disk", errno.EDQUOT: "the disk quota is used up",
            errno.EFBIG: "larger than files may be here"}  # fmt: skip

INSTALLED = re.compile(r"[/\\](site|dist)-packages[/\\]|[/\\]lib[/\\]python\d|^<")  # files of somebody else


class InputError(Exception):
    """Bad input, told in one line: file, row, problem, way out. Entry points print it and exit with `status`."""

    status = 2

    def __init__(self, problem: str, *, file: str | Path | None = None, row: int | None = None, remedy: str = ""):
        where = f"{file}: " if file is not None else ""
        where += f"row {row}: " if row is not None else ""
        message = f"{where}{problem}" + (f". Way out: {remedy}" if remedy else "")
        super().__init__(printable(message))


def printable(text: str) -> str:
    """The text with escapes for control characters: labels and names in files come from strangers."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def quoted(text: str, longest: int = 60) -> str:
    """Text of a stranger in quotes, cut, for a message."""
    return repr(text if len(text) <= longest else text[: longest - 3] + "...")


def counted(number: int, one: str, many: str) -> str:
    """A number with the words that fit it.

    >>> counted(1, "row has", "rows have"), counted(2, "row has", "rows have")
    ('1 row has', '2 rows have')
    """
    return f"{number} {one if number == 1 else many}"


def _message(error: BaseException) -> str:
    """What an error says; nothing if somebody's error cannot say it."""
    try:
        return str(error)
    except Exception:
        return ""


def told(error: BaseException) -> str:
    """Somebody else's error in one line: type, what it says first, and where in their own code."""
    ours = tuple(f"{Path(__file__).parents[1] / name}{os.sep}" for name in ("bias_jax", "converters", "experiments"))
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(ours) and not INSTALLED.search(f.filename)]
    where = f" at {own[-1].filename}:{own[-1].lineno}" if own else ""
    lines = [line.strip() for line in _message(error).splitlines() if line.strip()]
    return f"{type(error).__name__}{f': {lines[0]}' if lines else ''}{where}"


class WriteError(InputError):
    """A file cannot be written: nobody's bad input, but it ends a run at once, since the next file fares no better."""

    status = 1


class AloneError(InputError):
    """What failed in one of several processes, told in the others, or in this one if the others wait for it."""

    status = 1


def reason(error: BaseException) -> str:
    """An error in one line, with what was being done."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    first = next(iter(_message(error).splitlines()), "")
    return printable(f"{type(error).__name__}: {first}{notes}")


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Errors of the file system while `path` is written become a `WriteError`."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not from the file system
            raise
        raise write_error(error, path) from error


def write_error(error: OSError, path: str | Path) -> WriteError:
    """What the system says of a file that cannot be written, with the way out."""
    if error.errno in NO_SPACE:
        return WriteError(
            f"cannot be written: {NO_SPACE[error.errno]}", file=path, remedy=f"make room, then {CONTINUE}"
        )
    reason = error.strerror or str(error)
    return WriteError(f"cannot be written ({reason})", file=path, remedy=f"see to the disk, then {CONTINUE}")


def out_of_memory(error: BaseException) -> bool:
    """Whether the host (MemoryError, std::bad_alloc) or the device (XLA's RESOURCE_EXHAUSTED) ran out of memory."""
    signs = ("RESOURCE_EXHAUSTED", "OUT_OF_MEMORY", "bad_alloc")
    return isinstance(error, MemoryError) or (isinstance(error, Exception) and any(s in _message(error) for s in signs))
