"""Convolution of x [N, H, W, C] with a kernel [kh, kw, C, D]; on a CPU, 3 x 3 kernels by Winograd's minimal filtering.

F(2 x 2, 3 x 3) of Lavin & Gray 2016 computes 4 outputs from 16 multiplications instead of 36. Its additions are bound
by memory, so it pays where there are many channels: the grid is read and written about ten times whatever D, while the
products that it saves grow with C D. Accelerators have libraries that choose for themselves.
"""

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import einsum

MANY_CHANNELS = 128  # of the input, from which it is faster

Padding = tuple[int, int]  # rows and columns, on both sides

# Y = A' [(G g G') * (B' d B)] A for outputs Y [2, 2], kernel g [3, 3], inputs d [4, 4]; B' and A' are written out.
KERNEL_TRANSFORM = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)  # G


def conv2d(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    """Convolution [N, H', W', D] with zero padding, in the precision of x."""

    def direct(x: jax.Array, kernel: jax.Array) -> jax.Array:
        sides = [(p, p) for p in padding]
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), sides, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    height, width, channels, _ = kernel.shape
    if (height, width, stride) != (3, 3, 1) or channels < MANY_CHANNELS or x.dtype != jnp.float32:
        return direct(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=lambda x, k: winograd_3x3(x, k, padding), default=direct)


def winograd_3x3(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """Convolution with a 3 x 3 kernel at stride 1.

    Tiles of 2 x 2 outputs reach over the border by one row or column where sizes are odd.
    """
    size = [side + 2 * p - 2 for side, p in zip(x.shape[1:3], padding, strict=True)]
    tiles = [-(-side // 2) for side in size]
    reach = [2 * t + 2 - side - p for t, side, p in zip(tiles, x.shape[1:3], padding, strict=True)]
    x = jnp.pad(x, ((0, 0), (padding[0], reach[0]), (padding[1], reach[1]), (0, 0)))
    transformed = einsum("ai,bj,ijcd->abcd", KERNEL_TRANSFORM, KERNEL_TRANSFORM, kernel)

    def inputs(d: list[jax.Array]) -> list[jax.Array]:  # B' d
        return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]

    def outputs(m: list[jax.Array]) -> list[jax.Array]:  # A' m
        return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]

    by_row = inputs([x[:, i : i + 2 * tiles[0] : 2] for i in range(4)])
    products = []
    for a, row in enumerate(by_row):
        columns = inputs([row[:, :, j : j + 2 * tiles[1] : 2] for j in range(4)])
        terms = [jnp.einsum("nhwc,cd->nhwd", v, transformed[a, b]) for b, v in enumerate(columns)]
        products.append(outputs(terms))
    even, odd = (outputs([row[j] for row in products]) for j in range(2))  # columns of the output, each [two rows]
    y = jnp.stack([jnp.stack(pair, axis=3) for pair in zip(even, odd, strict=True)], axis=2)  # [N, h, 2, w, 2, D]
    return y.reshape(len(x), 2 * tiles[0], 2 * tiles[1], -1)[:, : size[0], : size[1]]
