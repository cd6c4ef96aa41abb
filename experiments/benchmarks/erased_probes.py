"""Attributes erased from all layers of a ResNet50, and asked for again: against concept-erasure with scikit-learn.

Erasers of race, age and gender are fitted to half of the images. Probes of all three are trained on the other half, as
it is and behind every eraser, of all strengths and folds. The peers do the same for one layer of every width: an eraser
after the other, and a probe after the other, stopped at the first iteration whose objective is within the gap of the
value reached here. Their seconds count once for each layer of the width. Compilation counts.
"""

import time
from collections.abc import Iterator, Mapping

import jax
import numpy as np

from bias_jax.erasure import fit_erasers
from bias_jax.probes import ConvexProbes, fit_convex
from experiments.benchmarks.banks import benchmark_bank
from experiments.benchmarks.concept_erasure_peer import fit_with_peer
from experiments.benchmarks.report import Column, Line, Table
from experiments.benchmarks.sklearn_peer import scikit_learn
from experiments.benchmarks.solved import Job, Solved

ATTRIBUTES = ("race", "age", "gender")
UNTOUCHED = "nothing"
LIMIT = 300.0  # seconds after which a probe of scikit-learn's is cut off
COLUMNS = (
    Column("features", width=8),
    Column("layers", form="d"),
    Column("probes", form="d"),
    Column("bias-jax", "s", ".2f"),
    Column("concept-erasure", "s", ".2f"),
    Column("scikit-learn", "s", ".1f"),
    Column("bias-jax faster by", form=".1f", width=18),
    Column("not reached", form="d"),
)


def compare_erased_probes(
    data_dir: str, per_group: int, layers: tuple[str, ...], l2: tuple[float, ...], folds: int, peers: bool
) -> Iterator[Line]:
    """Seconds by width of the layers, and of all.

    Args:
        data_dir, per_group, layers: see `benchmark_bank`.
        l2: strengths of the probes.
        folds: of the images that no eraser was fitted to.
        peers: whether they run, too.
    """
    bank, labels, what = benchmark_bank(data_dir, per_group, layers)
    labels = {name: labels[name] for name in ATTRIBUTES}
    halves = np.random.default_rng(0).permutation(len(labels["race"])) % 2 == 0
    fit, kept = np.flatnonzero(halves), np.flatnonzero(~halves)
    of_folds = np.arange(len(kept)) % folds
    each = (1 + len(labels)) * len(labels) * len(l2) * folds  # probes of a layer
    number = len(labels)
    yield f"{what}; {len(l2)} strengths x {folds} folds x {number} targets, untouched and behind {number} erasers"
    yield Table("Erased from all layers, and asked for again", COLUMNS)
    seconds: dict[int, list[float]] = {}
    jobs: dict[int, tuple[Job, ConvexProbes]] = {}
    for features in bank.values():
        start = time.perf_counter()
        erased = _erased(features, labels, fit, kept)
        own = {name: y[kept] for name, y in labels.items()}
        probes = fit_convex(erased, own, l2=l2, folds=of_folds, tolerance=1e-4)
        for name in erased:
            probes.objective(name, "race", l2[0], 0)  # waits for the device
        width = features.shape[1]
        seconds.setdefault(width, []).append(time.perf_counter() - start)
        jobs[width] = Job(erased, own, of_folds, l2, 1e-4), probes
    sums = np.zeros(4)
    for width, ours in seconds.items():
        count, spent = len(ours), sum(ours)
        if not peers:
            yield (str(width), count, count * each, spent, None, None, None, None)
            continue
        last = [layer for layer, features in bank.items() if features.shape[1] == width][-1]
        erasing, probing, missed = _peers(np.asarray(bank[last]), labels, fit, kept, *jobs[width])
        row = spent, count * erasing, count * probing
        sums += np.array([*row, missed])
        yield (str(width), count, count * each, *row, sum(row[1:]) / spent, missed)
    if peers:
        total = sums[:3].tolist()
        yield ("all", len(bank), len(bank) * each, *total, sum(total[1:]) / total[0], int(sums[3]))


def _erased(
    features: jax.Array, labels: Mapping[str, np.ndarray], fit: np.ndarray, kept: np.ndarray
) -> dict[str, jax.Array]:
    """The other half as it is, and behind every eraser."""
    held_out = jax.numpy.take(features, jax.device_put(kept), axis=0)
    fitted = jax.numpy.take(features, jax.device_put(fit), axis=0)
    erasers = fit_erasers(fitted, {name: y[fit] for name, y in labels.items()})
    return {UNTOUCHED: held_out, **{name: eraser.apply(held_out) for name, eraser in erasers.items()}}


def _peers(
    features: np.ndarray, labels: Mapping[str, np.ndarray], fit: np.ndarray, kept: np.ndarray, job: Job,
    ours: ConvexProbes,
) -> tuple[float, float, int]:  # fmt: skip
    """Seconds of erasing and of probing one layer, and how many probes did not come as near."""
    start = time.perf_counter()
    wide = features.astype(np.float64)
    erasers = fit_with_peer(wide[fit], {name: y[fit] for name, y in labels.items()})
    erased = {UNTOUCHED: wide[kept], **{name: erase(wide[kept]) for name, erase in erasers.items()}}
    erasing, probing, missed = time.perf_counter() - start, 0.0, 0
    solved = Solved({}, {}, dict.fromkeys(erased, ours))
    for condition, changed in erased.items():
        x = (changed - changed.mean(axis=0)).astype(np.float32)
        x /= np.sqrt(np.square(x).mean())
        for target, y in job.labels.items():
            for l2 in job.l2:
                for fold in range(job.fold_count):
                    rows, wanted = job.folds != fold, solved.wanted(job, condition, target, l2, fold)
                    _, spent, reached = scikit_learn(x[rows], y[rows], l2, wanted, LIMIT)
                    probing, missed = probing + spent, missed + (not reached)
    return erasing, probing, missed
