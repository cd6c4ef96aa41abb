"""The objective of P softmax probes on shared features, and its derivatives.

Everything is written in margins, the logits minus that of the true class: linear in the coefficients like the logits,
and exact where a loss is close to 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bias_jax.arithmetic import einsum

ABSENT_CLASS_LOGIT = -40.0  # a class without training images: probability below 1e-17, but finite


class Problems(NamedTuple):
    """P problems of one target; they share rows of features."""

    labels: jax.Array  # class of each image, int32 [P, N]; negative means unknown
    weights: jax.Array  # weight of each image in the mean, float32 [P, N], rows sum to 1
    present: jax.Array  # whether the class occurs in training, bool [P, C]; those at the end only fill the array


class Fit(NamedTuple):
    """Cross-entropy of P problems and its gradient by the margins."""

    loss: jax.Array  # [P]
    residual: jax.Array  # [P, C, N], weight times probability, for the true class minus the weight


def problem_logits(features: jax.Array, coefficients: jax.Array, problems: Problems) -> jax.Array:
    """Logits of all images, [P, C, N]."""
    logits = einsum("pcd,nd->pcn", coefficients, features)
    return jnp.where(problems.present[:, :, None], logits, ABSENT_CLASS_LOGIT)


def true_class(problems: Problems) -> jax.Array:
    """Whether a class is the labelled one, bool [P, C, N]."""
    return jnp.arange(problems.present.shape[1], dtype=jnp.int32)[None, :, None] == problems.labels[:, None]


def to_margins(logits: jax.Array, problems: Problems) -> jax.Array:
    """Logits [P, C, N] minus that of the true class."""
    true = jnp.maximum(problems.labels, 0)[:, None]  # images of unknown class have no weight
    return logits - jnp.take_along_axis(logits, true, axis=1)


def cross_entropy(margins: jax.Array, problems: Problems) -> Fit:
    """Weighted loss and residual of margins [P, C, N].

    Accurate also where the loss is close to 0: then it is log1p of the other classes' share, and the true class's
    residual is minus that share, neither of which may be had as a difference from 1.
    """
    true, weights = true_class(problems), problems.weights
    top = margins.max(axis=1)  # 0 where the true class is on top
    others = jnp.where(true, 0.0, jnp.exp(margins - top[:, None]))
    odds = others.sum(axis=1)
    total = odds + jnp.exp(-top)
    loss = jnp.where(top > 0, top + jnp.log(total), jnp.log1p(odds))
    scale = weights / total
    residual = jnp.where(true, -(scale * odds)[:, None], scale[:, None] * others)
    return Fit((weights * loss).sum(axis=1), residual)


def inverse_weights(problems: Problems) -> jax.Array:
    """One over the weight of each image, [P, N]; 0 for images that are left out."""
    weights = problems.weights
    return jnp.where(weights > 0, 1.0 / jnp.where(weights > 0, weights, 1.0), 0.0)


def weighted_probability(residual: jax.Array, problems: Problems) -> jax.Array:
    """Weight times probability, [P, C, N], of the residual of `cross_entropy`."""
    return jnp.where(true_class(problems), problems.weights[:, None] + residual, residual)
