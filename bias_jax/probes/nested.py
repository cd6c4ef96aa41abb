"""Nested cross-validation of many probes at once: jobs of several layers and targets of one padded shape.

First, for every strength, *inner* probes without folds f and f + 1, each scored on both of these folds. Then, at the
strengths these choose (see `choice`), *outer* probes without fold f, on the real and on shuffled labels. Only
predictions return to the host in between.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import Fast
from bias_jax.devices import replicate, spread, to_host
from bias_jax.probes.axes import Coordinates
from bias_jax.probes.between_folds import answer, ask, responses
from bias_jax.probes.choice import choose_strengths
from bias_jax.probes.jobs import map_jobs, pick, solve_jobs
from bias_jax.probes.objective import Problems, problem_logits
from bias_jax.probes.paths import Deal, empty_start, path_queue
from bias_jax.probes.problems import host_problems
from bias_jax.statistics import Exchange

BY_IMAGE = ("predicted", "log_probability", "fitted", "fitted_log_probability", *Exchange._fields)
BY_TARGET = ("inner_predicted", "inner_log_probability", "l2", "relative_gap")


class Nested(NamedTuple):
    """How probes are trained and validated."""

    strengths: Sequence[float]  # R of them, the strongest first
    folds: np.ndarray  # of each image, int [N], 0 to F - 1
    signs: np.ndarray  # of `between_folds.centred_signs`, [P, N]
    tolerance: float  # certified gap at which a probe stops, relative to its objective
    max_steps: int  # of a job
    arithmetic: Fast  # of the conjugate gradients
    mesh: jax.sharding.Mesh


class Job(NamedTuple):
    """The probes of one target on one layer."""

    layer: int  # in the stack
    target: int  # of those given


def probe_jobs(
    stack: Coordinates, truths: Sequence[np.ndarray], classes: Sequence[int], jobs: Sequence[Job], dealt: Deal,
    how: Nested,
) -> Iterator[dict[str, np.ndarray]]:  # fmt: skip
    """Fields of `OutOfFold` of every job, without the T axis.

    Args:
        stack: coordinates of L layers, on every device of the mesh.
        truths: of each target, real labels and shuffled ones, int [1 + S, N].
        classes: of each target; all are padded to one size.
        jobs: J of them.
        dealt: the same jobs on devices.
        how: see `Nested`.
    """
    mesh, folds, number = how.mesh, how.folds, int(how.folds.max()) + 1
    job = [jobs[max(j, 0)] for j in dealt.order]
    layers, targets = np.array([j.layer for j in jobs]), np.array([j.target for j in jobs])
    limits = replicate(mesh, (np.float32(how.tolerance), np.int32(how.max_steps)))
    options: Any = {"mesh": mesh, "together": dealt.together}
    gaps = []

    inner = np.stack([(folds != f) & (folds != (f + 1) % number) for f in range(number)])
    table = replicate(mesh, _table([truth[0] for truth in truths], classes, inner))
    l2 = np.broadcast_to(np.array(how.strengths)[None, :, None], (len(jobs), len(how.strengths), number))
    queue = spread(mesh, path_queue(dealt, layers, targets, l2))
    zeros = map_jobs(empty_start, mesh, dealt.together, (stack, table), (queue.target,))
    path = solve_jobs(stack, table, queue, zeros, limits, arithmetic=how.arithmetic, **options)
    two = replicate(mesh, np.stack([folds, (folds - 1) % number]).astype(np.int32))  # that left out an image's fold
    guessed = map_jobs(
        _predict_path, mesh, dealt.together, (stack, table, two), (queue.layer, queue.target, path.coefficients)
    )
    guess, log_p, path_gap = to_host(mesh, (*guessed, path.relative_gap))
    gaps.append(path_gap.max(axis=(1, 2)))
    choice = np.stack([choose_strengths(own, folds) for own in log_p])  # [K, F]
    chosen = np.array(how.strengths)[choice]

    # Real labels first, from the inner probes with one fold less, then each shuffle, from nothing. One strength of a
    # path as long as the others: the solver is compiled once per padded width and target size.
    outer = np.stack([folds != f for f in range(number)])
    places = dealt.places(len(jobs))
    final = path_queue(dealt, layers, targets, np.repeat(chosen[places][:, None], len(how.strengths), axis=1), 1)
    queue = spread(mesh, final)
    start = map_jobs(_chosen, mesh, 1, (), (path.coefficients, spread(mesh, choice.astype(np.int32))))
    del path  # its memory
    two = replicate(mesh, np.stack([folds, (folds + 1) % number]).astype(np.int32))  # held out, and trained on
    found: list[dict[str, list[np.ndarray]]] = [{name: [] for name in BY_IMAGE} for _ in jobs]
    for row in range(len(truths[0])):
        table = replicate(mesh, _table([truth[row] for truth in truths], classes, outer))
        solved = solve_jobs(stack, table, queue, zeros if row else start, limits, arithmetic=how.arithmetic, **options)
        asked = [ask(truth[row], folds, how.signs) for truth in truths]
        held, sources, vectors = replicate(mesh, (asked[0].held, asked[0].sources, asked[0].vectors))
        shares = spread(mesh, np.stack([asked[j.target].shares for j in job]))
        own = queue.layer, queue.target, queue.l2, solved.coefficients
        predicted = map_jobs(_predict_final, mesh, dealt.together, (stack, table, two), own)
        exchanged = map_jobs(_respond, mesh, dealt.together, (stack, table, held, sources, vectors), (*own, shares))
        (guesses, log_ps), (learned, taught), gap = to_host(mesh, (predicted, exchanged, solved.relative_gap))
        gaps.append(gap.max(axis=(1, 2)))
        for j, place in enumerate(places):
            exchange = answer(learned[place], taught[place], len(how.signs))
            values = guesses[place, 0], log_ps[place, 0], guesses[place, 1], log_ps[place, 1], *exchange
            for name, value in zip(BY_IMAGE, values, strict=True):
                found[j][name].append(value)
    worst = np.max(gaps, axis=0)
    for j, place in enumerate(places):
        by_target = dict(zip(BY_TARGET, (guess[place], log_p[place], chosen[place], worst[place]), strict=True))
        yield {name: np.stack(rows) for name, rows in found[j].items()} | by_target


def _table(labels: Sequence[np.ndarray], classes: Sequence[int], training: np.ndarray) -> Problems:
    """Problems [T, F, ...] of T targets."""
    parts = [host_problems(y, size, training) for y, size in zip(labels, classes, strict=True)]
    return Problems(*(np.stack(arrays) for arrays in zip(*parts, strict=True)))  # type: ignore[arg-type]


def _chosen(path: jax.Array, choice: jax.Array) -> jax.Array:
    """Of R solutions [R, F, C, D + 1] the one chosen for each fold."""
    return path[choice, jnp.arange(len(choice))]


def _predict_path(
    stack: Coordinates, table: Problems, two: jax.Array, layer: jax.Array, target: jax.Array, path: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """`_predict` at every strength of a path [R, F, C, D + 1], both [R, 2, N]."""
    coordinates, problems = pick(stack, layer), pick(table, target)
    return jax.lax.map(lambda coefficients: _predict(coordinates, problems, coefficients, two), path)


def _predict_final(
    stack: Coordinates, table: Problems, two: jax.Array, layer: jax.Array, target: jax.Array, _: jax.Array,
    path: jax.Array,
) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    """`_predict` at the first strength of a path."""
    return _predict(pick(stack, layer), pick(table, target), path[0], two)


def _predict(
    coordinates: Coordinates, problems: Problems, coefficients: jax.Array, two: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Most probable class and log-probability of the labelled one, by two of the F problems for each image, [2, N]."""
    logits = problem_logits(coordinates.features, coefficients, problems)
    log_p = jax.nn.log_softmax(logits, axis=1)
    true = jnp.take_along_axis(log_p, problems.labels[:, None], axis=1)[:, 0]
    return tuple(
        jnp.take_along_axis(by_problem, two, axis=0) for by_problem in (logits.argmax(axis=1).astype(jnp.int32), true)
    )  # type: ignore[return-value]


def _respond(
    stack: Coordinates, table: Problems, held: jax.Array, sources: jax.Array, vectors: jax.Array, layer: jax.Array,
    target: jax.Array, l2: jax.Array, path: jax.Array, shares: jax.Array,
) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    """`responses` at the first strength of a path."""
    coordinates, problems = pick(stack, layer), pick(table, target)
    return responses(coordinates, problems, path[0], l2[0], held, shares, sources, vectors)
