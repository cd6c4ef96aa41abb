"""The biases of softmax probes at their optimum, given the weights: Newton's method on C numbers a problem."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bias_jax.arithmetic import einsum
from bias_jax.probes.inverse import positive_inverse
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


class _Iterate(NamedTuple):
    """Newton's method under way."""

    added: jax.Array  # [P, C]
    margins: jax.Array  # [P, C, N]
    fit: Fit
    step: jax.Array  # the next one, 0 for problems that have arrived, [P, C]
    excess: jax.Array  # [P]
    steps: jax.Array  # taken, scalar


def bias_hessian(residual: jax.Array, problems: Problems) -> jax.Array:
    """Second derivatives of the loss by the biases, [P, C, C], made regular.

    Absent classes get the identity. Equal biases for all classes change nothing, so that direction may have any
    curvature. It gets the mean of the classes': far above them, as 1 is where the loss is small, the digits of the
    others would be lost in the inverse, and Newton's equations could not be solved.
    """
    present = problems.present
    identity, count = jnp.eye(present.shape[1])[None], present.sum(axis=1, dtype=jnp.float32)
    probability = weighted_probability(residual, problems)
    rate = probability * jnp.sqrt(inverse_weights(problems))[:, None]
    products = einsum("pcn,pdn->pcd", rate, rate)
    hessian = identity * probability.sum(axis=2)[:, None] - products
    several = jnp.maximum(count, 1.0)
    mean = jnp.where(present, jnp.diagonal(hessian, axis1=1, axis2=2), 0.0).sum(axis=1) / several
    equal = jnp.where(count > 1.0, mean, 1.0) / several  # a class by itself has no other direction
    hessian += equal[:, None, None]
    return jnp.where(present[:, :, None] & present[:, None], hessian, identity) + 1e-7 * identity


def minimise_biases(margins: jax.Array, fit: Fit, problems: Problems, tolerance: jax.Array) -> BestBiases:
    """Minimise the loss over the biases until hardly anything is left of `tolerance` times the loss.

    The Hessian is that at the beginning. Steps that change differences of logits by r > 1 at most are taken
    log(1 + r) / r of the way, so that they descend (Bach 2010; Sun & Tran-Dinh 2019).

    Args:
        margins: without these biases, [P, C, N].
        fit: of these margins.
        problems: labels, image weights and present classes.
        tolerance: of the solver, scalar.
    """
    inverse = positive_inverse(bias_hessian(fit.residual, problems))

    def newton(fit: Fit) -> tuple[jax.Array, jax.Array]:
        """Newton's step [P, C], and gradient times step, twice what it promises, [P]."""
        gradient = jnp.where(problems.present, fit.residual.sum(axis=2), 0.0)
        step = jnp.where(problems.present, -einsum("pcd,pd->pc", inverse, gradient), 0.0)
        excess = jnp.maximum(-(step * gradient).sum(axis=1), 0.0)
        return jnp.where((excess > EXCESS * tolerance * fit.loss)[:, None], step, 0.0), excess

    def body(at: _Iterate) -> _Iterate:
        reach = (at.step.max(axis=1) - at.step.min(axis=1))[:, None]
        step = at.step * jnp.where(reach > 1.0, jnp.log1p(reach) / jnp.maximum(reach, 1.0), 1.0)
        margins = to_margins(at.margins + step[:, :, None], problems)
        fit = cross_entropy(margins, problems)
        return _Iterate(at.added + step, margins, fit, *newton(fit), at.steps + 1)

    start = _Iterate(jnp.zeros(problems.present.shape), margins, fit, *newton(fit), jnp.int32(0))
    end = jax.lax.while_loop(lambda at: (at.step != 0).any() & (at.steps < STEPS), body, start)
    return BestBiases(end.added, end.margins, end.fit, end.excess, inverse)
