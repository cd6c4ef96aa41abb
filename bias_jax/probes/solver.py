"""Many softmax probes on one feature matrix, solved together to a certified optimum by Newton's method.

The P problems of one target share the features X [N, D] and differ in labels, training images and strength. Their
weight vectors are rows of one matrix W [P C, D], so that a step of the conjugate gradients which solve Newton's
equations is two matrix products for all of them (see `curvature`). The line search is free of products, because logits
are linear in the step.

Operations of one step: 4 N D P C for the products, about 10 N P C + 20 D P C for the rest. A Newton step adds two more
products, of the gradient and of the Hessian's diagonal, and the exponentials. Targets are solved one after the other:
hard ones take several times the steps of easy ones, and the products of one target are large enough.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.probes.axes import Axes
from bias_jax.probes.biases import minimise_biases
from bias_jax.probes.curvature import combine, dot, newton_direction, penalties
from bias_jax.probes.objective import Fit, Problems, cross_entropy, problem_logits, to_margins, weighted_probability

REDUCTION = 0.2  # of the residual of Newton's equations, at most; or
AIM = 0.5  # until the gap would be this share of the one asked for
STALL = 5  # Newton steps without a better gap or objective after which a problem has what float32 can give
ROUNDING = 1e-6  # relative differences of objectives below this are rounding
TRIALS = 20  # of the line search


class Solution(NamedTuple):
    """The probes of one target at one strength each."""

    coefficients: jax.Array  # [P, C, D + 1], the last column is the bias
    objective: jax.Array  # [P]
    gap: jax.Array  # [P], upper bound of objective minus optimum
    steps: jax.Array  # number of steps taken, each two matrix products, scalar


class _Point(NamedTuple):
    """Where all problems stand, each with the best biases for its weights."""

    coefficients: jax.Array  # [P, C, D + 1]
    margins: jax.Array  # [P, C, N]
    fit: Fit
    gradient: jax.Array  # [P, C, D + 1]
    objective: jax.Array  # [P]
    gap: jax.Array  # [P]
    by_biases: jax.Array  # inverse of the biases' Hessian, [P, C, C]


class _Best(NamedTuple):
    """What Newton's steps have gained so far."""

    gap: jax.Array  # smallest, [P]
    objective: jax.Array  # smallest, [P]
    age: jax.Array  # steps since either fell, [P]


def solve(
    axes: Axes, problems: Problems, start: jax.Array, l2: jax.Array, tolerance: float, max_steps: int
) -> Solution:
    """Minimise ``mean -log softmax(x W + b)[y] + l2/2 sum(W^2)`` for all problems.

    Args:
        axes: of the layer.
        problems: labels, image weights and present classes.
        start: coefficients to start from, [P, C, D + 1].
        l2: strength of each problem, [P].
        tolerance: a problem stops when its gap is at most this fraction of its objective.
        max_steps: limit on the number of steps.

    The gap is certified by strong convexity: with the biases minimised out, ``f - f* <= |df/dW|^2 / (2 l2)``.
    """
    return _solve(axes, problems, start, l2, *jax.device_put((np.float32(tolerance), np.int32(max_steps))))


@jax.jit
def _solve(
    axes: Axes,
    problems: Problems,
    start: jax.Array,
    l2: jax.Array,
    tolerance: jax.Array,
    max_steps: jax.Array,
) -> Solution:
    penalty = penalties(l2, axes.features.shape[1])

    def evaluate(coefficients: jax.Array, margins: jax.Array) -> _Point:
        biases = minimise_biases(margins, problems, tolerance)
        coefficients = coefficients.at[:, :, -1].add(biases.added)
        gradient = combine(axes, biases.fit.residual)
        gradient = jnp.where(problems.present[:, :, None], gradient + penalty * coefficients, 0.0)
        objective = biases.fit.loss + 0.5 * dot(penalty * coefficients, coefficients)
        gap = jnp.square(gradient[:, :, :-1]).sum(axis=(1, 2)) / (2.0 * l2) + biases.excess
        return _Point(coefficients, biases.margins, biases.fit, gradient, objective, gap, biases.inverse)

    def advance(point: _Point, active: jax.Array, left: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Coefficients and margins one Newton step on, and the steps it took."""
        downhill = jnp.where(active[:, None, None], -point.gradient, 0.0)
        aim = AIM * tolerance * point.objective * 2.0 * l2
        direction = newton_direction(
            axes, problems, weighted_probability(point.fit.residual, problems), downhill, l2, point.by_biases,
            reduction=REDUCTION, max_steps=left - 1, aim=aim,
        )  # fmt: skip
        length = _line_search(point, direction.coefficients, direction.margins, problems, penalty)[:, None, None]
        coefficients = point.coefficients + length * direction.coefficients
        return coefficients, point.margins + length * direction.margins, direction.steps + 1

    def body(loop):
        coefficients, margins, best, _, _, steps, _ = loop
        point = evaluate(coefficients, margins)
        # At weak strengths the gap starts to shrink long after the objective.
        gains = (point.gap < 0.9 * best.gap) | (point.objective < (1.0 - ROUNDING) * best.objective)
        best = _Best(
            jnp.minimum(best.gap, point.gap),
            jnp.minimum(best.objective, point.objective),
            jnp.where(gains, 0, best.age + 1),
        )
        active = (point.gap > tolerance * point.objective) & (best.age < STALL)
        go_on = active.any() & (steps < max_steps)
        coefficients, margins, taken = jax.lax.cond(
            go_on,
            lambda: advance(point, active, max_steps - steps),
            lambda: (point.coefficients, point.margins, 0),
        )
        return coefficients, margins, best, point.objective, point.gap, steps + taken, go_on

    nothing = jnp.zeros_like(l2)
    margins = to_margins(problem_logits(axes.features, start, problems), problems)
    best = _Best(nothing + jnp.inf, nothing + jnp.inf, jnp.zeros(l2.shape, jnp.int32))
    loop = start, margins, best, nothing, nothing, jnp.int32(0), True
    coefficients, _, _, objective, gap, steps, _ = jax.lax.while_loop(lambda loop: loop[-1], body, loop)
    return Solution(coefficients, objective, gap, steps)


def _line_search(
    point: _Point, direction: jax.Array, change: jax.Array, problems: Problems, penalty: jax.Array
) -> jax.Array:
    """Step length [P]: Newton's, shortened until the objective falls by a part of what its slope promises."""
    descent = dot(point.gradient, direction)
    slope, bend = dot(point.coefficients, penalty * direction), dot(direction, penalty * direction)

    def attempt(search):
        length, _, k = search
        loss = cross_entropy(point.margins + length[:, None, None] * change, problems).loss
        rise = loss - point.fit.loss + length * (slope + 0.5 * length * bend)
        enough = (rise <= 1e-4 * length * descent + ROUNDING * point.objective) | (descent >= 0)
        lowest = -0.5 * descent * length / jnp.maximum(rise - descent * length, 1e-30)  # of a parabola, as a share
        return jnp.where(enough, length, jnp.clip(lowest, 0.1, 0.5) * length), ~enough.all(), k + 1

    begin = jnp.where(descent < 0, 1.0, 0.0), True, 0
    return jax.lax.while_loop(lambda search: search[1] & (search[2] < TRIALS), attempt, begin)[0]
