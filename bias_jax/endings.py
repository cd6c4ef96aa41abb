"""How programs end: on bad input, a full machine, a signal or a closed pipe, with one line and an exit status."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

from bias_jax.errors import CONTINUE, InputError, out_of_memory, write_error

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = "interrupted: run the same command again to continue"


class Interrupted(KeyboardInterrupt):
    """A signal asks the program to end."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def run(program: Callable[[], int]) -> int:
    """Run a program.

    Returns:
        Its exit status; 2 on bad input, 1 if a file cannot be written or memory is short, 128 + the number of the
        signal that ended it (141, of SIGPIPE, if nobody reads its output any more). Each but the last with one line
        on standard error.
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
            return 128 + getattr(error, "number", signal.SIGINT)
        except BrokenPipeError:
            _mute(sys.stdout, sys.stderr)
            return 128 + signal.SIGPIPE
        except OSError as error:
            if error.errno is None or error.filename is not None:
                raise
            _mute(sys.stdout)
            _say(f"error: {write_error(error, 'standard output')}")
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


def end_at_once_on_signals() -> None:
    """For the seconds in which a program imports its packages: nothing is begun, so there is nothing to clean up."""

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
            # What ends by a signal is not ended by the next one while the interpreter shuts down.
            signal.signal(number, signal.SIG_IGN if times else handler)
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
