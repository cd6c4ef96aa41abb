"""Learnt positions of a grid of patches, brought to another grid as each family of networks does it.

A grid is linear in the learnt one, so a matrix per axis does it, computed once in float64.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import einsum
from bias_jax.networks.resampling import at_coordinates, widened

# corners: bicubic, the outermost patches on each other (torchvision); antialiased: bicubic with a filter that is
# widened where the grid gets smaller (timm, OpenCLIP, DINOv2 with registers); plain: bicubic (transformers); offset:
# the same, but for a grid that is a tenth of a patch longer (DINOv2 without registers)
Resampling = Literal["corners", "antialiased", "plain", "offset"]
OFFSET = 0.1


def weights(size: int, new_size: int, how: Resampling) -> np.ndarray:
    """From a learnt axis to another, float64 [new_size, size]."""
    if how == "antialiased":
        return widened(size, new_size, "bicubic")
    steps = np.arange(new_size)
    if how == "corners":
        return at_coordinates(size, steps * ((size - 1) / max(new_size - 1, 1)))
    length = new_size + OFFSET if how == "offset" else new_size
    return at_coordinates(size, (steps + 0.5) * (size / length) - 0.5)


def resampled(positions: jax.Array, grid: tuple[int, int], how: Resampling) -> jax.Array:
    """Learnt positions of a square grid for another one.

    Args:
        positions: [G * G, d], row by row.
        grid: rows h and columns w.
        how: the family's way.

    Returns:
        [h * w, d]; the learnt ones themselves where the grid is the same.
    """
    side = round(len(positions) ** 0.5)
    if grid == (side, side):
        return positions
    rows, columns = (jnp.asarray(weights(side, size, how), jnp.float32) for size in grid)
    square = positions.astype(jnp.float32).reshape(side, side, -1)
    found = einsum("hg,gwd->hwd", rows, einsum("wv,gvd->gwd", columns, square))
    return found.reshape(grid[0] * grid[1], -1).astype(positions.dtype)
