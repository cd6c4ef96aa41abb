"""The building blocks that the networks share, in NHWC; parameters are float32, the arithmetic that of the images."""

from collections.abc import Mapping
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bias_jax.arithmetic import einsum
from bias_jax.networks.convolution import conv2d


class Activations(dict[str, jax.Array]):
    """Activations by name, in depth order.

    An offset is added to the activation of its name before the network goes on: the gradient with respect to an offset
    of zeros is that with respect to the activation. Without offsets nothing is added.
    """

    def __init__(self, offsets: Mapping[str, jax.Array] | None):
        super().__init__()
        self._offsets = offsets or {}

    def keep(self, name: str, value: jax.Array) -> jax.Array:
        """Note an activation, and give what the network goes on with."""
        self[name] = value + self._offsets[name] if name in self._offsets else value
        return self[name]


def conv(
    inputs: int, outputs: int, size: int | tuple[int, int], *, stride: int = 1, padding: int | tuple[int, int] = 0,
    groups: int = 1, bias: bool = False, rngs: nnx.Rngs,
) -> nnx.Conv:  # fmt: skip
    """Convolution with torch's symmetric padding; Flax's default ``SAME`` pads asymmetrically at stride 2.

    Of several groups, the i-th part of the outputs sees the i-th part of the inputs only.
    """
    kernel = (size, size) if isinstance(size, int) else size
    pad = (padding, padding) if isinstance(padding, int) else padding
    return nnx.Conv(
        inputs, outputs, kernel, strides=stride, padding=[(p, p) for p in pad], feature_group_count=groups,
        use_bias=bias, rngs=rngs,
    )  # fmt: skip


def norm(channels: int, epsilon: float, rngs: nnx.Rngs, *, bias: bool = True) -> nnx.BatchNorm:
    """Batch normalisation with running statistics; momentum 0 lets one calibrating pass set them exactly."""
    return nnx.BatchNorm(
        channels, use_running_average=True, epsilon=epsilon, momentum=0.0, use_bias=bias, rngs=rngs
    )  # fmt: skip


def conv_norm(convolution: nnx.Conv, bn: nnx.BatchNorm, x: jax.Array) -> jax.Array:
    """Batch norm after convolution, folded into one convolution for inference.

    Running statistics make batch norm an affine map per channel, so ``bn(conv(x, K)) = conv(x, K s) + t`` with
    ``s = scale / sqrt(var + eps)`` and ``t = bias - mean s``: one pass over the activations instead of two. A bias
    of the convolution comes before that, so t gets s times it.
    """
    if not bn.use_running_average:  # statistics are being calibrated
        return bn(convolution(x))
    scale, shift = _affine(bn)
    if convolution.bias is not None:
        shift = shift + convolution.bias[...] * scale
    kernel = convolution.kernel[...] * scale[None, None, None]
    return _convolve(convolution, x, kernel) + shift.astype(x.dtype)[None, None, None]


def batch_norm(bn: nnx.BatchNorm, x: jax.Array) -> jax.Array:
    """Batch norm of [N, ..., U] by its running statistics, in the precision of x."""
    if not bn.use_running_average:  # statistics are being calibrated
        return bn(x)
    channels = (1,) * (x.ndim - 1) + (-1,)
    scale, shift = (part.astype(x.dtype).reshape(channels) for part in _affine(bn))
    return x * scale + shift


def _affine(bn: nnx.BatchNorm) -> tuple[jax.Array, jax.Array]:
    """Scale and shift [U], in the parameters' float32: some variances of the published InceptionV3 are near 1e-14."""
    assert bn.scale is not None
    scale = bn.scale[...] * jax.lax.rsqrt(bn.var[...] + bn.epsilon)
    shift = -bn.mean[...] * scale
    return scale, shift if bn.bias is None else bn.bias[...] + shift


