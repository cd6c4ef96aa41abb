"""Every benchmark with small settings, into one folder: benchmarks.json (numbers) and benchmarks.md (tables).

Features are generated unless --data-dir is given, and nothing is fetched. Peers whose package is not installed are left
out and named. Both files are brought up to date with every row, so that a run that is killed loses nothing; a benchmark
that fails is named and the others go on.
"""

import gc
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import jax

from bias_jax.data import read_fairface
from bias_jax.errors import InputError
from bias_jax.results import device
from experiments.benchmarks.peers import missing_package
from experiments.benchmarks.record import Entry, Record
from experiments.benchmarks.registry import BENCHMARKS, Benchmark
from experiments.benchmarks.settings import SIZES
from experiments.commands import tell_failures


@dataclass(frozen=True)
class AllBenchmarks:
    """What is measured, and where it goes."""

    out: str  # folder of benchmarks.json and benchmarks.md, which are replaced
    data_dir: str = ""  # FairFace's folder, for those that can use photographs (default: generated features)
    minutes: float = 0.0  # begin no benchmark after this many minutes (default: no limit)
    size: Literal["quick", "tiny"] = "quick"  # quick: minutes on a GPU, longer on a CPU; tiny: only whether all runs

    def __post_init__(self) -> None:
        if not self.out:
            raise InputError("--out is empty", remedy="give a folder for the results")
        if not 0 <= self.minutes < float("inf"):
            raise InputError("--minutes must not be negative", remedy="leave it out for no limit")


def run_all(
    config: AllBenchmarks,
    settings: Mapping[str, Any] | None = None,
    benchmarks: Mapping[str, Benchmark] = BENCHMARKS,
) -> int:
    """Run all benchmarks; returns the exit status, 1 if one failed.

    Args:
        config: where to and how long.
        settings: options of every benchmark, in the order of the run (default: those of the size).
        benchmarks: by name.
    """
    begin = time.monotonic()
    if config.data_dir:
        read_fairface(config.data_dir)  # refused before anything is measured
    entries = {name: _prepared(options, config) for name, options in (settings or SIZES[config.size]).items()}
    record = Record(Path(config.out), _command(config), device(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", entries)
    failures: dict[str, Exception] = {}
    for name, entry in entries.items():
        passed = (time.monotonic() - begin) / 60
        print(f"\n=== {name} ===", flush=True)
        if config.minutes and passed >= config.minutes:
            entry.state, entry.reason = "skipped", f"{config.minutes:g} minutes were over"
            print(f"skipped: {entry.reason}", flush=True)
            record.write()
            continue
        if error := _measure(entry, benchmarks[name], record):
            failures[name] = error
    print(f"\n{record.folder}/benchmarks.json and .md; {time.monotonic() - begin:.0f} s in all", flush=True)
    tell_failures(failures)
    return 1 if failures else 0


def _prepared(options: Any, config: AllBenchmarks) -> Entry:
    """Options with the run's data and without peers that cannot run."""
    names = {f.name for f in fields(options)}
    if config.data_dir and "data_dir" in names:
        options = replace(options, data_dir=config.data_dir)
    left_out = {peer: package for peer in getattr(options, "peers", ()) if (package := missing_package(peer))}
    if left_out:
        options = replace(options, peers=tuple(peer for peer in options.peers if peer not in left_out))
    return Entry(options=options, left_out=left_out)


def _measure(entry: Entry, benchmark: Benchmark, record: Record) -> Exception | None:
    """Run one benchmark and keep every line of it; returns what it failed with."""
    for peer, package in entry.left_out.items():
        print(f"{peer} is left out: {package} is not installed", flush=True)
    entry.state, begin = "running", time.monotonic()
    record.write()
    lines, error = benchmark.lines(entry.options), None
    while True:
        try:
            line = next(lines)
            text = entry.report.add(line)
        except StopIteration:
            break
        except Exception as caught:  # whatever it is, the others are measured
            error = caught
            entry.reason = f"{type(caught).__name__}: {caught}".splitlines()[0]
            break
        print(text, flush=True)
        entry.seconds = time.monotonic() - begin
        record.write()
    entry.state, entry.seconds = "failed" if error else "done", time.monotonic() - begin
    record.write()
    jax.clear_caches()  # the next one begins with free memory, and compiles what it needs itself
    gc.collect()
    return error


def _command(config: AllBenchmarks) -> str:
    """As it would be typed."""
    given = [(f.name, getattr(config, f.name)) for f in fields(config) if getattr(config, f.name) != f.default]
    words = [word for name, value in given for word in (f"--{name.replace('_', '-')}", f"{value}")]
    return f"python -m experiments.benchmark all {shlex.join(words)}"
