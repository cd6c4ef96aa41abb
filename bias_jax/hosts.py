"""Processes of one run, usually one on each host: who leads, and what they tell each other.

They all walk the same steps. What the leader decides from files reaches the others by the coordination service, not by
collectives: nobody waits on an accelerator while the leader works alone. A process that is lost is found by that
service: it ends the others, by an error that `peer_lost` knows or by a signal.
"""

import json
import socket
from collections.abc import Callable
from itertools import count
from typing import Any

import jax
from jax._src import distributed as coordination  # what is public of it gives no access to its key-value store

from bias_jax.errors import InputError

HEARTBEATS = 20  # seconds without a sign of life after which a process is lost
ARRIVE = 120  # seconds in which all processes must have started
PATIENCE = 30  # seconds that a process which failed waits for the others
POLL = 1000  # milliseconds between two looks, so that signals are heard
LOST = "Terminating process because the JAX distributed service"  # what is written before a signal ends this process
SIGNS = (
    "Gloo",
    "NCCL",
    "heartbeat timeout",
    "coordination service",
    "CoordinationService",
    "Connection closed by peer",
)
_steps = count()  # all processes take the same ones, so that each has its number


def join(coordinator: str = "", processes: int | None = None, process_id: int | None = None) -> None:
    """Make this process one of a run of several; to be called before anything is computed.

    Args:
        coordinator: HOST:PORT at which process 0 listens, and on no other address; empty: what the cluster says (Slurm,
            Open MPI, TPU pods).
        processes: how many there are, and `process_id` which of them this is.

    Raises:
        InputError: these processes cannot find each other.
    """
    if coordinator and process_id == 0:
        _check_address(coordinator)
    jax.config.update("jax_enable_preemption_service", False)  # it would swallow SIGTERM
    try:
        jax.distributed.initialize(
            coordinator or None,
            processes,
            process_id,
            coordinator_bind_address=coordinator or None,
            initialization_timeout=ARRIVE,
            heartbeat_timeout_seconds=HEARTBEATS,
            shutdown_timeout_seconds=PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        if coordinator:
            remedy = f"start all {processes} processes within {ARRIVE} seconds, with the same --coordinator"
        else:
            remedy = "run it by srun or mpirun, or give --coordinator, --processes and --process-id"
        raise InputError(f"the processes do not find each other ({reason})", remedy=remedy) from None


def _check_address(coordinator: str) -> None:
    """JAX may crash at an address that it cannot listen at."""
    host, _, port = coordinator.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host.strip("[]"), int(port)), family=family).close()
    except OSError as error:
        remedy = "give --coordinator an address of the host of process 0, and a free port"
        raise InputError(f"cannot listen at {coordinator} ({error.strerror})", remedy=remedy) from None


def leads() -> bool:
    """Whether this is the process that writes and prints; there is one in every run."""
    return jax.process_index() == 0


def share(decide: Callable[[], Any]) -> Any:
    """What the leader decides, on all processes; it must be JSON."""
    if jax.process_count() == 1:
        return decide()
    key = f"bias-jax/{next(_steps)}"
    if leads():
        _client().key_value_set(key, json.dumps(decide()))
    return json.loads(_awaited(key))


def exchange(word: str, seconds: float | None = None) -> list[str]:
    """A word of each process, by its number, on all processes.

    Raises:
        TimeoutError: one has said nothing within so many seconds.
    """
    if jax.process_count() == 1:
        return [word]
    key = f"bias-jax/{next(_steps)}"
    _client().key_value_set(f"{key}/{jax.process_index()}", json.dumps(word))
    return [json.loads(_awaited(f"{key}/{number}", seconds)) for number in range(jax.process_count())]


def _client() -> Any:
    return coordination.global_state.client


def _awaited(key: str, seconds: float | None = None) -> str:
    waited = 0.0
    while True:
        try:
            return _client().blocking_key_value_get(key, POLL)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise
        waited += POLL / 1000
        if seconds is not None and waited >= seconds:
            raise TimeoutError(f"a process has said nothing for {seconds:.0f} seconds")


def peer_lost(error: BaseException) -> bool:
    """Whether it says that another process of this run is gone: then nothing can be computed together any more."""
    return jax.process_count() > 1 and any(sign in str(error) for sign in SIGNS)
