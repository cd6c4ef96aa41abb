"""Convolution of x [N, H, W, C] with a kernel [kh, kw, C, D], in the way that is fastest on the device.

Accelerators have libraries for it, and 1x1 convolutions are matrix products anywhere. On a CPU, XLA's own convolution
runs at a thirtieth to nine tenths of the rate of its matrix products, so two well-known rearrangements pay there:

- Winograd's minimal filtering F(2 x 2, 3 x 3) (Lavin & Gray 2016) for 3 x 3 kernels at stride 1: 16 multiplications
  for 4 outputs instead of 36. Additions move as much memory as they save on small grids, so only large ones use it.
- Patches as rows of one matrix (im2col), where nothing is padded or the input has few channels: there XLA is slowest.

Both go through the batch a few images at a time, so that what they write is read again from the cache.
"""

import jax
import jax.numpy as jnp
import numpy as np

LARGE_GRID = 28  # rows of output from which Winograd's rearrangement is faster
FEW_CHANNELS = 4  # up to which patches as rows are faster
AT_ONCE = 2  # images

Padding = tuple[int, int]  # rows and columns, on both sides

# Y = A' [(G g G') * (B' d B)] A for outputs Y [2, 2], kernel g [3, 3], inputs d [4, 4]; B' and A' are written out.
KERNEL_TRANSFORM = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)  # G


def conv2d(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    """Convolution [N, H', W', D] with zero padding, in the precision of x."""
    rows = x.shape[1] + 2 * padding[0] - kernel.shape[0] + 1
    if kernel.shape[:2] == (1, 1):
        return jnp.einsum("nhwc,cd->nhwd", x[:, ::stride, ::stride], kernel[0, 0])
    winograd = kernel.shape[:2] == (3, 3) and stride == 1 and rows >= LARGE_GRID and kernel.shape[2] > FEW_CHANNELS
    patches = padding == (0, 0) or kernel.shape[2] <= FEW_CHANNELS

    def direct(x: jax.Array, kernel: jax.Array) -> jax.Array:
        sides = [(p, p) for p in padding]
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), sides, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def blocked(x: jax.Array, kernel: jax.Array) -> jax.Array:
        if winograd:
            transformed = transform_kernel(kernel)

            def convolve(images: jax.Array) -> jax.Array:
                return winograd_3x3(images, transformed, padding)
        else:

            def convolve(images: jax.Array) -> jax.Array:
                return patch_product(images, kernel, stride, padding)

        group = AT_ONCE if len(x) % AT_ONCE == 0 else 1
        y = jax.lax.map(convolve, x.reshape(-1, group, *x.shape[1:]))
        return y.reshape(-1, *y.shape[2:])

    if x.dtype != jnp.float32 or not (winograd or patches):
        return direct(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=blocked, default=direct)


def patch_product(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    """Convolution as one matrix product of patches [N H' W', kh kw C] with the kernel."""
    height, width, _, outputs = kernel.shape
    x = jnp.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    rows, columns = (1 + (size - side) // stride for size, side in zip(x.shape[1:3], (height, width), strict=True))
    shifted = [
        x[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
        for i in range(height)
        for j in range(width)
    ]
    return jnp.einsum("nhwk,kd->nhwd", jnp.concatenate(shifted, axis=-1), kernel.reshape(-1, outputs))


def transform_kernel(kernel: jax.Array) -> jax.Array:
    """[3, 3, C, D] -> [4, 4, C, D]."""
    g = KERNEL_TRANSFORM
    return jnp.einsum("ai,bj,ijcd->abcd", g, g, kernel, precision="highest")


def winograd_3x3(x: jax.Array, transformed: jax.Array, padding: Padding) -> jax.Array:
    """Convolution with a 3 x 3 kernel at stride 1, of which `transformed` is the transform.

    Tiles of 2 x 2 outputs reach over the border by one row or column where sizes are odd.
    """
    size = [side + 2 * p - 2 for side, p in zip(x.shape[1:3], padding, strict=True)]
    tiles = [-(-side // 2) for side in size]
    reach = [2 * t + 2 - side - p for t, side, p in zip(tiles, x.shape[1:3], padding, strict=True)]
    x = jnp.pad(x, ((0, 0), (padding[0], reach[0]), (padding[1], reach[1]), (0, 0)))

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
