"""One command on several hosts: options, and a parent of each process that tells how it ended.

A process of a run whose peer is lost may be ended by a signal from the depths of the coordination service, with a page
of addresses on standard error. So each works in a child, and its parent, which computes nothing, says in one line what
happened.
"""

import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from typing import NoReturn, TextIO

import jax

from bias_jax.endings import Interrupted
from bias_jax.endings import run as end_properly
from bias_jax.errors import CONTINUE, InputError
from bias_jax.hosts import LOST, join, leads, peer_lost, share
from bias_jax.progress import shown_by, silent

TAIL = 20  # lines of a crash that are shown
PEER_LOST = f"another process of this run ended, hangs or cannot be reached. Way out: see what it says; {CONTINUE}"


@dataclass(frozen=True)
class HostsConfig:
    """Several processes that do one run together."""

    distributed: bool = False  # this is one of several processes; each is started with the same command
    coordinator: str = ""  # HOST:PORT at which process 0 waits for the others (default: what Slurm or Open MPI says)
    processes: int | None = None  # how many processes there are, with --coordinator
    process_id: int | None = None  # which of them this is, from 0, with --coordinator

    def __post_init__(self) -> None:
        given = [bool(self.coordinator), self.processes is not None, self.process_id is not None]
        if any(given) and not (self.distributed and all(given)):
            problem = "--coordinator, --processes and --process-id go together, with --distributed"
            raise InputError(problem, remedy="give all of them, or --distributed alone under Slurm or Open MPI")
        host, _, port = self.coordinator.rpartition(":")
        if self.coordinator and not (host and port.isdecimal() and 0 < int(port) < 2**16):
            raise InputError(f"--coordinator {self.coordinator} is no HOST:PORT", remedy="e.g. 127.0.0.1:12345")
        if self.processes is not None and not 0 <= (self.process_id or 0) < self.processes:
            problem = f"--process-id {self.process_id} is none of {self.processes} processes"
            raise InputError(problem, remedy="number them from 0")


def together(config: HostsConfig, program: Callable[[], int]) -> int:
    """Run a program as one of several processes, if that is asked for; its exit status.

    Processes that do not lead print nothing but what is wrong with them.
    """
    if not config.distributed:
        return program()
    sys.stdout.flush()
    life = os.pipe()  # nothing is ever written: the child's end closes when the parent is gone
    with tempfile.TemporaryFile() as depths:
        with warnings.catch_warnings():  # nothing is computed yet: there are no threads of JAX that a fork would lose
            warnings.simplefilter("ignore")
            child = os.fork()
        if not child:
            os.close(life[1])
            _work(config, program, life[0], depths.fileno())
        os.close(life[0])
        status = os.waitstatus_to_exitcode(_wait(child))
        os.close(life[1])
        if status >= 0:
            return status
        depths.seek(0)
        text = depths.read().decode(errors="replace")
    print(file=sys.stderr)  # a bar may have been left
    if LOST in text:
        print(f"error: {PEER_LOST}", file=sys.stderr)
    else:
        print(*text.splitlines()[:TAIL], sep="\n", file=sys.stderr)
        name = signal.Signals(-status).name
        print(f"error: the process that computes was ended by {name}. Way out: {CONTINUE}", file=sys.stderr)
    return 1


def _wait(child: int) -> int:
    """Its wait status; a signal to the parent reaches the child."""
    while True:
        try:
            return os.waitpid(child, 0)[1]
        except Interrupted as error:
            with suppress(ProcessLookupError):
                os.kill(child, error.number)


def _work(config: HostsConfig, program: Callable[[], int], life: int, depths: int) -> NoReturn:
    """The child. What libraries write to standard output and error goes to `depths`, what Python writes goes there."""

    def end_with_parent() -> None:
        os.read(life, 1)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.stdout, sys.stderr = (_kept(stream, depths) for stream in (sys.stdout, sys.stderr))
    status = 1
    try:
        status = end_properly(lambda: _joined(config, program))
        if not status:
            jax.distributed.shutdown()  # waits for the others
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(status)  # what JAX does at exit would wait for processes that are lost


def _kept(stream: TextIO, depths: int) -> TextIO:
    """A stream that leads where this one did; its old number leads to `depths`."""
    kept = open(os.dup(stream.fileno()), "w", buffering=1, encoding=stream.encoding, errors="backslashreplace")  # noqa: SIM115
    os.dup2(depths, stream.fileno())
    return kept


def _joined(config: HostsConfig, program: Callable[[], int]) -> int:
    join(config.coordinator, config.processes, config.process_id)
    try:
        if leads():
            status = program()
        else:
            with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), shown_by(silent):
                status = program()
        return share(lambda: status)
    except Exception as error:
        if not peer_lost(error):
            raise
        print(f"error: {PEER_LOST}", file=sys.stderr)
        return 1
