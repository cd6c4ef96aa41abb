"""A sweep on one device, on all of them, on two hosts, and on two of which one is killed: the same bytes."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.storm.disasters import ROOT, files
from tests.storm.subject import draw

INSTRUMENTS = "variance,probes,maps"  # probes are solved by all hosts together


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    drawn = draw(tmp_path_factory.mktemp("drawn"))
    return [INSTRUMENTS if "probes" in argument.split(",") else argument for argument in drawn]


def start(arguments: list[str], out: Path, *options: str, devices: int = 4) -> subprocess.Popen:
    """In a process with so many devices."""
    log = out.parent / f"{out.name}{'-'.join(options)}.log".replace("/", "-")
    command = [sys.executable, "-m", "tests.storm.process", str(log), "", *arguments, "--out", str(out), *options]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)})


def two(arguments: list[str], out: Path) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = ["--distributed", "--coordinator", f"127.0.0.1:{free.getsockname()[1]}", "--processes", "2"]
    return [start(arguments, out, *where, "--process-id", str(number)) for number in (0, 1)]


def contents(out: Path) -> dict[Path, bytes]:
    return {path: (out / path).read_bytes() for path in files(out)}


@pytest.mark.slow
def test_a_sweep_leaves_the_same_bytes_on_any_devices_and_hosts(arguments, tmp_path):
    assert start(arguments, tmp_path / "one", "--devices", "1").wait(300) == 0
    whole = contents(tmp_path / "one")
    assert len(whole) > 20
    assert start(arguments, tmp_path / "all", devices=8).wait(300) == 0
    assert [process.wait(300) for process in two(arguments, tmp_path / "two")] == [0, 0]
    victims = two(arguments, tmp_path / "struck")
    while not (tmp_path / "struck/probes/task.arrow").exists():
        assert all(victim.poll() is None for victim in victims)
        time.sleep(0.02)
    victims[1].send_signal(signal.SIGKILL)
    assert [victim.wait(60) for victim in victims] == [1, -9]
    assert start(arguments, tmp_path / "struck", "--devices", "3").wait(300) == 0
    for name in ("all", "two", "struck"):
        found = contents(tmp_path / name)
        assert found.keys() == whole.keys(), name
        assert [str(path) for path in whole if found[path] != whole[path]] == [], name
