"""Newton's equations of softmax probes, ``H V = R`` with the Hessian H of the objective, by conjugate gradients.

The Hessian is never formed. Its product with one direction per problem, V [P C, D], is two matrix products with the
features, ``V X'`` and ``S X``. Everything else is element-wise, and there is little of it: no exponential, a few passes
over [P, C, N] and about ten over [P, C, D].
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bias_jax.arithmetic import Fast, einsum, fast_einsum
from bias_jax.probes.axes import Coordinates
from bias_jax.probes.objective import Problems, inverse_weights, to_margins


class Direction(NamedTuple):
    """Where Newton's equations lead."""

    coefficients: jax.Array  # [P, C, D + 1]
    margins: jax.Array  # what they change of the margins, [P, C, N]
    steps: jax.Array  # taken by conjugate gradients, scalar


class _Iterate(NamedTuple):
    """Conjugate gradients under way."""

    weights: jax.Array  # the solution so far, [P, C, D + 1], without the biases
    biases: jax.Array  # of the solution, [P, C]
    margins: jax.Array  # what the weights change of them, [P, C, N]
    residual: jax.Array  # right side minus product, [P, C, D + 1]
    direction: jax.Array  # the next one, [P, C, D + 1]
    norm: jax.Array  # of the residual, in the norm of the preconditioner, squared, [P]
    active: jax.Array  # which equations are not solved yet, bool [P]
    steps: jax.Array  # scalar


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """Sum of products [...] over classes and features, or classes and images."""
    return (a * b).sum(axis=(-2, -1))


def penalties(l2: jax.Array, width: int) -> jax.Array:
    """Strength of each column of coefficients, [P, 1, D + 1]; 0 for the bias."""
    return jnp.where(jnp.arange(width)[None] < width - 1, l2[:, None], 0.0)[:, None]


def weighted_features(coordinates: Coordinates, weights: jax.Array) -> jax.Array:
    """Sum of the images' features weighted by [..., N], such as residuals: [..., D + 1], such as a gradient."""
    return einsum("...n,dn->...d", weights, coordinates.transposed)


def residual_change(probability: jax.Array, change: jax.Array, problems: Problems) -> jax.Array:
    """What residuals change where logits or margins change by [P, C, N]: the softmax's Hessian times that.

    `probability` is `weighted_probability`, [P, C, N].
    """
    mean = (probability * change).sum(axis=1) * inverse_weights(problems)
    return probability * (change - mean[:, None])


def newton_direction(
    coordinates: Coordinates,
    problems: Problems,
    probability: jax.Array,
    right: jax.Array,
    penalty: jax.Array,
    inverse_bias_hessian: jax.Array,
    *,
    reduction: float,
    max_steps: int | jax.Array,
    enough: jax.Array | None = None,
    arithmetic: Fast = "float32",
) -> Direction:
    """Solve ``H V = right`` roughly, for all problems at once, by preconditioned conjugate gradients.

    So far as a step of Newton's method needs it (Dembo & Steihaug 1983; Nocedal & Wright 2006, chapter 7.1).

    The biases are eliminated: they answer whatever the weights do, so that no gradient of theirs arises. For the
    weights the preconditioner is the Hessian's diagonal, which costs one more product and in principal axes says most.

    Args:
        coordinates: of the layer.
        problems: labels, image weights and present classes.
        probability: `weighted_probability` where the Hessian is taken, [P, C, N].
        right: [P, C, D + 1]; the column of the biases counts as 0, and where all is 0, nothing is done.
        penalty: of `penalties`, [P, 1, D + 1].
        inverse_bias_hessian: inverse of `bias_hessian`, [P, C, C].
        reduction: a problem ends when its residual, in the norm of the preconditioner, has come down to this share.
        max_steps: limit on the number of steps.
        enough: or when the squares of its residual sum to this, [P]; default 0.
        arithmetic: of the products with the features.
    """
    penalised = problems.present[:, :, None] & (penalty > 0)
    enough = jnp.zeros(penalty.shape[0]) if enough is None else enough
    curvature = probability - jnp.square(probability) * inverse_weights(problems)[:, None]
    diagonal = jnp.einsum("pcn,dn->pcd", curvature, jnp.square(coordinates.transposed)) + penalty
    inverse_diagonal = jnp.where(penalised, 1.0 / jnp.maximum(diagonal, penalty), 0.0)

    def step(at: _Iterate) -> _Iterate:
        moved = fast_einsum("pcd,nd->pcn", at.direction, coordinates.features, arithmetic)
        moved = to_margins(moved, problems)
        by_weights = residual_change(probability, moved, problems).sum(axis=2)
        answer = -einsum("pcd,pd->pc", inverse_bias_hessian, by_weights)
        answer = jnp.where(problems.present, answer, 0.0)
        changed = residual_change(probability, moved + answer[:, :, None], problems)
        product = fast_einsum("pcn,dn->pcd", changed, coordinates.transposed, arithmetic) + penalty * at.direction
        along = dot(at.direction, product)
        active = at.active & (along > 0)
        length = jnp.where(active, at.norm / jnp.where(active, along, 1.0), 0.0)[:, None]
        residual = at.residual - length[:, :, None] * product
        preconditioned = inverse_diagonal * residual
        norm = dot(residual, preconditioned)
        conjugation = jnp.where(active, norm / jnp.where(active, at.norm, 1.0), 0.0)[:, None, None]
        squares = jnp.where(penalised, jnp.square(residual), 0.0).sum(axis=(1, 2))
        active = active & (norm > reduction**2 * first) & (squares > enough)
        return _Iterate(
            at.weights + length[:, :, None] * at.direction,
            at.biases + length * answer,
            at.margins + length[:, :, None] * moved,
            residual,
            jnp.where(active[:, None, None], preconditioned + conjugation * at.direction, 0.0),
            norm,
            active,
            at.steps + 1,
        )

    direction = inverse_diagonal * right
    first = dot(right, direction)
    nothing = jnp.zeros_like(right), jnp.zeros(right.shape[:2]), jnp.zeros_like(probability)
    start = _Iterate(*nothing, right, direction, first, first > 0, jnp.int32(0))
    end = jax.lax.while_loop(lambda at: at.active.any() & (at.steps < max_steps), step, start)
    margins = to_margins(end.margins + end.biases[:, :, None], problems)
    return Direction(end.weights.at[:, :, -1].set(end.biases), margins, end.steps)