def convolve(convolution: nnx.Conv, x: jax.Array) -> jax.Array:
    """Convolution, with its bias if it has one, in the precision of x."""
    y = _convolve(convolution, x, convolution.kernel[...])
    return y if convolution.bias is None else y + convolution.bias[...].astype(x.dtype)[None, None, None]


def _convolve(convolution: nnx.Conv, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """With the strides, padding and groups of `conv`."""
    stride, padding = convolution.strides, np.asarray(convolution.padding, int)
    assert isinstance(stride, int)
    sides = (int(padding[0, 0]), int(padding[1, 0]))
    return conv2d(x, kernel.astype(x.dtype), stride, sides, convolution.feature_group_count)


def linear(layer: nnx.Linear, x: jax.Array) -> jax.Array:
    """Fully connected layer [N, D] -> [N, C], with its bias if it has one, in the precision of x."""
    y = x @ layer.kernel[...].astype(x.dtype)
    return y if layer.bias is None else y + layer.bias[...].astype(x.dtype)[None]


def quick_gelu(x: jax.Array) -> jax.Array:
    """The activation function x sigmoid(1.702 x)."""
    return x * jax.nn.sigmoid(1.702 * x)


def max_pool(x: jax.Array, size: int, stride: int, padding: int = 0) -> jax.Array:
    """Max-pooling; the padding counts as minus infinity, as in torch.

    Windows without overlap are maxima of shifted grids, which XLA computes together with the ReLU before them: where
    nobody asks for its output, that is never written.
    """
    if stride < size or padding:
        return nnx.max_pool(x, (size, size), (stride, stride), [(padding, padding), (padding, padding)])
    height, width = (1 + (side - size) // stride for side in x.shape[1:3])
    rows = reduce(jnp.maximum, (x[:, i::stride][:, :height] for i in range(size)))
    return reduce(jnp.maximum, (rows[:, :, j::stride][:, :, :width] for j in range(size)))


def average_pool_3x3(x: jax.Array) -> jax.Array:
    """3x3 average at stride 1; the padding counts as zeros, so border sums are divided by 9 too, as in torch."""
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
    return (x[:, :, :-2] + x[:, :, 1:-1] + x[:, :, 2:]) / 9


def adaptive_average_pool(x: jax.Array, cells: int) -> jax.Array:
    """Average of [N, H, W, U] over torch's adaptive windows -> [N, cells, cells, U]; enlarges small inputs."""
    if x.shape[1:3] == (cells, cells):
        return x
    return window_average(x, *(adaptive_windows(size, cells) for size in x.shape[1:3])).astype(x.dtype)


def window_average(x: jax.Array, rows: np.ndarray, columns: np.ndarray) -> jax.Array:
    """Average of [N, H, W, U] over h x w windows -> float32 [N, h, w, U].

    The windows are memberships, bool [h, H] and [w, W]; they are exact in any precision, and the sums of their products
    with x are float32. Each row of each image has a product of its own: so on a CPU nothing is transposed, which took
    ten times as long, and x is not computed once more in another shape.
    """
    product = partial(einsum, preferred_element_type=jnp.float32)
    across = jnp.broadcast_to(jnp.asarray(columns, x.dtype), (*x.shape[:2], *columns.shape))
    down = jnp.broadcast_to(jnp.asarray(rows, jnp.float32), (len(x), *rows.shape))
    sums = product("nph,nhqu->npqu", down, product("nhqw,nhwu->nhqu", across, x))
    sizes = np.outer(rows.sum(axis=1), columns.sum(axis=1))
    return sums / jnp.asarray(sizes[None, :, :, None], jnp.float32)


def adaptive_windows(size: int, cells: int) -> np.ndarray:
    """Torch's adaptive windows, bool [cells, size]: window i covers floor(i s / c) to ceil((i + 1) s / c)."""
    result = np.zeros((cells, size), bool)
    for i in range(cells):
        result[i, i * size // cells : -(-(i + 1) * size // cells)] = True
    return result
