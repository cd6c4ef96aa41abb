"""Many softmax probes on one feature matrix, solved together to a certified optimum.

All problems share the features X [N, D] and differ in labels, training images and strength. Their weight
vectors are rows of one matrix W [K, D], K the sum of the classes of all problems, so a quasi-Newton step costs two
matrix products for all of them: the logits of the direction ``V X'`` and the gradient ``R X``. Everything else is
element-wise. In particular the line search is free of products, because logits are linear in the step.

Operations of one step: 4 N D K for the products, about 10 N K for softmax and line search, 4 M D K for the memory of
M past steps. With N = D = 2000 and M = 8 the products are 98 % of the arithmetic.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MEMORY = 8  # past steps kept by L-BFGS
STALL = 60  # steps without a better gap after which a problem has found what float32 can give
ABSENT_CLASS_LOGIT = -40.0  # a class without training images: probability below 1e-17, but finite


class Problems(NamedTuple):
    """P problems for each of T targets; they share rows of features."""

    labels: tuple[jax.Array, ...]  # per target: class of each image, int32 [P, N]; negative means unknown
    weights: tuple[jax.Array, ...]  # per target: weight of each image in the mean, float32 [P, N], rows sum to 1
    present: tuple[jax.Array, ...]  # per target: whether the class occurs in training, bool [P, C]


class Solution(NamedTuple):
    """Probes as rows of one matrix; problem (t, p) owns `classes[t]` consecutive rows."""

    coefficients: jax.Array  # [K, D + 1], the last column is the bias
    objective: jax.Array  # [T, P]
    gap: jax.Array  # [T, P], upper bound of objective minus optimum
    steps: jax.Array  # number of steps taken, scalar


def problem_of_row(problems: Problems) -> jax.Array:
    """Number ``t * P + p`` of the problem that owns each row of the coefficients, int32 [K]."""
    count = problems.labels[0].shape[0]
    sizes = [present.shape[1] for present in problems.present]
    parts = [t * count + jnp.repeat(jnp.arange(count), size) for t, size in enumerate(sizes)]
    return jnp.concatenate(parts)


def _blocks(rows: jax.Array, problems: Problems) -> list[jax.Array]:
    """Split [K, ...] into one array [P, C, ...] per target."""
    result, start = [], 0
    for present in problems.present:
        count, classes = present.shape
        result.append(rows[start : start + count * classes].reshape(count, classes, *rows.shape[1:]))
        start += count * classes
    return result


def problem_logits(features: jax.Array, coefficients: jax.Array, problems: Problems) -> list[jax.Array]:
    """Logits of all images, one array [P, C, N] per target."""
    logits = jnp.matmul(coefficients, features.T, precision="highest")
    return _blocks(jnp.where(_live(problems)[:, None], logits, ABSENT_CLASS_LOGIT), problems)


class _State(NamedTuple):
    """Where all problems stand; Q = T P problems."""

    coefficients: jax.Array  # [K, D + 1]
    logits: jax.Array  # [K, N]
    gradient: jax.Array  # [K, D + 1]
    curvature: jax.Array  # [K], second derivative of the loss by each bias
    objective: jax.Array  # [Q]
    gap: jax.Array  # [Q]


def solve(
    features: jax.Array,
    spectrum: jax.Array,
    problems: Problems,
    start: jax.Array,
    l2: jax.Array,
    tolerance: float,
    max_steps: int,
) -> Solution:
    """Minimise ``mean -log softmax(x W + b)[y] + l2/2 sum(W^2)`` for all problems by preconditioned L-BFGS.

    Args:
        features: [N, D + 1], rotated to principal axes, the last column all ones.
        spectrum: mean square of each column of `features`, [D + 1]; its shape is the preconditioner.
        problems: labels, image weights and present classes.
        start: coefficients to start from, [K, D + 1].
        l2: strength of each problem, [Q].
        tolerance: a problem stops when its gap is at most this fraction of its objective.
        max_steps: limit on the number of steps.

    The gap is certified by strong convexity: with the bias minimised out, ``f - f* <= |df/dW|^2 / (2 l2)``;
    what is left of the bias gradient adds its Newton decrement.
    """
    state = _assess(features, problems, start, l2)
    threshold = jax.device_put(np.float32(tolerance))
    coefficients, steps = _minimise(features, spectrum, problems, state, l2, threshold, max_steps)
    # Logits are updated step by step on the way; what is reported is computed afresh from the coefficients.
    state = _assess(features, problems, coefficients, l2)
    shape = (len(problems.labels), problems.labels[0].shape[0])
    return Solution(coefficients, state.objective.reshape(shape), state.gap.reshape(shape), steps)


@jax.jit
def _assess(features: jax.Array, problems: Problems, coefficients: jax.Array, l2: jax.Array) -> _State:
    logits = jnp.matmul(coefficients, features.T, precision="highest")
    logits = jnp.where(_live(problems)[:, None], logits, ABSENT_CLASS_LOGIT)
    return _evaluate(features, problems, coefficients, logits, l2)


def _evaluate(
    features: jax.Array, problems: Problems, coefficients: jax.Array, logits: jax.Array, l2: jax.Array
) -> _State:
    """Objective, gradient and certificate; the one product is that of the gradient."""
    live = _live(problems)
    losses, residuals, curvatures = [], [], []
    for block, labels, weights in zip(_blocks(logits, problems), problems.labels, problems.weights, strict=True):
        loss, residual, curvature = _cross_entropy(block, labels, weights)
        losses.append(loss)
        residuals.append(residual.reshape(-1, residual.shape[-1]))
        curvatures.append(curvature.reshape(-1))
    curvature = jnp.where(live, jnp.concatenate(curvatures), 0.0)
    penalised = coefficients.at[:, -1].set(0.0)
    row_l2 = l2[problem_of_row(problems)]
    gradient = jnp.matmul(jnp.concatenate(residuals), features, precision="highest") + row_l2[:, None] * penalised
    gradient = jnp.where(live[:, None], gradient, 0.0)
    # Each bias alone; the sum over classes bounds the joint decrement up to the factor C / (C - 1) <= 2.
    bias_part = jnp.square(gradient[:, -1]) / jnp.maximum(curvature, 1e-30)
    gap = _per_problem(jnp.square(gradient[:, :-1]).sum(axis=1) / (2.0 * row_l2) + bias_part, problems)
    objective = jnp.concatenate(losses) + 0.5 * l2 * _per_problem(jnp.square(penalised).sum(axis=1), problems)
    return _State(coefficients, logits, gradient, curvature, objective, gap)


def _cross_entropy(logits: jax.Array, labels: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Weighted loss [P], its gradient [P, C, N] by logits [P, C, N], and its curvature [P, C] by each bias.

    Accurate also where the loss is close to 0: then it is log1p of the other classes' share, and the true class's
    residual is minus that share, neither of which may be had as a difference from 1.
    """
    true = jnp.arange(logits.shape[1])[:, None] == labels[:, None]
    top = logits.max(axis=1)
    exponentials = jnp.exp(logits - top[:, None])
    others = jnp.where(true, 0.0, exponentials)
    rest = others.sum(axis=1)
    excess = top - jnp.where(true, logits, 0.0).sum(axis=1)  # 0 where the true class is on top
    total = rest + jnp.exp(-excess)
    loss = jnp.where(excess > 0, excess + jnp.log(total), jnp.log1p(rest))
    share = others / total[:, None]
    residual = weights[:, None] * jnp.where(true, -(rest / total)[:, None], share)
    probability = exponentials / total[:, None]
    curvature = (weights[:, None] * probability * (1.0 - probability)).sum(axis=2)
    return (weights * loss).sum(axis=1), residual, curvature


