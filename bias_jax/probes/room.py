"""How many jobs and layers a device holds side by side.

A CPU solves one job after the other: its products are as fast as those of many, and its caches hold one. An accelerator
needs thousands of columns: it gets all jobs of a shape that fit its memory, and, where a layer alone would leave it
idle, the layers of a width together.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np

from bias_jax.activations.memory import GIB, default_budget_gib
from bias_jax.probes.nested import Job
from bias_jax.probes.paths import Deal, deal

# Bytes of a layer's features beyond which it keeps a device busy by itself. Jobs of several layers each read features
# of their own, so that large ones would cost more than they gain.
ALONE = 64 * 2**20
STATE = 10  # arrays of the size of margins, and of coefficients, that a job takes while it is solved


def job_bytes(images: int, width: int, columns: int, *, shared: bool) -> int:
    """What one job takes while it is solved.

    Args:
        images: N.
        width: of the coordinates.
        columns: classes times folds.
        shared: whether jobs read the same features; else each has a copy, in both layouts.
    """
    return 4 * (STATE * columns * (images + width) + (0 if shared else 2 * images * width))


def stacks(bank: Mapping[str, jax.Array]) -> Iterator[list[str]]:
    """Layers of one width that are probed together."""
    names, size = list(bank), next(iter(bank.values())).nbytes
    alone = jax.default_backend() == "cpu" or size > ALONE
    together = 1 if alone else max(1, int(default_budget_gib() * GIB / 4 / (2 * size)))
    for first in range(0, len(names), together):
        yield names[first : first + together]


def deals(jobs: Sequence[Job], bytes_of_one: int, mesh: jax.sharding.Mesh) -> Iterator[tuple[Sequence[Job], Deal]]:
    """Jobs that are solved in one go, and how they are dealt to the devices."""
    if jax.default_backend() != "cpu":
        yield jobs, deal(len(jobs), mesh.size, max(1, math.floor(default_budget_gib() * GIB / bytes_of_one)))
        return
    if mesh.size > 1:
        yield jobs, deal(len(jobs), mesh.size, 1)
        return
    for job in jobs:
        yield [job], Deal(np.zeros(1, int), 1)
