"""Cost of the probes as the work grows: seconds against number of images, features and probes.

Generated features, one target of nine classes, one strength; each probe is trained on a random 80 % of the images.
One of the three numbers changes at a time. While products are too small to keep the cores busy, more probes are free.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import numpy as np

from bias_jax.errors import InputError
from bias_jax.probes.axes import principal_axes
from bias_jax.probes.paths import solve_path
from bias_jax.probes.problems import class_problems
from bias_jax.results import device, versions
from experiments.benchmarks.banks import generated
from experiments.benchmarks.machine import product_rate
from experiments.benchmarks.report import Column, Line, Table
from experiments.benchmarks.timing import median

COLUMNS = (
    Column("images", form=",d"),
    Column("features", form=",d"),
    Column("probes", form="d"),
    Column("steps", form="d"),
    Column("time", "s", ".3f", 22),
    Column("a step", "ms", ".2f"),
    Column("and probe", "ms", ".3f"),
    Column("rate", "GFLOP/s", ".0f"),
    Column("products alone", "GFLOP/s", ".0f"),
    Column("share", form=".0%"),
)


@dataclass(frozen=True)
class GrowthBenchmark:
    """What is measured."""

    images: tuple[int, ...] = (500, 1000, 2000, 4000, 8000)  # numbers of images
    features: tuple[int, ...] = (64, 256, 1024, 2048)  # numbers of features
    probes: tuple[int, ...] = (1, 2, 5, 10, 20, 40, 80, 160)  # numbers of probes solved together
    usual: tuple[int, ...] = (2000, 1024, 5)  # images, features and probes while another one changes
    classes: int = 9  # classes of the target
    l2: float = 1e-2  # strength
    tolerance: float = 1e-4  # relative gap of the objective
    repeats: int = 5  # timed runs after a warm-up; the median and the range are printed

    def __post_init__(self) -> None:
        sizes = *self.images, *self.features, *self.probes, *self.usual, self.repeats, self.classes - 1
        if min(sizes) < 1 or min(self.l2, self.tolerance) <= 0 or len(self.usual) != 3:
            raise InputError("numbers must be positive, --usual three, --classes at least 2", remedy="see --help")


def run_growth(config: GrowthBenchmark) -> Iterator[Line]:
    """Times of one solve after the other."""
    yield f"{device()}, jax {versions()['jax']}; products: GFLOP/s of one of 2,000 x 2,048 x 630, float32, best of 10"
    yield f"{config.classes} classes, l2 {config.l2:g}, relative gap {config.tolerance:g}; principal axes not included"
    yield Table("One solve, as one of its sizes grows", COLUMNS)
    for growing, values in enumerate((config.images, config.features, config.probes)):
        for value in values:
            sizes = [*config.usual[:growing], value, *config.usual[growing + 1 :]]
            peak = product_rate(2000, 2048, 630)
            steps, seconds = measure(sizes[0], sizes[1], sizes[2], config)
            middle, work = float(np.median(seconds)), 4.0 * sizes[0] * (sizes[1] + 1) * sizes[2] * config.classes
            rate, step = work * steps / middle, 1e3 * middle / steps
            yield (*sizes, steps, median(seconds), step, step / sizes[2], rate / 1e9, peak / 1e9, rate / peak)


def measure(images: int, features: int, probes: int, config: GrowthBenchmark) -> tuple[int, list[float]]:
    """Steps to the gap, and the seconds they took."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(images) % config.classes)
    coordinates = principal_axes(jax.device_put(generated(features, y, 0))).coordinates
    problems = class_problems(y, config.classes, rng.random((probes, images)) < 0.8)

    def run() -> Iterator[tuple[int, float]]:
        for _ in range(config.repeats + 1):
            begin = time.perf_counter()
            found = solve_path(coordinates, problems, np.array([config.l2]), config.tolerance, 2000)
            jax.block_until_ready(found)
            yield int(found.steps[0]), time.perf_counter() - begin

    steps, seconds = zip(*run(), strict=True)
    return steps[0], list(seconds[1:])
