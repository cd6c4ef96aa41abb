"""The convolution blocks that the networks share, in NHWC."""

import jax
import jax.numpy as jnp
from flax import nnx


def conv(
    inputs: int, outputs: int, size: int | tuple[int, int], *, stride: int = 1, padding: int | tuple[int, int] = 0,
    bias: bool = False, rngs: nnx.Rngs,
) -> nnx.Conv:  # fmt: skip
    """Convolution with torch's symmetric padding; Flax's default ``SAME`` pads asymmetrically at stride 2."""
    kernel = (size, size) if isinstance(size, int) else size
    pad = (padding, padding) if isinstance(padding, int) else padding
    return nnx.Conv(
        inputs, outputs, kernel, strides=stride, padding=[(p, p) for p in pad], use_bias=bias, rngs=rngs
    )  # fmt: skip


def norm(channels: int, epsilon: float, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """Batch normalisation with running statistics; momentum 0 lets one calibrating pass set them exactly."""
    return nnx.BatchNorm(channels, use_running_average=True, epsilon=epsilon, momentum=0.0, rngs=rngs)


def conv_norm(convolution: nnx.Conv, bn: nnx.BatchNorm, x: jax.Array) -> jax.Array:
    """Batch norm after convolution, folded into one convolution for inference.

    Running statistics make batch norm an affine map per channel, so ``bn(conv(x, K)) = conv(x, K s) + t`` with
    ``s = scale / sqrt(var + eps)`` and ``t = bias - mean s``: one pass over the activations instead of two.
    """
    if not bn.use_running_average:  # statistics are being calibrated
        return bn(convolution(x))
    assert bn.scale is not None and bn.bias is not None
    scale = bn.scale[...] * jax.lax.rsqrt(bn.var[...] + bn.epsilon)
    shift = bn.bias[...] - bn.mean[...] * scale
    kernel = convolution.kernel[...] * scale
    return conv2d(x, kernel, convolution.strides, convolution.padding) + shift


def conv2d(x: jax.Array, kernel: jax.Array, strides, padding) -> jax.Array:
    """Convolution of x [N, H, W, C] with kernel [kh, kw, C, D]; 1x1 ones are plain matrix products."""
    stride = (strides, strides) if isinstance(strides, int) else tuple(strides)
    if kernel.shape[:2] == (1, 1):
        return jnp.einsum("nhwc,cd->nhwd", x[:, :: stride[0], :: stride[1]], kernel[0, 0])
    return jax.lax.conv_general_dilated(x, kernel, stride, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def max_pool(x: jax.Array, size: int, stride: int, padding: int = 0) -> jax.Array:
    """Max-pooling; the padding counts as minus infinity, as in torch."""
    return nnx.max_pool(x, (size, size), (stride, stride), [(padding, padding), (padding, padding)])
