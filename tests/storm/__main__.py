"""A storm: sweeps of all instruments are killed, interrupted, out of disk and damaged, again and again.

    python -m tests.storm --kills 200 --full-disks 20 --damaged 20 --signals 20 --seed 0

Each victim is one run directory that disasters befall, several in a row, also while it resumes. In the end the same
command finishes it, and every file must be that of a run that nothing disturbed, to the byte. It prints which stages
were hit, and exits with status 1 on any difference. It takes about ten seconds a disaster.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bias_jax.instruments import INSTRUMENTS
from tests.storm.disasters import SIGNALS, Run, damage, files
from tests.storm.subject import draw


class Storm:
    """Counts what happened."""

    def __init__(self, folder: Path, seed: int, instruments: Sequence[str]):
        self.folder, self.rng = folder, random.Random(seed)
        self.hits: Counter[str] = Counter()
        self.runs, self.victims, self.differences = 0, 0, 0
        self.arguments = draw(folder, instruments)
        self.start("warm")  # compiles
        _, self.duration = self.start("whole"), time.monotonic() - self.began
        self.whole = self.contents("whole")

    def start(self, name: str, failing: str = "", status: tuple[int, ...] = (0,)) -> Run:
        """One run that ends by itself."""
        self.began = time.monotonic()
        run = self.open(name, failing)
        if (found := run.wait()) not in status:
            self.differ(f"{name} ended with status {found} instead of {status}", run)
        return run

    def open(self, name: str, failing: str = "") -> Run:
        self.runs += 1
        return Run(self.arguments, self.folder / name, self.folder / "log", failing=failing)

    def contents(self, name: str) -> dict[Path, bytes]:
        return {path: (self.folder / name / path).read_bytes() for path in files(self.folder / name)}

    def differ(self, what: str, run: Run) -> None:
        self.differences += 1
        tail = "\n".join(run.log.read_text(errors="replace").splitlines()[-12:])
        print(f"DIFFERENCE: {what}\n{tail}", flush=True)

    def clean(self, run: Run) -> None:
        """A process that ended by itself told why in one line, and left nothing half done."""
        text = run.log.read_text(errors="replace")
        if "Traceback" in text or "Exception ignored" in text:
            self.differ("a traceback", run)
        if left := [path for path in files(run.out) if path.name.startswith(".partial-")]:
            self.differ(f"left {left}", run)

    def finish(self, name: str) -> None:
        """The same command once more; then every file must be as if nothing had happened."""
        self.victims += 1
        run = self.start(name)
        self.clean(run)
        found = self.contents(name)
        for path in sorted(found.keys() | self.whole.keys()):
            if found.get(path) != self.whole.get(path):
                self.differ(f"{name}/{path}", run)
        shutil.rmtree(self.folder / name)
        print(f"{self.victims} runs came through, {sum(self.hits.values())} hits, {self.differences} differences",
              flush=True)  # fmt: skip

    def in_a_row(self, number: int, kind: str) -> None:
        """So many disasters, spread over victims that each get one to four."""
        left = number
        while left > 0:
            name = f"{kind}-{self.victims}"
            for _ in range(min(left, self.rng.randint(1, 4))):
                if not getattr(self, kind)(name):
                    break
                left -= 1
            self.finish(name)

    def kill(self, name: str) -> bool:
        run = self.open(name)
        hit = run.hit(signal.SIGKILL, self.rng, self.duration, len(self.whole))
        run.wait()
        self.hits.update([f"killed: {hit}"] if hit else [])
        return hit is not None

    def interrupt(self, name: str) -> bool:
        run, number = self.open(name), self.rng.choice(SIGNALS)
        hit = run.hit(number, self.rng, self.duration, len(self.whole))
        if hit and self.rng.random() < 0.5:
            time.sleep(self.rng.uniform(0, 0.05))
            run.process.send_signal(number)
        status = run.wait()
        # Just ending: 0, or where the interpreter has taken its handlers down, what a shell calls 128 + the number.
        ending = (0, -number) if "\nresults: " in run.log.read_text(errors="replace") else ()
        if hit and status not in (128 + number, *ending):
            self.differ(f"{number.name} ended with status {status}", run)
        self.clean(run)
        self.hits.update([f"interrupted: {hit}"] if hit else [])
        return hit is not None

    def fill(self, name: str) -> bool:
        failing = (
            f"fsync:{self.rng.randint(0, 60)}" if self.rng.random() < 0.7 else f"size:{self.rng.randint(0, 10**5)}"
        )
        run = self.start(name, failing, status=(0, 1))
        self.clean(run)
        text = run.log.read_text(errors="replace")
        full = "cannot be written" in text
        if full == (run.process.returncode == 0):
            self.differ(f"a full disk ended with status {run.process.returncode}", run)
        self.hits.update([f"disk full ({failing.partition(':')[0]})"] if full else [])
        return full

    def spoil(self, name: str) -> bool:
        """Damage files of a run that was killed or finished, and of the cache; run.json needs the user's word."""
        if self.rng.random() < 0.5:
            self.kill(name)
        else:
            self.start(name)
        own = [path for path in files(self.folder / name) if path.name != "run.json"]
        for path in self.rng.sample(sorted(own), min(len(own), self.rng.randint(1, 4))):
            kind = damage(self.folder / name / path, self.rng)
            self.hits[f"damaged {path.suffix}: {kind}"] += 1
        if self.rng.random() < 0.3:
            damage(self.rng.choice(sorted((self.folder / "cache").glob("*-cache"))), self.rng)
            self.hits["damaged program"] += 1
        return True


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0 if nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {"kills": "kill", "signals": "interrupt", "full_disks": "fill", "damaged": "spoil"}
    for option in kinds:
        parser.add_argument(f"--{option.replace('_', '-')}", type=int, default=0, help="how many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--instruments", default=",".join(INSTRUMENTS), help="of the sweeps (default: all)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="storm-") as folder:
        storm = Storm(Path(folder), options.seed, options.instruments.split(","))
        print(f"an undisturbed run: {storm.duration:.1f} s, {len(storm.whole)} files", flush=True)
        try:
            for option, kind in kinds.items():
                storm.in_a_row(getattr(options, option), kind)
        except KeyboardInterrupt:
            print("stopped before its end")
    for hit, times in sorted(storm.hits.items()):
        print(f"  {times:>4} {hit}")
    print(f"{storm.runs} processes, {storm.victims} runs that were struck, differences: {storm.differences}")
    return 1 if storm.differences else 0


if __name__ == "__main__":
    sys.exit(main())
