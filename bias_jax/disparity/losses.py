"""Losses of multi-label heads: pairwise and normalised-target softmax, binary cross-entropy, ZLPR.

All take logits [N, C] and labels [N, C] of 0 (absent), 1 (present) or NaN (unknown), and give a scalar. An unknown
entry counts as though it were not there: it is no positive, no negative and no competitor, and an image without any
known label is not counted. P_i and N_i are the known positives and negatives of image i. Batches without positives or
negatives and logits of any finite size have a finite loss with finite gradients.

Weights [N] multiply what an image contributes; their mean over all training images is 1. Means are still over the plain
number of what is counted, so that a minibatch is on average as heavy as the whole: a mean over the weights that happen
to be in it would take away from the heavy images, the more the smaller the batch.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Loss = Callable[..., jax.Array]


def pairwise_softmax(logits: jax.Array, labels: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """Every positive against the negatives of its image; other positives do not compete.

        mean over all positives p of the batch of  -log[ exp s_p / (exp s_p + sum over N_i of exp s_q) ]

    The mean is over the positives of the batch: an image with more labels weighs more. 0 without positives; a positive
    of an image without negatives counts as 0. Does not change when a constant is added to an image's logits.
    """
    s, present, absent, _ = _split(logits, labels)
    margin = _log_sum_exp(s, absent)[:, None] - s  # below -1e30 where there are no negatives
    contributes = present & absent.any(axis=1, keepdims=True)
    terms = jnp.where(contributes, jax.nn.softplus(jnp.where(contributes, margin, 0.0)), 0.0)
    return _mean_over(terms, present, weights)


def target_softmax(logits: jax.Array, labels: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """Cross-entropy of one softmax over all classes with the target 1 / |P_i| on each positive (Mahajan et al. 2018).

        mean over images of  -1/|P_i| sum over P_i of log softmax(s_i)_p

    Positives compete with each other. An image without positives counts as 0. Does not change when a constant is
    added to an image's logits.
    """
    s, present, _, known = _split(logits, labels)
    log_share = s - _log_sum_exp(s, known)[:, None]
    terms = -jnp.where(present, log_share, 0.0).sum(axis=1) / jnp.maximum(present.sum(axis=1).astype(s.dtype), 1.0)
    return _mean_over_images(terms, known, weights)


def binary_cross_entropy(logits: jax.Array, labels: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """One logistic regression per class: mean over all known entries of  log(1 + exp s) - y s.

    At logits of 0 every known entry costs log 2; the unknown one does not count:

    >>> loss = binary_cross_entropy(jnp.zeros((1, 3)), jnp.array([[1.0, 0.0, jnp.nan]]))
    >>> f"{loss:.4f}"
    '0.6931'
    """
    s, present, _, known = _split(logits, labels)
    terms = jax.nn.softplus(s) - jnp.where(present, s, 0.0)
    return _mean_over(jnp.where(known, terms, 0.0), known, weights)


def zlpr(logits: jax.Array, labels: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """Zero-bounded log-sum-exp and pairwise rank-based loss (Su et al. 2022), with a threshold at 0 built in.

    mean over images of  log(1 + sum over N_i of exp s_q) + log(1 + sum over P_i of exp -s_p)
    """
    s, present, absent, known = _split(logits, labels)
    return _mean_over_images(_log_sum_exp(s, absent, one=True) + _log_sum_exp(-s, present, one=True), known, weights)


LOSSES: dict[str, Loss] = {f.__name__: f for f in (pairwise_softmax, target_softmax, binary_cross_entropy, zlpr)}


def _split(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Logits in at least float32, and which entries are present, absent, known."""
    s = jnp.asarray(logits)
    s = s.astype(jnp.float64 if s.dtype == jnp.float64 else jnp.float32)
    labels = jnp.asarray(labels).astype(s.dtype)
    present, absent = labels == 1, labels == 0  # NaN equals nothing
    return s, present, absent, present | absent


def _log_sum_exp(s: jax.Array, chosen: jax.Array, *, one: bool = False) -> jax.Array:
    """log of the sum of exp s over the chosen classes, [N]; with `one`, of 1 + the sum.

    An empty sum gives a large negative number, with gradient 0, instead of minus infinity, whose gradient is NaN.
    """
    lowest = 0.0 if one else -1e30
    top = jax.lax.stop_gradient(jnp.max(s, axis=1, where=chosen, initial=lowest))
    total = jnp.where(chosen, jnp.exp(jnp.where(chosen, s - top[:, None], 0.0)), 0.0).sum(axis=1)
    total = total + jnp.exp(-top) if one else jnp.where(chosen.any(axis=1), total, 1.0)
    return top + jnp.log(total)


def _mean_over_images(terms: jax.Array, known: jax.Array, weights: jax.Array | None) -> jax.Array:
    """Mean [N] -> scalar over the images with known labels."""
    counted = known.any(axis=1)
    return _mean_over(jnp.where(counted, terms, 0.0), counted, weights)


def _mean_over(terms: jax.Array, counted: jax.Array, weights: jax.Array | None) -> jax.Array:
    """Mean of terms [N, ...], which are 0 where they are not counted; 0 if none is."""
    if weights is not None:
        terms = terms * weights.astype(terms.dtype).reshape(-1, *(1,) * (terms.ndim - 1))
    return terms.sum() / jnp.maximum(counted.sum().astype(terms.dtype), 1.0)
