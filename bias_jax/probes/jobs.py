"""Jobs: the probes of one layer, target and strength, F folds at once. A device solves many side by side.

A job that has converged makes room for the next strength of its path, which starts where the last two point, or for the
next path; when none is left, the batch shrinks. Nothing waits for the slowest, and nothing returns to the host before
all are solved. Jobs meet in nothing but the shape of their arrays, so the numbers do not depend on who solves what
beside what: every device has a queue of its own, and nothing is sent between them.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bias_jax.arithmetic import Fast
from bias_jax.devices import on_each
from bias_jax.probes.axes import Coordinates
from bias_jax.probes.objective import Problems
from bias_jax.probes.solver import Iterate, Solution, begin, newton_step

SHRINK = 4  # a batch goes on with a quarter of its places as soon as that is enough


class Queue(NamedTuple):
    """K paths; each walks one target of one layer along R strengths at most."""

    layer: jax.Array  # in the stack, int32 [K]
    target: jax.Array  # row of the table of problems, int32 [K]
    l2: jax.Array  # of the F problems, float32 [K, R, F]
    ratio: jax.Array  # how far beyond the last solution each starts, in ways from the last but one, float32 [K, R]
    length: jax.Array  # number of strengths, int32 [K]; 0 only fills the array, at the end of a device's queue


class _Place(NamedTuple):
    """One place of the batch."""

    path: jax.Array  # number of the path, int32; -1: none yet, K: none any more
    strength: jax.Array  # which of its strengths, int32
    before: jax.Array  # the solution at the strength before, [F, C, D + 1]
    at: Iterate


def solve_jobs(
    stack: Coordinates,
    table: Problems,
    queue: Queue,
    start: jax.Array,
    limits: tuple[jax.Array, jax.Array],
    *,
    together: int,
    arithmetic: Fast,
    mesh: jax.sharding.Mesh,
) -> Solution:
    """Solve all strengths of all paths.

    Args:
        stack: coordinates of L layers, [L, N, D + 1] and [L, D + 1, N], on every device.
        table: problems of T targets, [T, F, ...], on every device.
        queue: K paths in all, spread over the devices.
        start: coefficients at which each path begins, [K, F, C, D + 1], spread like it.
        limits: tolerance and number of steps of every job (see `solver.newton_step`), on every device.
        together: how many jobs a device solves side by side.
        arithmetic: of the conjugate gradients.
        mesh: the devices.

    Returns:
        Solutions [K, R, F, ...], spread like the queue; zeros beyond the length of a path.
    """
    return on_each(mesh, _solving(together, arithmetic), (stack, table, limits), (queue, start))


def map_jobs(
    function: Callable[..., Any], mesh: jax.sharding.Mesh, together: int, whole: tuple[Any, ...], parts: tuple[Any, ...]
) -> Any:
    """``function(*whole, *part)`` of each of K parts, on the device where the part lies.

    Args:
        function: of the module's level, since programs are kept by it.
        mesh: the devices.
        together: how many parts a device computes side by side.
        whole: arguments that lie on every device.
        parts: arguments [K, ...], spread over the devices.
    """
    return on_each(mesh, _mapping(together, function), whole, parts)


@cache
def _solving(together: int, arithmetic: Fast) -> Callable[..., Solution]:
    return jax.jit(partial(_solve, together, arithmetic))


@cache
def _mapping(together: int, function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(partial(_map, together, function))


def _map(together: int, function: Callable[..., Any], whole: tuple[Any, ...], parts: tuple[Any, ...]) -> Any:
    return jax.lax.map(lambda part: function(*whole, *part), parts, batch_size=together if together > 1 else None)


def _solve(
    together: int,
    arithmetic: Fast,
    whole: tuple[Coordinates, Problems, tuple[jax.Array, jax.Array]],
    parts: tuple[Queue, jax.Array],
) -> Solution:
    """`solve_jobs` on one device."""
    (stack, table, limits), (queue, start) = whole, parts
    paths, strengths = queue.ratio.shape
    number = (queue.length > 0).sum(dtype=jnp.int32)
    each = jax.vmap if together > 1 else _alone

    def of_path(path: jax.Array) -> tuple[Coordinates, Problems]:
        return pick(stack, queue.layer[path]), pick(table, queue.target[path])

    def load(path: jax.Array, strength: jax.Array, before: jax.Array, coefficients: jax.Array) -> _Place:
        at = begin(*of_path(jnp.minimum(path, paths - 1)), coefficients)
        return _Place(path, strength, before, at._replace(active=path < number))

    def step(place: _Place) -> _Place:
        own = jnp.clip(place.path, 0, paths - 1)
        l2 = queue.l2[own, place.strength]
        return place._replace(at=newton_step(*of_path(own), l2, place.at, *limits, arithmetic))

    def ended(places: _Place) -> jax.Array:
        return (places.path < number) & ~places.at.active

    def turn(places: _Place, found: Solution, following: jax.Array) -> tuple[_Place, Solution, jax.Array]:
        """Store what has ended, and load what comes next."""
        over, started = ended(places), places.path >= 0
        solution = each(Iterate.solution)(places.at)
        into = jnp.where(over & started, places.path, paths)  # what goes on is stored nowhere
        found = jax.tree.map(lambda all_, new: all_.at[into, places.strength].set(new, mode="drop"), found, solution)
        own = jnp.clip(places.path, 0, paths - 1)
        weaker = places.strength + 1
        onward = started & (weaker < queue.length[own])
        last = solution.coefficients
        ratio = queue.ratio[own, jnp.minimum(weaker, strengths - 1)][:, None, None, None]
        ahead = last + ratio * (last - places.before)
        fresh = over & ~onward
        path = jnp.where(fresh, jnp.minimum(following + jnp.cumsum(fresh) - 1, number), places.path)
        path = jnp.where(fresh & (path >= number), paths, path).astype(jnp.int32)
        first = start[jnp.minimum(path, paths - 1)]
        coefficients = jnp.where(onward[:, None, None, None], ahead, first)
        loaded = each(load)(path, jnp.where(onward, weaker, 0), last, coefficients)
        places = jax.tree.map(lambda new, old: _where(over, new, old), loaded, places)
        return places, found, following + fresh.sum(dtype=jnp.int32)

    def rounds(state: tuple[_Place, Solution, jax.Array], floor: int) -> tuple[_Place, Solution, jax.Array]:
        """Until at most so many places are taken and nobody waits."""

        def go_on(state: tuple[_Place, Solution, jax.Array]) -> jax.Array:
            return ((state[0].path < number).sum() > floor) | (state[2] < number)

        def one(state: tuple[_Place, Solution, jax.Array]) -> tuple[_Place, Solution, jax.Array]:
            places = jax.lax.while_loop(lambda now: ~ended(now).any(), each(step), state[0])
            return turn(places, *state[1:])

        return jax.lax.while_loop(go_on, one, state)

    shapes = jax.eval_shape(load, number, number, start[0], start[0])
    places = jax.tree.map(lambda a: jnp.zeros((together, *a.shape), a.dtype), shapes)
    places = places._replace(path=jnp.full(together, -1, jnp.int32))
    state = places, _room(paths, strengths, start), jnp.int32(0)
    while together > 2 * SHRINK:
        together //= SHRINK
        places, *others = rounds(state, together)
        taken = jnp.argsort(places.path, stable=True)[:together]  # empty places have the highest number
        state = jax.tree.map(lambda a: a[taken], places), *others  # noqa: B023 - used at once
    return rounds(state, 0)[1]


def pick(stacked: Any, number: jax.Array) -> Any:
    """One of a stack; where it is the only one, without a copy."""
    return jax.tree.map(lambda a: a[0] if a.shape[0] == 1 else a[number], stacked)


def _room(paths: int, strengths: int, start: jax.Array) -> Solution:
    """For all solutions."""
    numbers = jnp.zeros((paths, strengths, start.shape[1]))
    steps = jnp.zeros((paths, strengths), jnp.int32)
    return Solution(jnp.zeros((paths, strengths, *start.shape[1:])), numbers, numbers, numbers, steps)


def _alone(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.vmap` for a batch of one, without what a batch costs."""
    return lambda *batch: jax.tree.map(lambda a: a[None], function(*jax.tree.map(lambda a: a[0], batch)))


def _where(chosen: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    return jnp.where(chosen.reshape(-1, *[1] * (new.ndim - 1)), new, old)
