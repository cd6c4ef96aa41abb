"""Newton's equations of softmax probes, ``H V = R`` with the Hessian H of the objective, by conjugate gradients.

The Hessian is never formed. Its product with one direction per problem, V [P C, D], is two matrix products with the
features, ``V X'`` and ``S X``. Everything else is element-wise, and there is little of it: no exponential, a few passes
over [P, C, N] and about ten over [P, C, D].
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bias_jax.probes.axes import Axes
from bias_jax.probes.objective import Problems, inverse_weights, to_margins


class Direction(NamedTuple):
    """Where Newton's equations lead."""

    coefficients: jax.Array  # [P, C, D + 1]
    margins: jax.Array  # what they change of the margins, [P, C, N]
    steps: jax.Array  # taken by conjugate gradients, scalar


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """Sum of products [P] over classes and features or images."""
    return (a * b).sum(axis=(1, 2))


def penalties(l2: jax.Array, width: int) -> jax.Array:
    """Strength of each column of coefficients, [P, 1, D + 1]; 0 for the bias."""
    return jnp.where(jnp.arange(width) < width - 1, l2[:, None], 0.0)[:, None]


def combine(axes: Axes, residual: jax.Array) -> jax.Array:
    """Sum of the images' features weighted by residuals [..., N], [..., D + 1]."""
    return jnp.einsum("...n,dn->...d", residual, axes.transposed, precision="highest")


def bend(share: jax.Array, moved: jax.Array, problems: Problems) -> jax.Array:
    """Change of the residual [P, C, N] where logits or margins move; `share` is `weighted_probability`."""
    return share * (moved - ((share * moved).sum(axis=1) * inverse_weights(problems))[:, None])


def newton_direction(
    axes: Axes,
    problems: Problems,
    share: jax.Array,
    right: jax.Array,
    l2: jax.Array,
    by_biases: jax.Array,
    *,
    reduction: float,
    max_steps: int | jax.Array,
    aim: float | jax.Array = 0.0,
) -> Direction:
    """Solve ``H V = right`` roughly, for all problems at once.

    The biases are eliminated: they answer whatever the weights do, so that no slope of theirs arises. For the weights
    the preconditioner is the Hessian's diagonal, which costs one more product and in principal axes says most.

    Args:
        axes: of the layer.
        problems: labels, image weights and present classes.
        share: `weighted_probability` where the Hessian is taken, [P, C, N].
        right: [P, C, D + 1]; the column of the biases counts as 0, and where all is 0, nothing is done.
        l2: strength of each problem, [P].
        by_biases: inverse of `bias_hessian`, [P, C, C].
        reduction: a problem ends when its residual, in the norm of the preconditioner, has come down to this share.
        max_steps: limit on the number of steps.
        aim: or when the squares of its residual sum to this, [P] or scalar.
    """
    width, live = axes.features.shape[1], problems.present[:, :, None]
    penalty, weights = penalties(l2, width), live & (jnp.arange(width) < width - 1)
    curvature = share - jnp.square(share) * inverse_weights(problems)[:, None]
    diagonal = jnp.einsum("pcn,dn->pcd", curvature, jnp.square(axes.transposed)) + penalty
    inverse = jnp.where(weights, 1.0 / jnp.maximum(diagonal, penalty), 0.0)

    def unfinished(carry) -> jax.Array:
        return carry[-2].any() & (carry[-1] < max_steps)

    def body(carry):
        solution, biases, margins, rest, search, size, going, k = carry
        moved = to_margins(jnp.einsum("pcd,nd->pcn", search, axes.features, precision="highest"), problems)
        answer = -jnp.einsum("pcd,pd->pc", by_biases, bend(share, moved, problems).sum(axis=2), precision="highest")
        answer = jnp.where(problems.present, answer, 0.0)
        bent = bend(share, moved + answer[:, :, None], problems)
        product = combine(axes, bent) + penalty * search
        along = dot(search, product)
        going = going & (along > 0)
        step = jnp.where(going, size / jnp.where(going, along, 1.0), 0.0)[:, None, None]
        solution, margins = solution + step * search, margins + step * moved
        biases, rest = biases + step[:, 0] * answer, rest - step * product
        scaled = inverse * rest
        new = dot(rest, scaled)
        turn = jnp.where(going, new / jnp.where(going, size, 1.0), 0.0)
        left = jnp.where(weights, jnp.square(rest), 0.0).sum(axis=(1, 2))
        going = going & (new > reduction**2 * begin) & (left > aim)
        search = jnp.where(going[:, None, None], scaled + turn[:, None, None] * search, 0.0)
        return solution, biases, margins, rest, search, new, going, k + 1

    search = inverse * right
    begin = dot(right, search)
    nothing = jnp.zeros_like(right), jnp.zeros(live.shape[:2]), jnp.zeros_like(share)
    loop = *nothing, right, search, begin, begin > 0, jnp.int32(0)
    solution, biases, margins, *_, steps = jax.lax.while_loop(unfinished, body, loop)
    margins = to_margins(margins + biases[:, :, None], problems)
    return Direction(solution.at[:, :, -1].set(biases), margins, steps)
