"""Throughput of sampled association tests: relabellings per second, against vectorised NumPy, side by side in one run.

The work is that of the published tests (Steed & Caliskan 2021): 15 tests with their numbers of images, in every layer
of a network. The values are random; the cost does not depend on them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from bias_jax.association.sampled import count_hits
from bias_jax.errors import InputError
from bias_jax.randomness import key_for
from bias_jax.results import device, versions
from experiments.benchmarks.report import Column, Line, Table
from experiments.benchmarks.timing import timed

PUBLISHED_SIZES = (35, 6, 6, 8, 6, 10, 7, 4, 7, 9, 6, 10, 6, 40, 40)  # images of X, and of Y, of the 15 tests
BLOCK = 10_000  # draws that NumPy holds at once: larger blocks leave the cache and are slower


@dataclass(frozen=True)
class AssociationBenchmark:
    """What is measured."""

    layers: int = 17  # layers per test
    draws: int = 1_000_000  # relabellings per test and layer
    numpy_draws: int = 50_000  # relabellings of the NumPy versions, which are scaled up to --draws
    seed: int = 0  # of values and draws

    def __post_init__(self) -> None:
        if min(self.layers, self.draws, self.numpy_draws) < 1:
            raise InputError("--layers, --draws and --numpy-draws must be positive", remedy="see --help")


def numpy_single(s: np.ndarray, size: int, draws: int, rng: np.random.Generator) -> int:
    """Relabel one layer, as vectorised tests of word and image associations do: random keys, the smallest `size`."""
    hits, observed = 0, s[:size].sum()
    for start in range(0, draws, BLOCK):
        keys = rng.random((min(BLOCK, draws - start), len(s)))
        chosen = np.argpartition(keys, size - 1, axis=1)[:, :size]
        hits += int((s[chosen].sum(axis=1) >= observed).sum())
    return hits


def numpy_joint(rows: np.ndarray, size: int, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same draws for all layers, and the largest over layers: what `count_hits` computes, in NumPy."""
    observed = rows[:, :size].sum(axis=1)
    own, largest = np.zeros(len(rows), int), np.zeros(len(rows), int)
    for start in range(0, draws, BLOCK):
        count = min(BLOCK, draws - start)
        chosen = np.argpartition(rng.random((count, rows.shape[1])), size - 1, axis=1)[:, :size]
        subsets = np.zeros((count, rows.shape[1]))
        np.put_along_axis(subsets, chosen, 1.0, axis=1)
        sums = subsets @ rows.T
        own += (sums >= observed).sum(axis=0)
        largest += (sums.max(axis=1)[:, None] >= observed).sum(axis=0)
    return own, largest


def run_association(config: AssociationBenchmark) -> Iterator[Line]:
    """Times of all tests, in this package and in NumPy."""
    rng = np.random.default_rng(config.seed)
    tests = [(rng.standard_normal((config.layers, 2 * n)), n) for n in PUBLISHED_SIZES]
    tests = [(rows - rows.mean(axis=1, keepdims=True), n) for rows, n in tests]
    number = len(tests) * config.draws * config.layers
    yield f"{len(tests)} tests x {config.layers} layers x {config.draws} relabellings = {number:.3g}, on {device()}"
    yield f"jax {versions()['jax']}, numpy {versions()['numpy']}; numpy times scaled from {config.numpy_draws} draws"

    def ours() -> None:
        for number, (rows, size) in enumerate(tests):
            count_hits(rows, size, config.draws, key_for(config.seed, str(number)), two_sided=False)

    first, again = timed(ours), timed(ours)
    scale = config.draws / config.numpy_draws
    peers = {"numpy, layers together": 0.0, "numpy, layer by layer": 0.0}
    for rows, size in tests:
        together = partial(numpy_joint, rows, size, config.numpy_draws, rng)
        single = partial(numpy_single, rows[0], size, config.numpy_draws, rng)  # the layers of a test cost the same
        peers["numpy, layers together"] += scale * timed(together)
        peers["numpy, layer by layer"] += scale * config.layers * timed(single)

    yield Table(
        "Sampled association tests",
        (
            Column("program", width=32),
            Column("time", "s", ".2f", 8),
            Column("relabellings", "1/s", ".3g"),
            Column("each", "ns", ".2f", 8),
            Column("bias-jax faster by", form=".1f"),
            Column("with compilation", form=".1f"),
        ),
    )
    for name, wall in {"bias-jax, compilation included": first, "bias-jax": again, **peers}.items():
        faster = (wall / again, wall / first) if name in peers else (None, None)
        yield (name, wall, number / wall, 1e9 * wall / number, *faster)
