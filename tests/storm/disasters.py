"""What befalls a run: each disaster happens to one process, or to the files between two."""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
WAIT = 0.002  # seconds between two looks at a directory


class Run:
    """A sweep in a process of its own."""

    def __init__(self, arguments: list[str], out: Path, log: Path, *, failing: str = ""):
        self.out, self.log, self.started = out, log, time.monotonic()
        self.before = files(out)
        command = [sys.executable, "-m", "tests.storm.process", str(log), failing, *arguments, "--out", str(out)]
        self.process = subprocess.Popen(command, cwd=ROOT)

    def wait(self) -> int:
        """Its exit status."""
        return self.process.wait(timeout=900)

    def until(self, reached: Callable[[], bool]) -> bool:
        """Wait until something is reached; False if the process ended before."""
        while not reached():
            if self.process.poll() is not None:
                return False
            time.sleep(WAIT)
        return True

    def hit(self, number: int, rng: random.Random, duration: float, total: int) -> str | None:
        """Send a signal at a random moment: after a time, or as soon as so many more of the files in all are there.

        Returns:
            The stage it hit; None if the process had ended before.
        """
        if rng.random() < 0.4:
            moment = self.started + rng.uniform(0, duration)
            there = self.until(lambda: time.monotonic() >= moment)
        else:
            more = rng.randint(1, max(1, total - len(self.before)))
            there = self.until(lambda: len(files(self.out).keys() - self.before.keys()) >= more)
            time.sleep(rng.uniform(0, 0.05))
        if not there or self.process.poll() is not None:
            return None
        self.process.send_signal(number)
        return stage(self.out, self.before)


def files(folder: Path) -> dict[Path, bytes | None]:
    """Names of all files of a run but its lock."""
    return {path.relative_to(folder): None for path in folder.rglob("*") if path.suffix and path.name != ".lock"}


def stage(out: Path, before: dict) -> str:
    """What a process was at, by the newest of the files that it wrote."""
    newest, found = 0.0, "before its first file"
    for path in files(out).keys() - before.keys():
        try:
            written = (out / path).stat().st_mtime
        except FileNotFoundError:
            continue
        if path.name.startswith(".partial-"):
            return f"writing a file ({path.suffix})"
        if written >= newest:
            kinds = {
                ".json": "opening",
                ".arrow": "measuring",
                ".parquet": "tables",
                ".png": "figures",
                ".svg": "figures",
                ".html": "report",
            }
            newest, found = written, kinds[path.suffix]
            if path.parts[1:2] == ("illustrations",):
                found = "illustrations"
            if path.name == "tables.json":
                found = "tables"
            if path.name == "section.json":
                found = "figures"
    return found


def fail_writes(how: str) -> None:
    """From now on this process has a full disk: ``fsync:K`` after K files, ``size:B`` in every file beyond B bytes."""
    kind, _, number = how.partition(":")
    if kind == "size":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(number), resource.RLIM_INFINITY))
    if kind == "fsync":
        sync, left = os.fsync, int(number)

        def full(descriptor: int) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(descriptor)

        os.fsync = full


def damage(path: Path, rng: random.Random) -> str:
    """Do to a file what disks and losses of power do; what it was."""
    content = path.read_bytes()
    place = rng.randrange(len(content)) if content else 0
    kinds = {
        "emptied": b"",
        "cut short": content[:place],
        "zeroed": bytes(len(content)),
        "zeros from somewhere on": content[:place] + bytes(len(content) - place),
        "one bit turned over": content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]
        if content else b"x",
        "garbage": rng.randbytes(len(content)),
    }  # fmt: skip
    kind = rng.choice(list(kinds))
    path.write_bytes(kinds[kind])
    return kind


SIGNALS = (signal.SIGINT, signal.SIGTERM)
