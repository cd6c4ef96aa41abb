"""Many softmax probes on one feature matrix, solved together to a certified optimum.

The P problems of one target share the features X [N, D] and differ in labels, training images and strength. Their
weight vectors are rows of one matrix W [P C, D], so a quasi-Newton step costs two matrix products for all of them: the
logits of the direction ``V X'`` and the gradient ``R X``. Everything else is element-wise. In particular the line
search is free of products, because logits are linear in the step.

Operations of one step: 4 N D P C for the products, about 30 N P C for softmax and line search, 8 M D P C for the memory
of M past steps. With N = D = 2000 and M = 3 the products are 99 % of the arithmetic. Targets are solved one after the
other: hard ones take several times the steps of easy ones, and the products of one target are large enough.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.probes.certificate import certify
from bias_jax.probes.objective import (
    Fit,
    Problems,
    State,
    cross_entropy,
    evaluate,
    inverse_weights,
    problem_logits,
    to_margins,
)

MEMORY = 3  # past steps kept by L-BFGS; more hardly save steps, and each costs four passes over the coefficients
STALL = 60  # steps without a better gap or objective after which a problem has found what float32 can give
ROUNDING = 1e-6  # relative differences of objectives below this are rounding
FLATTER = 0.3  # the slope after a step must have fallen to this share of the slope before it
ROUNDS = 4  # of steps and certificate
TRIALS = 8  # of the line search, after which any descent will do


class Solution(NamedTuple):
    """The probes of one target at one strength each."""

    coefficients: jax.Array  # [P, C, D + 1], the last column is the bias
    objective: jax.Array  # [P]
    gap: jax.Array  # [P], upper bound of objective minus optimum
    steps: int  # number of steps taken


class _Best(NamedTuple):
    """What the steps have gained so far."""

    gap: jax.Array  # smallest, [P]
    objective: jax.Array  # after the last step that gained anything, [P]
    age: jax.Array  # steps since then, [P]


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
        start: coefficients to start from, [P, C, D + 1].
        l2: strength of each problem, [P].
        tolerance: a problem stops when its gap is at most this fraction of its objective.
        max_steps: limit on the number of steps.

    The gap is certified by strong convexity: with the biases minimised out, ``f - f* <= |df/dW|^2 / (2 l2)``. On the
    way the gap is estimated at the biases as they are; at the end they are minimised, and where the certificate is
    then larger than the estimate, the problems go on from there with a smaller aim.
    """
    coefficients, taken, aim, relative = start, 0, tolerance, np.inf
    for _ in range(ROUNDS):
        limits = jax.device_put((np.float32(aim), np.int32(max_steps - taken)))
        coefficients, steps = _minimise(features, spectrum, problems, coefficients, l2, *limits)
        coefficients, objective, gap = certify(features, problems, coefficients, l2)
        steps, worst = jax.device_get((steps, _worst(objective, gap)))
        taken, before, relative = taken + int(steps), relative, float(worst)
        if not tolerance < relative < 0.9 * before or taken >= max_steps:
            break  # solved; or as far as float32 gets; or out of steps
        aim *= 0.5 * tolerance / relative
    return Solution(coefficients, objective, gap, taken)


@jax.jit
def _worst(objective: jax.Array, gap: jax.Array) -> jax.Array:
    return (gap / objective).max()


def _line_search(
    state: State, change: jax.Array, problems: Problems, initial: jax.Array, slope: jax.Array, bend: jax.Array
) -> tuple[jax.Array, Fit]:
    """Step length [P] along a direction, and the fit there.

    Newton's step is tried first and mostly taken; otherwise a safeguarded secant search (Illinois: an end that stays
    counts half) finds where the slope of a convex function of one variable changes sign. Late trials take whatever
    descends, which a bracket that shrinks towards 0 must find. `change` is that of the margins, `initial` the slope of
    the objective, ``slope * step + bend * step^2 / 2`` the change of the penalty.
    """
    towards = state.fit.residual * change  # the margin of the true class does not change
    variance = (towards * change).sum(axis=1) - jnp.square(towards.sum(axis=1)) * inverse_weights(problems.weights)
    newton = -initial / jnp.maximum(variance.sum(axis=1) + bend, 1e-30)

    def attempt(search):
        step, low, at_low, high, at_high, done, _, k = search
        fit = cross_entropy(state.margins + step[:, None, None] * change, problems)
        first = (fit.residual * change).sum(axis=(1, 2)) + slope + step * bend
        descends = fit.loss + step * (slope + 0.5 * step * bend) <= state.fit.loss + ROUNDING * state.objective
        flat = (jnp.abs(first) <= FLATTER * jnp.abs(initial)) | (k >= TRIALS)
        done = done | (flat & descends) | (initial >= 0)
        beyond = (first > 0) | ~descends
        at_low = jnp.where(beyond, jnp.where(jnp.isfinite(high), 0.5, 1.0) * at_low, first)
        at_high = jnp.where(beyond, first, jnp.where(low > 0, 0.5, 1.0) * at_high)
        low, high = jnp.where(beyond, low, step), jnp.where(beyond, step, high)
        secant = jnp.clip(at_low / jnp.minimum(at_low - at_high, -1e-30), 0.1, 0.9)
        proposal = jnp.where(jnp.isfinite(high), low + (high - low) * secant, 4.0 * low)
        proposal = jnp.where(k < 3 * TRIALS - 2, proposal, 0.0)  # never seen
        return jnp.where(done, step, proposal), low, at_low, high, at_high, done, fit, k + 1

    nothing = jnp.zeros_like(initial)
    start = jnp.where(initial < 0, newton, 0.0)
    begin = (start, nothing, initial, nothing + jnp.inf, nothing, initial > jnp.inf, state.fit, 0)
    step, *_, fit, _ = jax.lax.while_loop(lambda s: ~s[5].all() & (s[7] < 3 * TRIALS), attempt, begin)
    return step, fit


