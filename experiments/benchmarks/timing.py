"""Side-by-side timing on noisy machines."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import jax

from experiments.benchmarks.report import Spread

Name = TypeVar("Name", bound=Hashable)


def alternate(programs: Mapping[Name, Callable[[], object]], repeats: int) -> dict[Name, list[float]]:
    """Seconds of each program: one warm-up each, then `repeats` rounds in alternation, so that drift hits all alike."""
    for program in programs.values():
        program()
    seconds: dict[Name, list[float]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in programs.items():
            seconds[name].append(timed(program))
    return seconds


def timed(program: Callable[[], object]) -> float:
    """Seconds a program takes, until its arrays are there."""
    start = time.perf_counter()
    jax.block_until_ready(program())
    return time.perf_counter() - start


def median(values: Sequence[float]) -> Spread:
    """Median and range."""
    return Spread(statistics.median(values), min(values), max(values))


def rates(seconds: Sequence[float], work: float) -> Spread:
    """Median of work per second, with the range over rounds."""
    return median([work / s for s in seconds])


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """How many times faster ours is: best against best, and the range of the rounds taken pairwise."""
    pairs = [b / a for a, b in zip(ours, theirs, strict=True)]
    return Spread(min(theirs) / min(ours), min(pairs), max(pairs))
