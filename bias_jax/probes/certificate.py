"""The certificate of a probe: how far its objective can be above the optimum.

With the biases minimised out the objective is strongly convex in the weights: ``f - f* <= |df/dW|^2 / (2 l2)`` there.
The biases are therefore minimised first; what rounding leaves of their slope adds its Newton decrement.
"""

import jax
import jax.numpy as jnp

from bias_jax.probes.objective import (
    Fit,
    Problems,
    cross_entropy,
    evaluate,
    inverse_weights,
    problem_logits,
    to_margins,
    true_class,
)

NEWTON = 5  # steps on the biases, which start near their optimum


@jax.jit
def certify(
    features: jax.Array, problems: Problems, coefficients: jax.Array, l2: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Coefficients with the biases at their optimum given the weights, their objective and certified gap [P].

    Newton's method on C biases, with steps of at most 1: no products with the features.
    """
    margins = to_margins(problem_logits(features, coefficients, problems), problems)
    live, true = problems.present, true_class(problems)
    outside = jnp.where(live[:, :, None] & live[:, None], 0.0, jnp.eye(live.shape[1]))

    def change(margins: jax.Array, fit: Fit) -> tuple[jax.Array, jax.Array]:
        slope = jnp.where(live, fit.residual.sum(axis=2), 0.0)
        share = jnp.where(true, problems.weights[:, None] + fit.residual, fit.residual)  # weight times probability
        rate = share * jnp.sqrt(inverse_weights(problems.weights))[:, None]
        hessian = jnp.eye(live.shape[1]) * share.sum(axis=2)[:, None] - jnp.einsum(
            "pcn,pdn->pcd", rate, rate, precision="highest"
        )
        # The same for all classes changes nothing, so that direction may have any curvature.
        hessian = jnp.where(live[:, :, None] & live[:, None], hessian + 1.0 / live.shape[1], 0.0) + outside
        step = -jnp.linalg.solve(hessian + 1e-7 * jnp.eye(live.shape[1]), slope[:, :, None])[:, :, 0]
        return step, -(step * slope).sum(axis=1)

    def newton(_, carry):
        biases, margins, fit = carry
        step, _ = change(margins, fit)
        step = step / jnp.maximum(jnp.abs(step).max(axis=1, keepdims=True), 1.0)
        moved = to_margins(margins + step[:, :, None], problems)
        new = cross_entropy(moved, problems)
        better = new.loss < fit.loss
        keep = better[:, None, None]
        fit = Fit(
            jnp.where(better, new.loss, fit.loss),
            jnp.where(keep, new.residual, fit.residual),
            jnp.where(better[:, None], new.curvature, fit.curvature),
        )
        return biases + jnp.where(better[:, None], step, 0.0), jnp.where(keep, moved, margins), fit

    begin = jnp.zeros(live.shape), margins, cross_entropy(margins, problems)
    biases, margins, fit = jax.lax.fori_loop(0, NEWTON, newton, begin)
    coefficients = coefficients.at[:, :, -1].add(biases)
    state = evaluate(features, problems, coefficients, margins, fit, l2)
    weights_part = jnp.square(state.gradient[:, :, :-1]).sum(axis=(1, 2)) / (2.0 * l2)
    return coefficients, state.objective, weights_part + jnp.maximum(change(margins, fit)[1], 0.0)
