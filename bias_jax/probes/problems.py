"""Which images and labels each probe of a target is trained on, and where its training starts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.probes.objective import Problems, true_class
from bias_jax.probes.sizes import padded_classes


def class_problems(labels: np.ndarray, classes: int, training: np.ndarray) -> Problems:
    """One problem per row of `training`, on the device; see `host_problems`."""
    return Problems(*jax.device_put(tuple(host_problems(labels, classes, training))))


def host_problems(labels: np.ndarray, classes: int, training: np.ndarray) -> Problems:
    """One problem per row of `training`, as NumPy arrays.

    Args:
        labels: class numbers int [P, N] (one row per problem) or [N] (shared); negative means unknown, left out.
        classes: number of classes; some that do not occur are added (see `sizes`).
        training: bool [P, N], the images each problem is trained on.
    """
    y = np.broadcast_to(labels, training.shape).astype(np.int32)
    used = training & (y >= 0)
    size = padded_classes(classes)
    counts = np.stack([np.bincount(row[mask], minlength=size) for row, mask in zip(y, used, strict=True)])
    weights = (used / np.maximum(used.sum(axis=1, keepdims=True), 1)).astype(np.float32)
    return Problems(y, weights, counts > 0)  # type: ignore[arg-type]


@partial(jax.jit, static_argnames="width")
def zero_start(problems: Problems, width: int) -> jax.Array:
    """All-zero coefficients [P, C, width]; the biases are the log frequencies of the classes, the optimum for W = 0."""
    true = true_class(problems)
    frequency = jnp.where(true, problems.weights[:, None], 0.0).sum(axis=2)
    bias = jnp.where(problems.present, jnp.log(jnp.where(problems.present, frequency, 1.0)), 0.0)
    return jnp.zeros((*bias.shape, width)).at[:, :, -1].set(bias)
