"""How programs end: on bad input, a full machine, a signal or a closed pipe, with one line and an exit status."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

from bias_jax.errors import CONTINUE, NO_SPACE, InputError, out_of_memory, write_error

SIGNALS = (signal.SIGINT, signal.SIGTERM)
DISK = (*NO_SPACE, errno.EIO, errno.EROFS)  # what a disk says
INTERRUPTED = "interrupted: run the same command again to continue"


class Interrupted(KeyboardInterrupt):
    """A signal asks the program to end."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def run(program: Callable[[], int]) -> int:
    """Run a program.

    Returns:
        Its exit status; 2 on bad input, 1 if a file cannot be written or memory is short, 141 (of SIGPIPE) if nobody
        reads its output any more. Each but the last with one line on standard error. A signal is told in one line as
        well, and then ends the process with 128 + its number.
    """
    with _interrupted_by_signals():
        try:
            try:
                return program()
            finally:  # also when a parser of options ends the program: what it printed must not fail later
                if sys.stdout is not None:
                    sys.stdout.flush()
        except InputError as error:
            _say(f"error: {error}")
            return error.status
        except KeyboardInterrupt as error:
            _say(INTERRUPTED)
            if isinstance(error, Interrupted):  # torn out of JAX, the interpreter may crash while it shuts down
                os._exit(128 + error.number)
            return 128 + signal.SIGINT
        except BrokenPipeError:
            _mute(sys.stdout, sys.stderr)
            return 128 + signal.SIGPIPE
        except OSError as error:
            if error.errno not in DISK:
                raise
            _mute(sys.stdout)
            _say(f"error: {write_error(error, error.filename or 'standard output or a file')}")
            return 1
        except Exception as error:
            if not out_of_memory(error):
                raise
            _say(f"error: {memory_message(error)}")
            return 1


def memory_message(error: BaseException) -> str:
    """What to do when memory is short."""
    reason = next(iter(str(error).splitlines()), "")
    remedy = f"free some, or give a smaller --batch-size, --memory-gib or --per-group; then {CONTINUE}"
    return f"not enough memory ({type(error).__name__}{': ' if reason else ''}{reason}). Way out: {remedy}"


def begin() -> None:
    """To be called before a program imports its packages, which takes seconds.

    Signals end it at once: nothing is begun, so there is nothing to clean up. Of standard output or error, what the
    caller closed leads nowhere; else the next file that is opened would take its place.
    """
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
            setattr(sys, name, open(descriptor, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as the program

    def end(number: int, _: FrameType | None) -> None:
        os.write(2, f"{INTERRUPTED}\n".encode())
        os._exit(128 + number)

    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, end)


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """The first signal raises `Interrupted`; a second one does not disturb the cleaning up, a third ends at once.

    Raised in a finaliser or another place from which nothing can be raised, it is raised again shortly after.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first, times = 0, 0

    def interrupt(number: int, _: FrameType | None) -> None:
        nonlocal first, times
        if number == signal.SIGALRM:
            raise Interrupted(first)
        first, times = first or number, times + 1
        if times == 1:
            raise Interrupted(number)
        if times > 2:
            os._exit(128 + first)

    def unraisable(what: Any) -> None:
        if isinstance(what.exc_value, Interrupted):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
        else:
            hook(what)

    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    ignored = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN]  # e.g. in the background
    handled = [number for number in (*SIGNALS, signal.SIGALRM) if number not in ignored]
    before = {number: signal.signal(number, interrupt) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def _say(line: str) -> None:
    """One line on standard error, if anybody reads it."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)


def _mute(*streams: TextIO | None) -> None:
    """What is left in buffers goes nowhere, so that the interpreter does not complain when it ends."""
    for stream in streams:
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
            os.close(nowhere)
