"""Probes of scikit-learn, one after the other, beside this package's."""

import time
from collections.abc import Iterator
from typing import NamedTuple
from unittest.mock import patch

import numpy as np

from experiments.benchmarks.report import Column, Line, Table
from experiments.benchmarks.solved import Job, Solved

RATIO = Column("ratio", form=".3g", width=7)
FITS = (
    Column("layer", width=10),
    Column("features", form="d"),
    Column("target", width=22),
    Column("l2", form="g", width=8),
    Column("iterations", form="d"),
    Column("reached"),
    Column("scikit-learn", "s", ".2f"),
    Column("bias-jax", "s", ".4f"),
    RATIO,
)
SUMS = (Column("features", width=8), Column("scikit-learn", "s", ".1f"), Column("bias-jax", "s", ".3f"), RATIO)


class PeerFit(NamedTuple):
    """One probe of scikit-learn's."""

    layer: str
    features: int
    target: str
    l2: float
    iterations: int
    seconds: float
    reached: bool  # the gap; otherwise it was cut off, or float32 rounding ended it


def compare_sklearn(job: Job, solved: Solved, limit: float) -> Iterator[Line]:
    """The sample of scikit-learn's, and the ratio of times per probe."""
    yield f"scikit-learn: first fold, cut off after {limit:g} s a probe; bias-jax: its mean probe, with compilation"
    yield Table("scikit-learn, probe by probe", FITS)
    sums: dict[str, list[float]] = {}
    for peer in sample(job, solved, limit):
        ours = (solved.seconds[peer.layer] + solved.compiling[peer.layer]) / job.count
        yield (*peer[:5], peer.reached, peer.seconds, ours, peer.seconds / ours)
        for key in (str(peer.features), "all"):
            total = sums.setdefault(key, [0.0, 0.0])
            total[0] += peer.seconds
            total[1] += ours
    sums["all"] = sums.pop("all")  # last
    yield Table("scikit-learn, and this package for the same number of probes", SUMS)
    for key, (theirs, ours) in sums.items():
        yield key, theirs, ours, theirs / ours


def sample(job: Job, solved: Solved, limit: float) -> Iterator[PeerFit]:
    """One layer of every width, every target, the middle strength of each third of the strengths, the first fold."""
    strengths = [float(part[len(part) // 2]) for part in np.array_split(sorted(job.l2), 3) if len(part)]
    for width, layer in job.one_per_width.items():
        x = job.standardised(layer)[job.folds != 0]
        for target, y in job.labels.items():
            for l2 in strengths:
                wanted = solved.wanted(job, layer, target, l2, 0)
                yield PeerFit(layer, width, target, l2, *scikit_learn(x, y[job.folds != 0], l2, wanted, limit))


def scikit_learn(x: np.ndarray, y: np.ndarray, l2: float, threshold: float, limit: float) -> tuple[int, float, bool]:
    """Iterations, seconds, and whether the objective came down to the threshold within the limit."""
    from scipy import optimize
    from sklearn.linear_model import LogisticRegression

    original, start, reached, iterations = optimize.minimize, time.perf_counter(), False, 0

    def stop(intermediate_result) -> None:
        nonlocal reached, iterations
        iterations += 1
        reached = intermediate_result.fun <= threshold
        if reached or time.perf_counter() - start > limit:
            raise StopIteration

    def minimise(*arguments, **options):
        return original(*arguments, **{**options, "callback": stop})

    # Of two classes scikit-learn fits the difference of the weights, whose penalty is half as large.
    strength = (2.0 if len(np.unique(y)) == 2 else 1.0) / (l2 * len(y))
    with patch.object(optimize, "minimize", minimise):
        model = LogisticRegression(C=strength, tol=1e-12, max_iter=100_000)
        # Stopping early is the purpose, so the warning about it says nothing.
        with patch("sklearn.linear_model._logistic._check_optimize_result", lambda *a, **k: iterations):
            model.fit(x, y)
    return iterations, time.perf_counter() - start, reached
