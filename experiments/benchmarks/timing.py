"""Side-by-side timing on noisy machines."""

import statistics
import time
from collections.abc import Callable, Mapping


def alternate(programs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each program: one warm-up each, then `repeats` rounds in alternation, so that drift hits all alike."""
    for program in programs.values():
        program()
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in programs.items():
            start = time.perf_counter()
            program()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def describe(seconds: list[float], work: float, unit: str) -> str:
    """Median rate with the range over repeats, e.g. ``13.2 images/s [12.9, 13.4]``."""
    rates = sorted(work / s for s in seconds)
    return f"{statistics.median(rates):,.1f} {unit} [{rates[0]:,.1f}, {rates[-1]:,.1f}]"


def ratio(ours: list[float], theirs: list[float]) -> str:
    """How many times faster ours is: best against best, and the range of the rounds taken pairwise."""
    pairs = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    return f"{min(theirs) / min(ours):.2f} times as fast (best of {len(ours)}) [{pairs[0]:.2f}, {pairs[-1]:.2f}]"
