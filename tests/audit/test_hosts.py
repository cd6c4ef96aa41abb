"""Two processes that do one run: the same bytes as one, and an end in one line when either is lost."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bias_jax.errors import InputError
from bias_jax.hosts import join
from experiments.distributed import PEER_LOST, HostsConfig
from tests.audit.test_faults import contents

ROOT = Path(__file__).parents[2]


def start(out: Path, how: str = "well", number: int = -1, port: int = 0) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.audit.hosts_process", str(out), how, str(number), str(port)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def two(out: Path, how: str = "well") -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [start(out, how, number, port) for number in (0, 1)]


def ended(process: subprocess.Popen, seconds: float = 240) -> tuple[int, str, str]:
    """Exit status, standard output, and the lines of standard error that are no bars."""
    output, errors = process.communicate(timeout=seconds)
    lines = [line.rpartition("\r")[2].rstrip() for line in errors.splitlines()]
    return process.returncode, output, "\n".join(line for line in lines if line and "it/s" not in line)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    status, output, errors = ended(start(out))
    assert status == 0, errors
    return contents(out), output


@pytest.mark.slow
def test_two_processes_leave_the_bytes_of_one_and_one_of_them_is_silent(whole, tmp_path):
    first, second = map(ended, two(tmp_path / "run"))
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert contents(tmp_path / "run") == whole[0] and len(whole[0]) > 20
    assert "recorder: 2 layers" in first[1] and "on 16 devices" in first[1] and "Gloo" not in first[1]
    assert second[1:] == ("", "")
    # Both look at all 21 pictures and calibrate the network on them; one picture a batch, eight devices a process.
    assert [int((tmp_path / f"run.read-by-{number}").read_text()) for number in (0, 1)] == [42 + 13, 42 + 8]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["late", "early"])
def test_what_fails_in_one_process_ends_that_instrument_in_both(when, whole, tmp_path):
    """Or the run, where the other process waits for it in the midst of a computation."""
    first, second = map(ended, two(tmp_path / "run", when))
    assert (first[0], second[0]) == (1, 1)
    if when == "late":
        assert "error: together failed (while measuring" in second[2] and "RuntimeError: as told" in first[2]
        assert "recorder: 2 layers" in first[1] and "means: 2 layers" in first[1] and second[1] == ""
    else:
        assert second[2].startswith("error: together failed in one process alone while measuring")
        assert "(RuntimeError: as told)" in second[2] and first[2].splitlines()[-1] == f"error: {PEER_LOST}"
    status, _, errors = ended(start(tmp_path / "run"))
    assert status == 0 and contents(tmp_path / "run") == whole[0], errors


@pytest.mark.slow
@pytest.mark.parametrize("what", ["second killed", "second stopped", "first killed", "second told to end"])
def test_a_process_that_is_lost_ends_the_other_in_one_line_and_the_run_continues(what, whole, tmp_path):
    """The other one ends within a minute; then one process alone, or two again, finish to the same bytes."""
    out, stalled = tmp_path / "run", tmp_path / "run.stalled"
    processes = two(out, "stall")
    while not (stalled.exists() and stalled.read_text()):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)
    computes = int(stalled.read_text())  # a child of the second process
    began = time.monotonic()
    lost = 0 if what == "first killed" else 1
    if what == "first killed":
        processes[0].kill()
    elif what == "second told to end":
        processes[1].terminate()
    else:
        os.kill(computes, signal.SIGKILL if what == "second killed" else signal.SIGSTOP)
    status, _, errors = ended(processes[1 - lost], 60)
    assert status == 1 and time.monotonic() - began < 60
    assert errors.splitlines()[-1] == f"error: {PEER_LOST}" and "Traceback" not in errors and "@ " not in errors
    if what == "second stopped":
        os.kill(computes, signal.SIGKILL)
    status, _, errors = ended(processes[lost], 30)
    assert status == {"first killed": -9, "second told to end": 143}.get(what, 1), errors
    for process in two(out) if lost else [start(out)]:
        status, _, errors = ended(process)
        assert status == 0, errors
    assert contents(out) == whole[0]


BAD = {
    "without --distributed": ({"coordinator": "127.0.0.1:80", "processes": 2, "process_id": 0}, "with --distributed"),
    "without a number": ({"coordinator": "127.0.0.1:80", "processes": 2, "distributed": True}, "go together"),
    "no port": ({"coordinator": "host", "processes": 2, "process_id": 0, "distributed": True}, "no HOST:PORT"),
    "no such port": ({"coordinator": "h:70000", "processes": 2, "process_id": 0, "distributed": True}, "no HOST:PORT"),
    "too many": ({"coordinator": "h:80", "processes": 2, "process_id": 2, "distributed": True}, "none of 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_hosts_that_cannot_be(case):
    options, message = BAD[case]
    with pytest.raises(InputError, match=message):
        HostsConfig(**options)


@pytest.mark.parametrize("address", ["127.0.0.1", "no-such-host.invalid"])
def test_an_address_that_cannot_be_listened_at_ends_in_one_line(address):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match=f"cannot listen at {address}.*a free port"):
            join(f"{address}:{taken.getsockname()[1]}", 2, 0)


def test_without_a_cluster_it_ends_in_one_line(tmp_path):
    status, _, errors = ended(start(tmp_path / "run", number=0))
    assert status == 2 and len(errors.splitlines()) == 1
    assert errors.startswith("error: the processes do not find each other") and "--process-id" in errors
