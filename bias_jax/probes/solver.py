"""Many softmax probes on one feature matrix, solved together to a certified optimum by Newton's method.

The P problems of one target share the features X [N, D] and differ in labels, training images and strength. Their
weight vectors are rows of one matrix W [P C, D], so that a step of the conjugate gradients which solve Newton's
equations is two matrix products for all of them (see `curvature`). The line search is free of products, because logits
are linear in the step.

Operations of one step: 4 N D P C for the products, about 10 N P C + 20 D P C for the rest. A Newton step adds two more
products, of the gradient and of the Hessian's diagonal, and the exponentials. What is solved after or beside what is
decided in `jobs`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bias_jax.arithmetic import Fast
from bias_jax.probes.axes import Coordinates
from bias_jax.probes.biases import minimise_biases
from bias_jax.probes.curvature import dot, newton_direction, penalties, weighted_features
from bias_jax.probes.objective import Fit, Problems, cross_entropy, problem_logits, to_margins, weighted_probability

REDUCTION = 0.2  # of the residual of Newton's equations, at most; or
AIM = 0.5  # until the gap would be this share of the one asked for
STALL = 5  # Newton steps without a better gap or objective after which a problem has what float32 can give
ROUNDING = 1e-6  # relative differences of objectives below this are rounding
DESCENT = 1e-4  # share of what the slope promises that a step must gain (Armijo's condition)
TRIALS = 20  # of the line search


class Solution(NamedTuple):
    """The probes of one target at one strength each."""

    coefficients: jax.Array  # [P, C, D + 1], the last column is the bias
    objective: jax.Array  # [P]
    gap: jax.Array  # [P], upper bound of objective minus optimum
    relative_gap: jax.Array  # [P], the same over the objective; 0 where that is 0, as of a single class
    steps: jax.Array  # number of steps taken, each two matrix products, scalar


class _Move(NamedTuple):
    """Where all problems stand, each with the best biases for its weights, and where they go next."""

    coefficients: jax.Array  # [P, C, D + 1]
    margins: jax.Array  # [P, C, N]
    loss: jax.Array  # [P]
    objective: jax.Array  # [P]
    direction: jax.Array  # of the coefficients, [P, C, D + 1]
    change: jax.Array  # what it changes of the margins, [P, C, N]
    slope: jax.Array  # of the objective in the direction, [P]


class _Best(NamedTuple):
    """What Newton's steps have gained so far."""

    gap: jax.Array  # smallest, [P]
    objective: jax.Array  # smallest, [P]
    age: jax.Array  # steps since either fell, [P]


class Iterate(NamedTuple):
    """Newton's method under way."""

    move: _Move
    gap: jax.Array  # [P]
    best: _Best
    steps: jax.Array  # scalar
    active: jax.Array  # whether any problem goes on, bool

    def solution(self) -> Solution:
        """What it has come to."""
        objective, reached = self.move.objective, self.move.objective <= 0  # what is not a number stays visible
        relative_gap = jnp.where(reached, 0.0, self.gap / jnp.where(reached, 1.0, objective))
        return Solution(self.move.coefficients, objective, self.gap, relative_gap, self.steps)


class _Trial(NamedTuple):
    """A line search under way."""

    length: jax.Array  # [P]
    fit: Fit  # there
    shorter: jax.Array  # the length to try next, [P]
    accepted: jax.Array  # whether all lengths are, bool
    trials: jax.Array  # made, scalar


def begin(coordinates: Coordinates, problems: Problems, start: jax.Array) -> Iterate:
    """Newton's method before its first step, from coefficients [P, C, D + 1]."""
    margins = to_margins(problem_logits(coordinates.features, start, problems), problems)
    nothing = jnp.zeros(start.shape[:1])
    stay = _Move(start, margins, nothing, nothing, jnp.zeros_like(start), jnp.zeros_like(margins), nothing)
    best = _Best(nothing + jnp.inf, nothing + jnp.inf, jnp.zeros(nothing.shape, jnp.int32))
    return Iterate(stay, nothing, best, jnp.int32(0), jnp.bool_(True))


