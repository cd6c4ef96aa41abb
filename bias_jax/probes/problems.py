"""Which images and labels each probe is trained on."""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.probes.solver import Problems


def class_problems(labels: Mapping[str, np.ndarray], classes: Mapping[str, int], training: np.ndarray) -> Problems:
    """Problems for every target and every row of `training`.

    Args:
        labels: target -> int [P, N] (one row per problem) or [N] (shared); negative means unknown, never trained on.
        classes: target -> number of classes C.
        training: bool [P, N], the images each problem is trained on.
    """
    rows, weights, present = [], [], []
    for target, values in labels.items():
        y = np.broadcast_to(values, training.shape).astype(np.int32)
        used = training & (y >= 0)
        counts = np.stack([np.bincount(y[p][used[p]], minlength=classes[target]) for p in range(len(y))])
        rows.append(y)
        weights.append((used / np.maximum(used.sum(axis=1, keepdims=True), 1)).astype(np.float32))
        present.append(counts > 0)
    rows, weights, present = jax.device_put((rows, weights, present))
    return Problems(tuple(rows), tuple(weights), tuple(present))


@partial(jax.jit, static_argnames="features")
def zero_start(problems: Problems, features: int) -> jax.Array:
    """All-zero coefficients [K, features]; the biases are the log frequencies of the classes, the optimum for W = 0."""
    biases = []
    for labels, weights, present in zip(*problems, strict=True):
        true = labels[:, None] == jnp.arange(present.shape[1])[:, None]
        frequency = jnp.where(true, weights[:, None], 0.0).sum(axis=2)
        biases.append(jnp.where(present, jnp.log(jnp.where(present, frequency, 1.0)), 0.0).reshape(-1))
    bias = jnp.concatenate(biases)
    return jnp.zeros((bias.shape[0], features)).at[:, -1].set(bias)
