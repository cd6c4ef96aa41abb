"""Fitting erasers: every target of a layer, for layers of a few widths, against concept-erasure (Belrose et al. 2023).

Both fit LEACE with shrinkage to the same features, in float64. This package decomposes the features of a layer once for
all targets, by images where these are fewer than dimensions; concept-erasure has a D x D covariance for each target.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import numpy as np

from bias_jax.erasure import fit_erasers
from bias_jax.errors import InputError
from bias_jax.results import device, versions
from experiments.benchmarks.peers import check_names, require, use_torch
from experiments.benchmarks.report import Column, Line, Table
from experiments.benchmarks.timing import alternate, median, ratio

PEER = "concept-erasure"


@dataclass(frozen=True)
class ErasureBenchmark:
    """What is measured."""

    images: int = 1000  # rows of the features
    widths: tuple[int, ...] = (64, 512)  # features of the layers, one layer each
    classes: tuple[int, ...] = (7, 9, 2, 126)  # of the targets
    repeats: int = 3  # rounds
    seed: int = 0  # of features and labels
    peers: tuple[str, ...] = (PEER,)  # what it is compared with, or nothing

    def __post_init__(self) -> None:
        sizes = (self.images, self.repeats, *self.widths)
        if not self.widths or not self.classes or min(sizes) < 1 or min(self.classes) < 2:
            raise InputError("--images, --widths and --repeats must be positive, --classes at least 2",
                             remedy="see --help")  # fmt: skip
        if self.images < 2 * max(self.classes):
            raise InputError("--images must be at least twice the number of classes", remedy="give more")
        check_names(self.peers, (PEER,))


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
        programs = {"bias-jax": lambda x=given: fit_erasers(x, labels)}
        if config.peers:
            programs[PEER] = lambda x=features: fit_with_peer(x, labels)
        seconds = alternate({name: _timed_only(program) for name, program in programs.items()}, config.repeats)
        yield width, "bias-jax", median(seconds["bias-jax"]), None, None
        if config.peers:
            found, theirs = fit_erasers(given, labels), fit_with_peer(features, labels)
            apart = max(np.abs(found[n].apply(features) - theirs[n](features)).max() for n in labels)
            yield width, PEER, median(seconds[PEER]), ratio(seconds["bias-jax"], seconds[PEER]), float(apart)


def fit_with_peer(features: np.ndarray, labels: dict[str, np.ndarray]) -> dict:
    """name -> function that erases features [N, D], by concept-erasure.

    Directions of any correlation count, as they do here; by default it leaves those below 0.01.
    """
    torch, place = use_torch()
    from concept_erasure import LeaceFitter

    x = torch.from_numpy(features).to(place)
    found = {}
    for name, numbers in labels.items():
        hot = torch.nn.functional.one_hot(torch.from_numpy(numbers).to(place)).to(x.dtype)
        eraser = LeaceFitter.fit(x, hot, svd_tol=1e-7).eraser
        found[name] = lambda y, eraser=eraser: eraser(torch.from_numpy(y).to(place)).cpu().numpy()
    return found


def _timed_only(program):
    """Without what it returns, which is not of JAX."""

    def run() -> None:
        program()

    return run
