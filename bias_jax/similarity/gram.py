"""All that similarity needs of a layer: the products of its images with each other."""

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import matmul
from bias_jax.errors import InputError


def image_products(features: jax.Array) -> np.ndarray:
    """Products of centred images with each other, over their mean square; float32 [N, N].

    Args:
        features: [N, D].

    Raises:
        InputError: they are not finite.
    """
    products = np.asarray(jax.device_get(_products(features)))
    if not np.isfinite(products).all():
        raise InputError("features are not all finite", remedy="check the weights, or use --precision float32")
    return products


@jax.jit
def _products(features: jax.Array) -> jax.Array:
    x = features.astype(jnp.float32)
    x = x - x.mean(axis=0, keepdims=True)
    products = matmul(x, x.T)
    size = jnp.trace(products) / len(x)
    return products / jnp.where(size > 0, size, 1.0)
