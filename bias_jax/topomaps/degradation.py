"""The published quality of maps: how little is lost when their images are shrunk or blurred (Krug et al. 2023).

Computed in float, where the published code subtracted wrapping bytes. It rewards smoothness, not truth: a constant
map scores best. Shrinking and blurring are linear along each axis, so each is a matrix A and an image becomes
A image A^T: matrix products on the device, 4 side^3 operations for an image.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from bias_jax.arithmetic import einsum

SIZES = range(55, 9, -5)  # percent of the side, to which images shrink and come back (bicubic, antialiased)
SIGMAS = np.arange(1, 11) / 2.0  # percent of the side, of the Gaussian blur


@cache
def _matrices(side: int) -> dict[str, np.ndarray]:
    unit = np.eye(side, dtype=np.float32)

    def shrink(percent: int) -> np.ndarray:
        small = Image.fromarray(unit).resize((side, max(round(side * percent / 100), 1)), Image.Resampling.BICUBIC)
        return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))

    blurs = [gaussian_filter1d(unit, sigma * side / 100, axis=0) for sigma in SIGMAS]
    return {"resize": np.stack([shrink(percent) for percent in SIZES]), "blur": np.stack(blurs)}


def area_under_curve(images: jax.Array) -> dict[str, float]:
    """Area under the curve of errors over ten degradations, mean over groups; smaller is smoother.

    The error is the mean squared difference of colours, which run from 0 at minus to 1 at plus the largest absolute
    value of all images.

    Args:
        images: [G, side, side]; NaN (no unit, or a group without images) counts as 0.

    Returns:
        `resize` and `blur`, by the trapezoid rule over the ten degradations.
    """
    side = images.shape[-1]
    matrices = _matrices(side)
    return {
        kind: float(np.trapezoid(jax.device_get(_errors(images, jax.device_put(stack)))))
        for kind, stack in matrices.items()
    }


@jax.jit
def _errors(images: jax.Array, matrices: jax.Array) -> jax.Array:
    used = jnp.isfinite(images).any(axis=(1, 2))
    images = jnp.nan_to_num(images)
    largest = jnp.abs(images).max()
    images = images / jnp.where(largest > 0, largest, 1.0) / 2.0  # the middle of the scale cancels

    def error(matrix: jax.Array) -> jax.Array:
        degraded = einsum("ij,gjk,lk->gil", matrix, images, matrix)
        return jnp.square(degraded - images).mean(axis=(1, 2)).sum() / jnp.maximum(used.sum(dtype=jnp.float32), 1.0)

    return jax.lax.map(error, matrices)
