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
from experiments.benchmarks.probes import product_rate


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


def run_growth(config: GrowthBenchmark) -> int:
    images, features, probes = config.usual
    print(f"{device()}, jax {versions()['jax']}; products: GFLOP/s of one of 2,000 x 2,048 x 630, float32, best of 10")
    print(f"{config.classes} classes, l2 {config.l2:g}, relative gap {config.tolerance:g}; principal axes not included")
    print(f"{'images':>7}{'features':>9}{'probes':>7}{'steps':>6}{'seconds [range]':>27}{'ms a step':>11}"
          f"{'and probe':>11}{'GFLOP/s':>9}{'products':>9}{'share':>7}")  # fmt: skip
    for growing, values in enumerate((config.images, config.features, config.probes)):
        for value in values:
            sizes = [images, features, probes]
            sizes[growing] = value
            peak = product_rate(2000, 2048, 630)
            steps, seconds = measure(sizes[0], sizes[1], sizes[2], config)
            middle, work = float(np.median(seconds)), 4.0 * sizes[0] * (sizes[1] + 1) * sizes[2] * config.classes
            rate, step = work * steps / middle, 1e3 * middle / steps
            spread = f"{middle:.3f} [{min(seconds):.3f}, {max(seconds):.3f}]"
            print(f"{sizes[0]:>7}{sizes[1]:>9}{sizes[2]:>7}{steps:>6}{spread:>27}{step:>11.2f}"
                  f"{step / sizes[2]:>11.3f}{rate / 1e9:>9.0f}{peak / 1e9:>9.0f}{rate / peak:>7.0%}",
                  flush=True)  # fmt: skip
        print()
    return 0


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
