"""Paths along strengths, dealt to devices: what a solver is asked for, from the host's side."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import Fast
from bias_jax.devices import device_mesh, replicate, spread
from bias_jax.probes.axes import Coordinates
from bias_jax.probes.jobs import Queue, map_jobs, pick, solve_jobs
from bias_jax.probes.objective import Problems
from bias_jax.probes.problems import zero_start
from bias_jax.probes.solver import Solution

FURTHEST = 2.0  # beyond the last solution, as a multiple of the way from the last but one


class Deal(NamedTuple):
    """Jobs as they lie on the devices."""

    order: np.ndarray  # number of the job at each place, int [K], device after device; -1: none
    together: int  # how many a device solves side by side

    def places(self, jobs: int) -> np.ndarray:
        """Place of each job, int [J]."""
        return np.array([int(np.flatnonzero(self.order == job)[0]) for job in range(jobs)])


def checked_strengths(l2: Sequence[float]) -> list[float]:
    """Without repetition, the strongest first.

    Raises:
        ValueError: unless all are positive and finite in float32.
    """
    if np.ndim(l2) != 1:
        raise ValueError(f"l2 must be a sequence of strengths, such as [{l2}], got {l2!r}")
    with np.errstate(over="ignore", under="ignore"):
        values = np.asarray(l2, np.float64).astype(np.float32)
    if not len(values) or not np.isfinite(values).all() or not (values > 0).all():
        raise ValueError(f"l2 must be positive and finite, got {list(l2)}")
    return sorted({float(value) for value in l2}, reverse=True)


def deal(jobs: int, devices: int, together: int) -> Deal:
    """Deal jobs of one padded shape to devices in turn; queues are as long as powers of 2: few programs."""
    length = 1 << (-(-jobs // devices) - 1).bit_length()
    order = np.arange(length * devices).reshape(length, devices)
    return Deal(np.where(order < jobs, order, -1).T.ravel(), min(together, length))


def path_queue(
    dealt: Deal, layers: np.ndarray, targets: np.ndarray, l2: np.ndarray, lengths: int | None = None
) -> Queue:
    """The queue of dealt jobs, as NumPy arrays.

    Args:
        dealt: J jobs.
        layers: of each job, int [J].
        targets: of each job, int [J].
        l2: strengths, the strongest first, [J, R, F].
        lengths: how many of them; all by default.
    """
    job, there = np.maximum(dealt.order, 0), dealt.order >= 0
    strengths = np.asarray(l2, np.float64)[job]
    ratio = np.zeros(strengths.shape[:2])
    if strengths.shape[1] > 2:  # coefficients change smoothly with the logarithm of the strength
        logarithms = np.log(strengths[:, :, 0])
        steps = logarithms[:, :-1] - logarithms[:, 1:]
        ratio[:, 2:] = np.minimum(steps[:, 1:] / np.maximum(steps[:, :-1], 1e-12), FURTHEST)
    length = np.where(there, strengths.shape[1] if lengths is None else lengths, 0)
    numbers = layers[job], targets[job], strengths, ratio, length
    kinds = np.int32, np.int32, np.float32, np.float32, np.int32
    return Queue(*(array.astype(kind) for array, kind in zip(numbers, kinds, strict=True)))


def empty_start(stack: Coordinates, table: Problems, target: jax.Array) -> jax.Array:
    """Where a path of a target begins, [F, C, D + 1]."""
    return zero_start(pick(table, target), stack.features.shape[2])


def solve_path(
    coordinates: Coordinates,
    problems: Problems,
    l2: np.ndarray,
    tolerance: float,
    max_steps: int,
    arithmetic: Fast = "float32",
) -> Solution:
    """Solve the problems of one target at all strengths, on the first device.

    Each strength is started from where the last two point: the weak strengths, which take the most steps, then take
    half as many.

    Args:
        coordinates: of the layer.
        problems: labels, image weights and present classes of P problems.
        l2: strengths, the strongest first, [R] for all problems or [R, P].
        tolerance: see `solver.newton_step`.
        max_steps: at each strength.
        arithmetic: of the conjugate gradients.

    Returns:
        Solutions [R, P, ...].
    """
    mesh = device_mesh(1)
    size = len(problems.present)
    strengths = np.broadcast_to(np.asarray(l2).reshape(len(l2), -1), (len(l2), size))
    queue = path_queue(deal(1, 1, 1), np.zeros(1, int), np.zeros(1, int), strengths[None])
    stack, table = replicate(mesh, stacked([coordinates])), replicate(mesh, stacked([problems]))
    where = spread(mesh, queue)
    start = map_jobs(empty_start, mesh, 1, (stack, table), (where.target,))
    limits = replicate(mesh, (np.float32(tolerance), np.int32(max_steps)))
    found = solve_jobs(stack, table, where, start, limits, together=1, arithmetic=arithmetic, mesh=mesh)
    return _first(found)


@jax.jit
def stacked(parts):
    """A stack of what several layers or targets have alike."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *parts)


@jax.jit
def _first(found: Solution) -> Solution:
    return jax.tree.map(lambda a: a[0], found)
