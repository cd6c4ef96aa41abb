"""Probes as jobs: what they cost as there are more of them, and what each device does and is sent.

A job is one layer, target and strength, all folds. Generated features; targets are random orders of one. In the first
table jobs grow, on one device; in the second the devices, of the same jobs. Devices of a CPU share its cores
(JAX_NUM_CPU_DEVICES=8 makes eight of it), so work is counted there, not timed: steps of conjugate gradients times
folds, of the device that does the least and of the one that does the most, and the bytes that go to each and come back.
Between devices nothing is sent.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from bias_jax.devices import device_mesh, replicate, spread, to_host
from bias_jax.errors import InputError
from bias_jax.probes.axes import principal_axes
from bias_jax.probes.jobs import map_jobs, solve_jobs
from bias_jax.probes.paths import Deal, deal, empty_start, path_queue, stacked
from bias_jax.probes.problems import host_problems
from bias_jax.probes.solver import Solution
from bias_jax.results import device, versions
from experiments.benchmarks.banks import generated
from experiments.benchmarks.report import Column, Line, Row, Table
from experiments.benchmarks.timing import median

GROWING = (
    Column("jobs", form=",d"),
    Column("side by side", form="d"),
    Column("time", "s", ".3f", 22),
    Column("a job", "ms", ".2f"),
    Column("steps a job", form=".1f"),
    Column("worst gap", form=".1e"),
)
SHARED = (
    Column("devices", form="d"),
    Column("jobs on each", form="s"),
    Column("steps in all", form=",d"),
    Column("least", form=",d"),
    Column("most", form=",d"),
    Column("to each", "MB", ".2f"),
    Column("back", "MB", ".2f"),
    Column("same bytes as one", form="s"),
)


@dataclass(frozen=True)
class JobsBenchmark:
    """What is measured."""

    jobs: tuple[int, ...] = (10, 40, 160, 640, 2560, 4000)  # numbers of jobs; each strength is one
    devices: tuple[int, ...] = (1, 2, 4, 8)  # numbers of devices, those that there are
    shared: int = 160  # jobs of the second table
    together: int = 0  # jobs that a device solves side by side (default: 1 on a CPU, all on an accelerator)
    images: int = 1000  # N
    features: int = 255  # D, of each of two layers
    classes: int = 9  # of every target
    folds: int = 5
    strengths: int = 5  # of a path, from 1 to 1e-4
    tolerance: float = 1e-4  # relative gap of the objective
    repeats: int = 3  # timed runs after a warm-up

    def __post_init__(self) -> None:
        sizes = *self.jobs, *self.devices, self.shared, self.images, self.features, self.folds - 1, self.repeats
        if min(sizes) < 1 or self.together < 0 or self.classes < 2 or self.strengths < 1 or self.tolerance <= 0:
            raise InputError("numbers must be positive, --classes and --folds at least 2", remedy="see --help")


@dataclass(frozen=True)
class _Work:
    """Jobs as they lie on a mesh."""

    mesh: jax.sharding.Mesh
    dealt: Deal
    arguments: tuple[Any, ...]  # of `solve_jobs`

    @property
    def solve(self) -> Callable[..., Solution]:
        return partial(solve_jobs, together=self.dealt.together, arithmetic="float32", mesh=self.mesh)


def run_jobs(config: JobsBenchmark) -> Iterator[Line]:
    """Both tables."""
    yield f"{device()}, jax {versions()['jax']}"
    yield f"{config.images} images, {config.features} features, {config.classes} classes, {config.folds} folds"
    together = config.together or (1 if jax.default_backend() == "cpu" else max(config.jobs))
    yield Table("Jobs grow, on one device", GROWING)
    for number in config.jobs:
        work = _work(config, number, device_mesh(1), together)
        seconds = [_timed(work) for _ in range(config.repeats + 1)][1:]
        found, done = (
            to_host(work.mesh, work.solve(*work.arguments)),
            max(1, number // config.strengths) * config.strengths,
        )
        taken, steps = median(seconds), float(found.steps.sum() / done)
        yield done, work.dealt.together, taken, 1e3 * taken.value / done, steps, float(found.relative_gap.max())
    yield Table(f"Devices grow, {config.shared} jobs", SHARED)
    first = None
    for count in (count for count in config.devices if count <= len(jax.devices())):
        row, solved = _shared(_work(config, config.shared, device_mesh(count), together), config)
        first = solved if first is None else first
        same = all(np.array_equal(a, b) for a, b in zip(first, solved, strict=True))
        yield (*row, "yes" if same else "no")


def _work(config: JobsBenchmark, number: int, mesh: jax.sharding.Mesh, together: int) -> _Work:
    """So many jobs, in paths along the strengths; half of the paths are of either layer."""
    rng = np.random.default_rng(0)
    paths = max(1, number // config.strengths)
    targets = -(-paths // 2)
    y = np.arange(config.images) % config.classes
    folds = rng.permutation(np.arange(config.images) % config.folds)
    banks = [generated(config.features, y, seed) for seed in (0, 1)]
    parts = [
        host_problems(y if t == 0 else rng.permutation(y), config.classes, folds != np.arange(config.folds)[:, None])
        for t in range(targets)
    ]
    stack = replicate(mesh, stacked([principal_axes(jax.device_put(bank)).coordinates for bank in banks]))
    table = replicate(mesh, jax.tree.map(lambda *arrays: np.stack(arrays), *parts))
    dealt = deal(paths, mesh.size, together)
    strengths = np.geomspace(1.0, 1e-4, config.strengths)
    l2 = np.broadcast_to(strengths[None, :, None], (paths, config.strengths, config.folds))
    queue = spread(mesh, path_queue(dealt, np.arange(paths) % 2, np.arange(paths) // 2, l2))
    start = map_jobs(empty_start, mesh, dealt.together, (stack, table), (queue.target,))
    limits = replicate(mesh, (np.float32(config.tolerance), np.int32(1000)))
    return _Work(mesh, dealt, (stack, table, queue, start, limits))


def _timed(work: _Work) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(work.solve(*work.arguments))
    return time.perf_counter() - begin


def _shared(work: _Work, config: JobsBenchmark) -> tuple[Row, list[np.ndarray]]:
    """A row of the second table, and the solutions in the order of the jobs."""
    found = work.solve(*work.arguments)
    shares = (work.dealt.order.reshape(work.mesh.size, -1) >= 0).sum(axis=1) * config.strengths
    stack, table, queue, start, limits = work.arguments
    sent = sum(a.nbytes for a in jax.tree.leaves((stack, table, limits)))
    sent += sum(a.nbytes for a in jax.tree.leaves((queue, start))) / work.mesh.size
    back = sum(a.nbytes for a in jax.tree.leaves(found))
    host = to_host(work.mesh, found)
    steps = host.steps.reshape(work.mesh.size, -1).sum(axis=1) * config.folds
    places = work.dealt.places(max(1, config.shared // config.strengths))
    row = (
        work.mesh.size, f"{shares.min()} to {shares.max()}", int(steps.sum()), int(steps.min()), int(steps.max()),
        sent / 1e6, back / 1e6,
    )  # fmt: skip
    return row, [array[places] for array in host]
