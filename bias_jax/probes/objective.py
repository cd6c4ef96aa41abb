"""The objective of P softmax probes on shared features, and its derivatives.

Everything is written in margins, the logits minus that of the true class: linear in the coefficients like the logits,
and exact where a loss is close to 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

ABSENT_CLASS_LOGIT = -40.0  # a class without training images: probability below 1e-17, but finite


class Problems(NamedTuple):
    """P problems of one target; they share rows of features."""

    labels: jax.Array  # class of each image, int32 [P, N]; negative means unknown
    weights: jax.Array  # weight of each image in the mean, float32 [P, N], rows sum to 1
    present: jax.Array  # whether the class occurs in training, bool [P, C]


def problem_logits(features: jax.Array, coefficients: jax.Array, problems: Problems) -> jax.Array:
    """Logits of all images, [P, C, N]."""
    logits = jnp.einsum("pcd,nd->pcn", coefficients, features, precision="highest")
    return jnp.where(problems.present[:, :, None], logits, ABSENT_CLASS_LOGIT)


class Fit(NamedTuple):
    """Cross-entropy of P problems and its derivatives by the margins."""

    loss: jax.Array  # [P]
    residual: jax.Array  # [P, C, N]
    curvature: jax.Array  # [P, C], second derivative by each bias


class State(NamedTuple):
    """Where all problems stand."""

    coefficients: jax.Array  # [P, C, D + 1]
    margins: jax.Array  # [P, C, N], logits minus the logit of the true class
    fit: Fit
    gradient: jax.Array  # [P, C, D + 1]
    objective: jax.Array  # [P]
    gap: jax.Array  # [P], estimated


def true_class(problems: Problems) -> jax.Array:
    """Whether a class is the labelled one, bool [P, C, N]."""
    return jnp.arange(problems.present.shape[1])[:, None] == problems.labels[:, None]


def to_margins(logits: jax.Array, problems: Problems) -> jax.Array:
    """Logits [P, C, N] minus that of the true class."""
    return logits - jnp.where(true_class(problems), logits, 0.0).sum(axis=1, keepdims=True)


def cross_entropy(margins: jax.Array, problems: Problems) -> Fit:
    """Weighted loss, its gradient by the margins [P, C, N], and its curvature by each bias.

    Accurate also where the loss is close to 0: then it is log1p of the other classes' share, and the true class's
    residual is minus that share, neither of which may be had as a difference from 1.
    """
    true, weights = true_class(problems), problems.weights
    top = margins.max(axis=1)  # 0 where the true class is on top
    others = jnp.where(true, 0.0, jnp.exp(margins - top[:, None]))
    rest = others.sum(axis=1)
    total = rest + jnp.exp(-top)
    loss = jnp.where(top > 0, top + jnp.log(total), jnp.log1p(rest))
    scale = weights / total
    residual = jnp.where(true, -(scale * rest)[:, None], scale[:, None] * others)
    size = jnp.abs(residual)  # weight times p, or times 1 - p for the true class
    curvature = jnp.where(
        problems.present, (size - jnp.square(size) * inverse_weights(weights)[:, None]).sum(axis=2), 0.0
    )
    return Fit((weights * loss).sum(axis=1), residual, curvature)


def inverse_weights(weights: jax.Array) -> jax.Array:
    """One over the weight; 0 for images that are left out."""
    return jnp.where(weights > 0, 1.0 / jnp.where(weights > 0, weights, 1.0), 0.0)


def evaluate(
    features: jax.Array, problems: Problems, coefficients: jax.Array, margins: jax.Array, fit: Fit, l2: jax.Array
) -> State:
    """Objective, gradient and estimated gap; the one product is that of the gradient."""
    live = problems.present
    penalised = coefficients.at[:, :, -1].set(0.0)
    gradient = jnp.einsum("pcn,nd->pcd", fit.residual, features, precision="highest") + l2[:, None, None] * penalised
    gradient = jnp.where(live[:, :, None], gradient, 0.0)
    # Each bias alone, at the biases as they are: good enough to steer by; `certify` gives the bound.
    bias_part = (jnp.square(gradient[:, :, -1]) / jnp.maximum(fit.curvature, 1e-30)).sum(axis=1)
    gap = jnp.square(gradient[:, :, :-1]).sum(axis=(1, 2)) / (2.0 * l2) + bias_part
    objective = fit.loss + 0.5 * l2 * jnp.square(penalised).sum(axis=(1, 2))
    return State(coefficients, margins, fit, gradient, objective, gap)
