"""The biases of softmax probes at their optimum, given the weights: Newton's method on C numbers a problem."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bias_jax.probes.objective import (
    Fit,
    Problems,
    cross_entropy,
    inverse_weights,
    to_margins,
    weighted_probability,
)

STEPS = 10  # at most; what is left then is in the excess
# What may be left, as a share of the gap asked for. Gradients by the weights, whose squares over a small strength are
# the certificate, move with its root.
EXCESS = 1e-6


class BestBiases(NamedTuple):
    """Where the loss cannot fall by biases alone."""

    added: jax.Array  # to the biases, [P, C]
    margins: jax.Array  # with them, [P, C, N]
    fit: Fit
    excess: jax.Array  # how much lower the loss could be with other biases, at most, [P]
    inverse: jax.Array  # of `bias_hessian`, [P, C, C]


def bias_hessian(residual: jax.Array, problems: Problems) -> jax.Array:
    """Second derivatives of the loss by the biases, [P, C, C], made regular.

    Absent classes get the identity. Equal biases for all classes change nothing, so that direction may have any
    curvature.
    """
    live, identity = problems.present, jnp.eye(problems.present.shape[1])
    probability = weighted_probability(residual, problems)
    rate = probability * jnp.sqrt(inverse_weights(problems))[:, None]
    products = jnp.einsum("pcn,pdn->pcd", rate, rate, precision="highest")
    hessian = identity * probability.sum(axis=2)[:, None] - products + 1.0 / live.shape[1]
    return jnp.where(live[:, :, None] & live[:, None], hessian, identity) + 1e-7 * identity


def minimise_biases(margins: jax.Array, problems: Problems, tolerance: jax.Array) -> BestBiases:
    """Minimise the loss over the biases until hardly anything is left of `tolerance` times the loss.

    The Hessian is that at the beginning. Steps that change differences of logits by r > 1 at most are taken
    log(1 + r) / r of the way, so that they descend (Bach 2010; Sun & Tran-Dinh 2019).
    """
    fit = cross_entropy(margins, problems)
    inverse = jnp.linalg.inv(bias_hessian(fit.residual, problems))

    def step(fit: Fit) -> tuple[jax.Array, jax.Array]:
        """Newton's step [P, C], and slope times step, twice what it promises, [P]."""
        slope = jnp.where(problems.present, fit.residual.sum(axis=2), 0.0)
        newton = jnp.where(problems.present, -jnp.einsum("pcd,pd->pc", inverse, slope, precision="highest"), 0.0)
        excess = jnp.maximum(-(newton * slope).sum(axis=1), 0.0)
        return jnp.where(excess > EXCESS * tolerance * fit.loss, newton.T, 0.0).T, excess

    def body(carry):
        added, margins, _, newton, _, k = carry
        reach = (newton.max(axis=1) - newton.min(axis=1))[:, None]
        newton = newton * jnp.where(reach > 1.0, jnp.log1p(reach) / jnp.maximum(reach, 1.0), 1.0)
        added, margins = added + newton, to_margins(margins + newton[:, :, None], problems)
        fit = cross_entropy(margins, problems)
        return added, margins, fit, *step(fit), k + 1

    start = jnp.zeros(problems.present.shape), margins, fit, *step(fit), 0
    added, margins, fit, _, excess, _ = jax.lax.while_loop(lambda c: (c[3] != 0).any() & (c[5] < STEPS), body, start)
    return BestBiases(added, margins, fit, excess, inverse)
