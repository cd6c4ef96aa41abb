"""Convolution of x [N, H, W, C] with a kernel [kh, kw, C / groups, D]; on a CPU, 3 x 3 kernels by Winograd's minimal
filtering, and depthwise ones (a group for every channel) by shifted products.

F(2 x 2, 3 x 3) of Lavin & Gray 2016 computes 4 outputs from 16 multiplications instead of 36. Its additions are bound
by memory, so it pays where there are many channels: the grid is read and written about ten times whatever D, while the
products that it saves grow with C D. XLA convolves every group by itself, which takes 10 to 70 times as long as the
sum over the kernel of products that it computes together. Accelerators have libraries that choose for themselves.
"""

from functools import reduce
from operator import add

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import einsum

MANY_CHANNELS = 128  # of the input, from which it is faster

Padding = tuple[int, int]  # rows and columns, on both sides

# Y = A' [(G g G') * (B' d B)] A for outputs Y [2, 2], kernel g [3, 3], inputs d [4, 4]; B' and A' are written out.
KERNEL_TRANSFORM = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)  # G


def conv2d(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding, groups: int = 1) -> jax.Array:
    """Convolution [N, H', W', D] with zero padding, in the precision of x.

    Of several groups, the i-th part of the outputs sees the i-th part of the inputs only.
    """

    def direct(x: jax.Array, kernel: jax.Array) -> jax.Array:
        sides = [(p, p) for p in padding]
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), sides, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
        )

    height, width, channels, outputs = kernel.shape
    if x.dtype == jnp.float32 and groups == outputs == x.shape[-1] > 1:
        return jax.lax.platform_dependent(x, kernel, cpu=lambda x, k: depthwise(x, k, stride, padding), default=direct)
    if x.dtype == jnp.float32 and groups == 1 and (height, width, stride) == (3, 3, 1) and channels >= MANY_CHANNELS:
        return jax.lax.platform_dependent(x, kernel, cpu=lambda x, k: winograd_3x3(x, k, padding), default=direct)
    return direct(x, kernel)


def depthwise(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    """Convolution of every channel with a kernel [kh, kw, 1, C] of its own."""
    size = kernel.shape[:2]
    x = jnp.pad(x, ((0, 0), *((p, p) for p in padding), (0, 0)))
    rows, columns = ((side - k) // stride * stride + 1 for side, k in zip(x.shape[1:3], size, strict=True))
    return reduce(add, (
        x[:, i : i + rows : stride, j : j + columns : stride] * kernel[None, i, j][:, None] for i, j in np.ndindex(size)
    ))  # fmt: skip


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
