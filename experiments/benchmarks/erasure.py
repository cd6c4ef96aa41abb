"""Fitting erasers: every target of a layer, for layers of a few widths, against concept-erasure (Belrose et al. 2023).

Both fit LEACE with shrinkage to the same features, in float64. This package decomposes the features of a layer once for
all targets, by images where these are fewer than dimensions; concept-erasure has a D x D covariance for each target.
Then what erasing is for: race, age and gender are erased from every layer of a ResNet50, and probes of all three are
trained on what is left, against concept-erasure and scikit-learn, which do so for one layer of every width.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from bias_jax.erasure import fit_erasers
from bias_jax.errors import InputError
from bias_jax.results import device, versions
from experiments.benchmarks.concept_erasure_peer import fit_with_peer
from experiments.benchmarks.erased_probes import compare_erased_probes
from experiments.benchmarks.peers import check_names, require
from experiments.benchmarks.report import Column, Line, Table
from experiments.benchmarks.timing import alternate, median, ratio

PEER = "concept-erasure"
PROBES = "sklearn"


@dataclass(frozen=True)
class ErasureBenchmark:
    """What is measured."""

    images: int = 1000  # rows of the features
    widths: tuple[int, ...] = (64, 512)  # features of the layers, one layer each
    classes: tuple[int, ...] = (7, 9, 2, 126)  # of the targets
    repeats: int = 3  # rounds
    seed: int = 0  # of features and labels
    data_dir: str = ""  # FairFace's folder, for the layers that are probed (default: generated features)
    per_group: int = 8  # images of each of 126 groups at most, half of which erasers are fitted to; 0: no layers
    layers: tuple[str, ...] = ()  # layers of ResNet50 (default: all 17)
    l2: tuple[float, ...] = (1e-3, 1e-1, 10.0)  # strengths of the probes
    folds: int = 5  # of the probes
    peers: tuple[str, ...] = (PEER, PROBES)  # what it is compared with, or nothing; layers that are probed need both

    def __post_init__(self) -> None:
        sizes = (self.images, self.repeats, *self.widths)
        if not self.widths or not self.classes or min(sizes) < 1 or min(self.classes) < 2:
            raise InputError("--images, --widths and --repeats must be positive, --classes at least 2",
                             remedy="see --help")  # fmt: skip
        if self.images < 2 * max(self.classes):
            raise InputError("--images must be at least twice the number of classes", remedy="give more")
        if self.per_group < 0 or self.folds < 2 or not self.l2 or min(self.l2) <= 0:
            raise InputError("--per-group must not be negative, --folds at least 2, --l2 positive", remedy="see --help")
        check_names(self.peers, (PEER, PROBES))


def run_erasure(config: ErasureBenchmark) -> Iterator[Line]:
    """Seconds of all fits of a layer."""
    require(config.peers)
    rng = np.random.default_rng(config.seed)
    labels = {f"{c} classes": rng.permutation(np.arange(config.images) % c) for c in config.classes}
    yield f"{config.images} images, targets of {', '.join(map(str, config.classes))} classes, on {device()}"
    yield f"jax {versions()['jax']}, numpy {versions()['numpy']}; float64, with shrinkage, {config.repeats} rounds"
    columns = (
        Column("width", form="d"),
        Column("program", width=16),
        Column("time", "s", ".3f", 22),
        Column("bias-jax faster by", form=".1f", width=18),
        Column("largest difference", form=".1e"),
    )
    yield Table("Erasers of all targets of a layer", columns)
    for width in config.widths:
        features = rng.standard_normal((config.images, width)) / np.sqrt(np.arange(1, width + 1))
        with jax.enable_x64(True):
            given = jax.device_put(features)
        programs: dict[str, Callable[[], object]] = {"bias-jax": partial(fit_erasers, given, labels)}
        if PEER in config.peers:
            programs[PEER] = partial(fit_with_peer, features, labels)
        seconds = alternate({name: _timed_only(program) for name, program in programs.items()}, config.repeats)
        yield width, "bias-jax", median(seconds["bias-jax"]), None, None
        if PEER in config.peers:
            found, theirs = fit_erasers(given, labels), fit_with_peer(features, labels)
            apart = max(np.abs(found[n].apply(features) - theirs[n](features)).max() for n in labels)
            yield width, PEER, median(seconds[PEER]), ratio(seconds["bias-jax"], seconds[PEER]), float(apart)
    if config.per_group:
        where = config.data_dir, config.per_group, config.layers
        yield from compare_erased_probes(*where, config.l2, config.folds, {PEER, PROBES} <= set(config.peers))


def _timed_only(program):
    """Without what it returns, which is not of JAX."""

    def run() -> None:
        program()

    return run
