"""What reading anything may end in: results or one message, and no file outside of what was given is opened."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import bias_jax.data.fairface_parquet
import bias_jax.data.fairface_tfds  # noqa: F401  # nothing is imported while files are watched
from bias_jax.audit import look
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError

with suppress(ImportError):
    import torch  # noqa: F401
Found = TypeVar("Found")
PROGRAMS = (sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev")  # where libraries may look
opened: list[str] | None = None  # while files are watched


def watch(event: str, arguments: tuple) -> None:
    if (
        opened is not None
        and event in ("open", "os.listdir", "os.scandir")
        and isinstance(arguments[0], str | bytes | os.PathLike)
    ):
        opened.append(os.fsdecode(arguments[0]))


sys.addaudithook(watch)


@contextmanager
def nothing_outside(root: Path) -> Iterator[None]:
    """Every file that is opened and every folder that is listed lies below the root, after links are followed, too."""
    global opened
    opened = []
    try:
        yield
    finally:
        found, opened = opened, None
    outside = [path for path in found if not Path(path).resolve().is_relative_to(root.resolve())]
    # Tracebacks look for sources, also where there are none.
    strange = [p for p in outside if not p.startswith(PROGRAMS) and not p.endswith((".py", ".pyc", ".pyx"))]
    assert not strange, strange


def outcome(read: Callable[[], Found]) -> Found | None:
    """What was read, or None if the input was refused in one line with a way out; anything else is a fault."""
    try:
        return read()
    except InputError as error:
        assert str(error).isprintable() and "Way out: " in str(error) and len(str(error)) < 4000, str(error)
        return None


def reads_or_refuses(read: Callable[[], FaceDataset], root: Path) -> None:
    """A data set whose pictures can be read, or an `InputError`."""
    with nothing_outside(root):
        outcome(lambda: look([read()], skip_unreadable=True))