def newton_step(
    coordinates: Coordinates,
    problems: Problems,
    l2: jax.Array,
    at: Iterate,
    tolerance: jax.Array,
    max_steps: jax.Array,
    arithmetic: Fast,
) -> Iterate:
    """One step of Newton's method on ``mean -log softmax(x W + b)[y] + l2/2 sum(W^2)``, for all problems.

    Args:
        coordinates: of the layer.
        problems: labels, image weights and present classes.
        l2: strength of each problem, [P].
        at: where they stand.
        tolerance: a problem stops when its gap is at most this fraction of its objective.
        max_steps: limit on the number of steps.
        arithmetic: of the conjugate gradients. Margins that are sums of what these found would hold their rounding, and
            the gap would be that of other coefficients: unless it is float32, they are taken from the coefficients.

    The gap is certified by strong convexity: with the biases minimised out, ``f - f* <= |df/dW|^2 / (2 l2)``.
    """
    penalty = penalties(l2, coordinates.features.shape[1])
    length, fit = _line_search(at.move, problems, penalty)
    along = length[:, None, None]
    coefficients = at.move.coefficients + along * at.move.direction
    margins = at.move.margins + along * at.move.change
    if arithmetic != "float32":
        margins = to_margins(problem_logits(coordinates.features, coefficients, problems), problems)
        fit = cross_entropy(margins, problems)
    biases = minimise_biases(margins, fit, problems, tolerance)
    coefficients = coefficients.at[:, :, -1].add(biases.added)
    gradient = weighted_features(coordinates, biases.fit.residual)
    gradient = jnp.where(problems.present[:, :, None], gradient + penalty * coefficients, 0.0)
    objective = biases.fit.loss + 0.5 * dot(penalty * coefficients, coefficients)
    gap = jnp.square(gradient[:, :, :-1]).sum(axis=(1, 2)) / (2.0 * l2) + biases.excess
    # At weak strengths the gap starts to shrink long after the objective.
    gains = (gap < 0.9 * at.best.gap) | (objective < (1.0 - ROUNDING) * at.best.objective)
    best = _Best(
        jnp.minimum(at.best.gap, gap),
        jnp.minimum(at.best.objective, objective),
        jnp.where(gains, 0, at.best.age + 1),
    )
    active = (gap > tolerance * objective) & (best.age < STALL) & at.active
    go_on = active.any() & (at.steps < max_steps)

    def advance() -> tuple[jax.Array, jax.Array, jax.Array]:
        """Direction, what it changes, and the steps taken to find it."""
        found = newton_direction(
            coordinates, problems, weighted_probability(biases.fit.residual, problems),
            jnp.where(active[:, None, None], -gradient, 0.0), penalty, biases.inverse,
            reduction=REDUCTION, max_steps=max_steps - at.steps - 1, enough=AIM * tolerance * objective * 2.0 * l2,
            arithmetic=arithmetic,
        )  # fmt: skip
        return found.coefficients, found.margins, found.steps + 1

    def stay() -> tuple[jax.Array, jax.Array, jax.Array]:
        return jnp.zeros_like(coefficients), jnp.zeros_like(margins), jnp.int32(0)

    direction, change, taken = jax.lax.cond(go_on, advance, stay)
    move = _Move(coefficients, biases.margins, biases.fit.loss, objective, direction, change, dot(gradient, direction))
    return Iterate(move, gap, best, at.steps + taken, go_on)


def _line_search(move: _Move, problems: Problems, penalty: jax.Array) -> tuple[jax.Array, Fit]:
    """Step length [P], and the fit there.

    Newton's, shortened until the objective falls by a part of what its slope promises.
    """
    penalised = penalty * move.direction
    slope, curvature = dot(move.coefficients, penalised), dot(move.direction, penalised)  # of the penalty

    def attempt(trial: _Trial) -> _Trial:
        length = trial.shorter
        fit = cross_entropy(move.margins + length[:, None, None] * move.change, problems)
        rise = fit.loss - move.loss + length * (slope + 0.5 * length * curvature)
        accepted = (rise <= DESCENT * length * move.slope + ROUNDING * move.objective) | (move.slope >= 0)
        # The minimum of a parabola, as a share.
        lowest = -0.5 * move.slope * length / jnp.maximum(rise - move.slope * length, 1e-30)
        shorter = jnp.where(accepted, length, jnp.clip(lowest, 0.1, 0.5) * length)
        return _Trial(length, fit, shorter, accepted.all(), trial.trials + 1)

    whole = jnp.where(move.slope < 0, 1.0, 0.0)
    begin = _Trial(whole, Fit(move.loss, jnp.zeros_like(move.margins)), whole, jnp.bool_(False), jnp.int32(0))
    end = jax.lax.while_loop(lambda trial: ~trial.accepted & (trial.trials < TRIALS), attempt, begin)
    return end.length, end.fit