def _slopes(logits: jax.Array, change: jax.Array, labels: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """First and second derivative [P] of the loss along `change`."""
    true = jnp.arange(logits.shape[1])[:, None] == labels[:, None]
    probability = jax.nn.softmax(logits, axis=1)
    mean = (probability * change).sum(axis=1)
    variance = (probability * jnp.square(change - mean[:, None])).sum(axis=1)
    observed = jnp.where(true, change, 0.0).sum(axis=1)
    return (weights * (mean - observed)).sum(axis=1), (weights * variance).sum(axis=1)


@partial(jax.jit, static_argnames="max_steps")
def _minimise(
    features: jax.Array,
    spectrum: jax.Array,
    problems: Problems,
    start: _State,
    l2: jax.Array,
    tolerance: jax.Array,
    max_steps: int,
) -> tuple[jax.Array, jax.Array]:
    """Coefficients and number of steps."""
    owner = problem_of_row(problems)
    live = _live(problems)
    penalty = jnp.where(jnp.arange(features.shape[1]) < features.shape[1] - 1, l2[owner][:, None], 0.0)
    size = start.coefficients.shape

    def dot(a: jax.Array, b: jax.Array) -> jax.Array:
        return _per_problem((a * b).sum(axis=1), problems)

    def direction(state: _State, memory, k: jax.Array) -> jax.Array:
        """Two-loop recursion over the stored steps, all problems at once."""
        steps, changes, inverse = memory
        order = (k - 1 - jnp.arange(MEMORY)) % MEMORY

        def backward(q, i):
            a = inverse[i] * dot(steps[i], q)
            return q - a[owner][:, None] * changes[i], a

        q, a = jax.lax.scan(backward, state.gradient, order)
        # Curvature times spectrum stands for the Hessian's diagonal in principal axes.
        q = q / (jnp.maximum(state.curvature, 1e-8)[:, None] * spectrum + penalty)

        def forward(q, xs):
            i, a_i = xs
            b = inverse[i] * dot(changes[i], q)
            return q + (a_i - b)[owner][:, None] * steps[i], None

        q, _ = jax.lax.scan(forward, q, (order[::-1], a[::-1]))
        return -q

    def line_search(logits, change, initial, slope_w, slope_v) -> jax.Array:
        """Step length [Q] along a direction: safeguarded Newton on a convex function of one variable."""

        def refine(search):
            step, low, high, _, k = search
            trial = _blocks(logits + step[owner][:, None] * change, problems)
            parts = zip(trial, _blocks(change, problems), problems.labels, problems.weights, strict=True)
            first, second = (jnp.concatenate(x) for x in zip(*(_slopes(*part) for part in parts), strict=True))
            first, second = first + slope_w + step * slope_v, second + slope_v
            done = jnp.abs(first) <= 0.1 * jnp.abs(initial)
            low = jnp.where(first < 0, step, low)
            high = jnp.where(first > 0, step, high)
            newton = step - first / jnp.maximum(second, 1e-30)
            fallback = jnp.where(jnp.isfinite(high), 0.5 * (low + high), 4.0 * low + 1e-3)
            proposal = jnp.where((newton > low) & (newton < high), newton, fallback)
            return jnp.where(done, step, proposal), low, high, done, k + 1

        nothing = jnp.zeros_like(initial)
        search = (nothing + 1.0, nothing, nothing + jnp.inf, initial >= 0, 0)
        step, low, _, done, _ = jax.lax.while_loop(lambda s: ~s[3].all() & (s[4] < 8), refine, search)
        return jnp.where(done & (initial < 0), step, low)  # `low` still descends, by convexity

    def unfinished(loop):
        return loop[2].any() & (loop[5] < max_steps)

    def body(loop):
        state, memory, active, best, stalled, k = loop
        v = jnp.where(active[owner][:, None] & live[:, None], direction(state, memory, k), 0.0)
        change = jnp.matmul(v, features.T, precision="highest")
        w = state.coefficients
        step = line_search(state.logits, change, dot(state.gradient, v), dot(w, penalty * v), dot(v, penalty * v))
        step = step[owner][:, None]
        new = _evaluate(features, problems, w + step * v, state.logits + step * change, l2)
        difference = new.gradient - state.gradient
        alignment = dot(step * v, difference)
        slot = k % MEMORY
        memory = (
            memory[0].at[slot].set(step * v),
            memory[1].at[slot].set(difference),
            memory[2].at[slot].set(jnp.where(alignment > 0, 1.0 / jnp.where(alignment > 0, alignment, 1.0), 0.0)),
        )
        stalled = jnp.where(new.gap < 0.99 * best, 0, stalled + 1)
        active = active & (new.gap > tolerance * new.objective) & (stalled < STALL)
        return new, memory, active, jnp.minimum(best, new.gap), stalled, k + 1

    number = start.gap.shape[0]
    memory = (jnp.zeros((MEMORY, *size)), jnp.zeros((MEMORY, *size)), jnp.zeros((MEMORY, number)))
    active = start.gap > tolerance * start.objective
    loop = (start, memory, active, start.gap, jnp.zeros(number, jnp.int32), jnp.int32(0))
    state, *_, steps = jax.lax.while_loop(unfinished, body, loop)
    return state.coefficients, steps


def _live(problems: Problems) -> jax.Array:
    """Whether each row of the coefficients belongs to a class that occurs in training, bool [K]."""
    return jnp.concatenate([present.reshape(-1) for present in problems.present])


def _per_problem(rows: jax.Array, problems: Problems) -> jax.Array:
    """Sum over the rows [K] of each problem, [Q]."""
    return jnp.concatenate([block.sum(axis=1) for block in _blocks(rows, problems)])
