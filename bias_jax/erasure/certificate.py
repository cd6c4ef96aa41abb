"""How much better than the labels' frequencies a linear probe can be, at most: certified without training one."""

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import matmul


def prior_gain(features: jax.Array, labels: np.ndarray, l2: float, before: jax.Array | None = None) -> float:
    """Bits by which the best softmax probe of these images, in training, exceeds one that knows frequencies only.

    An upper bound, 0 if and only if the means of all classes are equal. The probe is that of `probes.fit_convex`:
    features are centred and divided by a root mean square, its strength is `l2`. By strong convexity the optimum
    lies at most ``|gradient|^2 / (2 l2)`` below the objective at zero weights and the best biases.

    Args:
        features: [N, D].
        labels: class of each image, int [N].
        l2: strength, positive.
        before: features whose root mean square is taken, [N, D]: of erased ones, what they were, since erasing may
            leave nothing but rounding. Default: their own.
    """
    _, number = np.unique(labels, return_inverse=True)
    hot = np.eye(number.max() + 1)[number]
    with jax.enable_x64(True):
        residual = jax.device_put(hot - hot.mean(axis=0))
        whole = _variance(features if before is None else before)
        square, variance = jax.device_get((_slope(features, residual), whole))
    bound = square / variance / (2.0 * l2) if variance > 0 else 0.0
    share = hot.mean(axis=0)
    # No probe gains more than there is to know.
    return float(min(bound / np.log(2.0), -(share * np.log2(share)).sum()))


@jax.jit
def _slope(features: jax.Array, residual: jax.Array) -> jax.Array:
    """Squared length of the gradient at zero weights, in features as they are."""
    x = features.astype(jnp.float64)
    return jnp.square(matmul((x - x.mean(axis=0)[None]).T, residual) / len(x)).sum()


@jax.jit
def _variance(features: jax.Array) -> jax.Array:
    x = features.astype(jnp.float64)
    return jnp.square(x - x.mean(axis=0)[None]).mean()
