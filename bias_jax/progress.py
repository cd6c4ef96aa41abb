"""Progress and messages: what programs may switch on. The library itself prints nothing."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO, TypeVar

Item = TypeVar("Item")


class Bar(Protocol):
    """What shows how far a piece of work is."""

    def update(self, done: int = 1, /) -> object:
        """So many more units are done."""

    def close(self) -> object:
        """Nothing more will come."""


class _Silent:
    def update(self, done: int = 1, /) -> None:
        pass

    def close(self) -> None:
        pass


Display = Callable[[str, int | None, str], Bar]  # (text, total, unit) -> bar


def silent(text: str, total: int | None, unit: str) -> Bar:
    """Show nothing; the display where a program has set none."""
    return _Silent()


_displays: list[Display] = [silent]


@contextmanager
def shown_by(display: Display) -> Iterator[None]:
    """Show all progress by `display` while the block runs, e.g. by tqdm; in all threads."""
    _displays.append(display)
    try:
        yield
    finally:
        _displays.remove(display)


@contextmanager
def bar(text: str, total: int | None, unit: str) -> Iterator[Bar]:
    """A bar for work that tells by itself how far it is."""
    shown = _displays[-1](text, total, unit)
    try:
        yield shown
    finally:
        shown.close()


def track(items: Iterable[Item], text: str, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """The items, with a bar that grows as they are taken."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    with bar(text, total, unit) as shown:
        for item in items:
            yield item
            shown.update(1)


class _Messages(logging.StreamHandler):
    """Writes to what is standard output at the time.

    What cannot be written ends the program like any other output, see `endings.run`.
    """

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    def handleError(self, record: logging.LogRecord) -> None:
        raise


@contextmanager
def messages() -> Iterator[None]:
    """What the library logs goes to standard output, as it is."""
    handler = _Messages()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("bias_jax")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # importing absl gives the root logger a handler: everything would be said twice
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
