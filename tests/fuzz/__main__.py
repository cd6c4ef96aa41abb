"""Readers are given anything: tables, archives, folders, pictures, weights, checkpoints, run directories.

    python -m tests.fuzz --minutes 10 --readers tables,labels,zips --seed 0

Each example must end in results or in one message (`InputError`), open no file outside of what was given, and take less
than 20 seconds. Every reader runs in a process of its own: one that crashes or hangs in a library takes none of the
others with it. Prints how many examples were tried, and each failure once with the smallest example that was found and
the command that draws it again. Exits with status 1 on any failure.
"""

import argparse
import faulthandler
import logging
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import InvalidArgument

from tests.fuzz.readers import READERS

LONGEST = 20  # seconds an example may take
CHUNK = 50  # examples drawn with one seed
DRAWN = settings(max_examples=CHUNK, deadline=None, database=None, phases=(Phase.generate, Phase.shrink),
                 suppress_health_check=list(HealthCheck), print_blob=False)  # fmt: skip


class Hang(Exception):
    """An example took too long."""


def hang(*_: object) -> None:
    raise Hang(f"an example takes more than {LONGEST} seconds")


class Tally:
    """Counts examples, and lets every fault come up once: what is known already is passed over."""

    def __init__(self, check: Callable[..., None]):
        self.check, self.tried = check, 0
        self.known: set[tuple] = set()
        self.fresh: set[tuple] = set()

    def once(self, **drawn: object) -> None:
        self.tried += 1
        signal.setitimer(signal.ITIMER_REAL, LONGEST)
        faulthandler.dump_traceback_later(6 * LONGEST, exit=True)  # native code does not listen to signals
        try:
            self.check(**drawn)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            fault = type(error), frame.filename, frame.lineno
            if fault not in self.known:
                self.fresh.add(fault)
                raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()


def fuzz(reader: str, minutes: float, first: int, chunks: int, latest: Path | None) -> bool:
    """Draw examples until the time is over; whether nothing failed."""
    tallies = [(reading, Tally(reading.check)) for reading in READERS[reader]]
    end, number, failures = time.monotonic() + 60 * minutes, first, 0
    while time.monotonic() < end and number - first < (chunks or sys.maxsize):
        for reading, tally in tallies:
            if latest is not None:
                latest.write_text(str(number))
            draw = seed(number)(DRAWN(given(**reading.given)(tally.once)))
            try:
                draw()
            except InvalidArgument:
                raise
            except Exception as error:
                failures += 1
                again = f"python -m tests.fuzz --readers {reader} --seed {number} --chunks 1"
                print(f"FAILURE of {reader}, {reading.check.__name__}; again: {again}")
                print("".join(traceback.format_exception(error, limit=-6)), flush=True)
                tally.known |= tally.fresh
        number += 1
    tried = sum(tally.tried for _, tally in tallies)
    print(f"{reader}: {tried} examples, {failures} failures, seeds {first} to {number - 1}", flush=True)
    return not failures


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0 if nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="for each reader")
    parser.add_argument("--readers", default=",".join(READERS), help="separated by commas (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the first examples; the next ones count on from it")
    parser.add_argument("--chunks", type=int, default=0, help=f"so many times {CHUNK} examples, whatever the time")
    parser.add_argument("--latest", type=Path, help=argparse.SUPPRESS)  # where a process writes the seed it is at
    options = parser.parse_args(argv)
    readers = options.readers.split(",")
    if unknown := set(readers) - set(READERS):
        parser.error(f"there is no reader {', '.join(sorted(unknown))}; there are {', '.join(READERS)}")
    if options.latest is not None:
        faulthandler.enable()
        logging.disable()
        warnings.simplefilter("ignore")  # of libraries, about what is damaged
        signal.signal(signal.SIGALRM, hang)
        return 0 if fuzz(readers[0], options.minutes, options.seed, options.chunks, options.latest) else 1
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for reader in readers:
            latest = Path(folder) / reader
            given_ = ["--minutes", str(options.minutes), "--seed", str(options.seed), "--chunks", str(options.chunks)]
            command = [sys.executable, "-m", "tests.fuzz", "--readers", reader, *given_, "--latest", str(latest)]
            status = subprocess.run(command).returncode
            failed += status != 0
            if status not in (0, 1):
                print(f"FAILURE of {reader}: its process ended with status {status} at seed {latest.read_text()}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