@jax.jit
def _minimise(
    features: jax.Array,
    spectrum: jax.Array,
    problems: Problems,
    start: jax.Array,
    l2: jax.Array,
    tolerance: jax.Array,
    max_steps: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Coefficients and number of steps."""
    penalty = jnp.where(jnp.arange(features.shape[1]) < features.shape[1] - 1, l2[:, None], 0.0)[:, None]
    live = problems.present[:, :, None]

    def dot(a: jax.Array, b: jax.Array) -> jax.Array:
        return (a * b).sum(axis=(1, 2))

    def direction(state: State, memory, k: jax.Array) -> jax.Array:
        """Two-loop recursion over the stored steps, all problems at once."""
        steps, changes, inverse = memory
        order = (k - 1 - jnp.arange(MEMORY)) % MEMORY

        def backward(q, i):
            a = inverse[i] * dot(steps[i], q)
            return q - a[:, None, None] * changes[i], a

        q, a = jax.lax.scan(backward, state.gradient, order)
        # Curvature times spectrum stands for the Hessian's diagonal in principal axes.
        q = q / (jnp.maximum(state.fit.curvature, 1e-8)[:, :, None] * spectrum + penalty)

        def forward(q, xs):
            i, a_i = xs
            b = inverse[i] * dot(changes[i], q)
            return q + (a_i - b)[:, None, None] * steps[i], None

        q, _ = jax.lax.scan(forward, q, (order[::-1], a[::-1]))
        return -q

    def unfinished(loop):
        return loop[2].any() & (loop[4] < max_steps)

    def body(loop):
        state, memory, active, best, k = loop
        v = jnp.where(active[:, None, None] & live, direction(state, memory, k), 0.0)
        change = to_margins(jnp.einsum("pcd,nd->pcn", v, features, precision="highest"), problems)
        w = state.coefficients
        slopes = dot(state.gradient, v), dot(w, penalty * v), dot(v, penalty * v)
        length, fit = _line_search(state, change, problems, *slopes)
        length = length[:, None, None]
        step = length * v
        new = evaluate(features, problems, w + step, state.margins + length * change, fit, l2)
        difference = new.gradient - state.gradient
        alignment = dot(step, difference)
        slot = k % MEMORY
        memory = (
            memory[0].at[slot].set(step),
            memory[1].at[slot].set(difference),
            memory[2].at[slot].set(jnp.where(alignment > 0, 1.0 / jnp.where(alignment > 0, alignment, 1.0), 0.0)),
        )
        # At weak strengths the gap starts to shrink long after the objective.
        gains = (new.gap < 0.99 * best.gap) | (new.objective < (1.0 - ROUNDING) * best.objective)
        best = _Best(
            jnp.minimum(best.gap, new.gap),
            jnp.where(gains, new.objective, best.objective),
            jnp.where(gains, 0, best.age + 1),
        )
        active = active & (new.gap > tolerance * new.objective) & (best.age < STALL)
        return new, memory, active, best, k + 1

    margins = to_margins(problem_logits(features, start, problems), problems)
    begin = evaluate(features, problems, start, margins, cross_entropy(margins, problems), l2)
    past = (MEMORY, *start.shape)
    memory = (jnp.zeros(past), jnp.zeros(past), jnp.zeros(past[:2]))
    active = begin.gap > tolerance * begin.objective
    best = _Best(begin.gap, begin.objective, jnp.zeros(active.shape, jnp.int32))
    loop = (begin, memory, active, best, jnp.int32(0))
    state, *_, steps = jax.lax.while_loop(unfinished, body, loop)
    return state.coefficients, steps
