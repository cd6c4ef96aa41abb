"""OpenCV's INTER_AREA of the top-left square of 8-bit pictures, on the host and on the device, to the grey level.

It is what the published association tests prepare images with (Steed & Caliskan 2021). Shrinking from n to m pixels
averages areas: with overlaps counted in m-th parts of a pixel, all is whole numbers, and the average is rounded once.
Enlarging is bilinear, in OpenCV's fixed point: weights of 11 bits, sums of which 4 and 16 bits are cut off.
"""

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import einsum

FRACTION = 11  # bits of the weights of enlarging
LOW = 11  # bits of a sum that are multiplied separately on the device: a float32 holds whole numbers of 24 bits
LARGEST = 4096  # pixels a side (after common factors) up to which the device's numbers are exact


def area_on_host(image: np.ndarray, side: int) -> np.ndarray:
    """Top-left square of one picture, uint8 [H, W, 3] -> uint8 [side, side, 3]."""
    size = min(image.shape[:2])
    square = image[:size, :size]
    if size == side:
        return square
    if size < side:
        first, second, weights = _neighbours(size, side)
        x = square.astype(np.int32)
        across = x[:, first] * weights[0][:, None] + x[:, second] * weights[1][:, None]
        return _enlarged(across[first], across[second], weights[..., None, None]).astype(np.uint8)
    overlaps = _overlaps(size, side)
    down = np.tensordot(overlaps.astype(np.float32), square.astype(np.float32), 1)  # below 2 ** 24: exact
    total = np.einsum("qw,pwc->pqc", overlaps.astype(np.float64), down.astype(np.float64), optimize=True)
    whole = int(overlaps[0].sum()) ** 2
    quotient, rest = np.divmod(total.astype(np.int64), whole)
    return (quotient + _rounds_up(quotient, rest, whole, size == 2 * side)).astype(np.uint8)


def area_on_device(images: jax.Array, side: int) -> jax.Array:
    """Top-left squares of pictures, uint8 [N, H, W, 3] -> grey levels, int32 [N, side, side, 3].

    Beyond `LARGEST` pixels a side, an average that is within 1e-4 of the middle of two grey levels may become either.
    """
    size = min(images.shape[1:3])
    squares = images[:, :size, :size]
    if size == side:
        return squares.astype(jnp.int32)
    if size < side:
        first, second, weights = _neighbours(size, side)
        x = squares.astype(jnp.int32)
        a, b = (jnp.asarray(w, jnp.int32)[None, None, :, None] for w in weights)
        across = x[:, :, first] * a + x[:, :, second] * b
        down = [jnp.asarray(w, jnp.int32)[None, :, None, None] for w in weights]
        return _enlarged(across[:, first], across[:, second], down)
    overlaps = _overlaps(size, side)
    matrix, whole = jnp.asarray(overlaps, jnp.float32), int(overlaps[0].sum()) ** 2
    sums = einsum("ph,nhwc->npwc", matrix, squares.astype(jnp.float32)).astype(jnp.int32)
    upper, lower = sums >> LOW, sums & ((1 << LOW) - 1)
    high, low = (einsum("qw,npwc->npqc", matrix, part.astype(jnp.float32)) for part in (upper, lower))
    if whole > LARGEST**2:
        return jnp.rint((high * (2.0**LOW) + low) / whole).astype(jnp.int32)
    total = (high.astype(jnp.uint32) << LOW) + low.astype(jnp.uint32)
    quotient, rest = total // jnp.uint32(whole), total % jnp.uint32(whole)
    return (quotient + _rounds_up(quotient, rest, whole, size == 2 * side).astype(jnp.uint32)).astype(jnp.int32)


def _overlaps(size: int, side: int) -> np.ndarray:
    """How much of each pixel is in each area, whole numbers [side, size] with equal sums of rows."""
    areas, pixels = np.arange(side)[:, None], np.arange(size)[None]
    ends = np.minimum((areas + 1) * size, (pixels + 1) * side)
    found = np.maximum(ends - np.maximum(areas * size, pixels * side), 0)
    return found // np.gcd(size, side)


def _rounds_up(quotient, rest, whole: int, halves_up: bool):
    """To the nearest grey level; from the middle to the even one, but upwards where four pixels become one."""
    middle = whole - rest == rest
    return (rest > whole - rest) | (middle if halves_up else middle & (quotient % 2 == 1))


def _neighbours(size: int, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each pixel of the larger picture its two neighbours in the smaller one, int [side], and weights [2, side].

    The scale is computed as OpenCV does it: where it is rounded down, a pixel comes from the neighbour before.
    """
    pixels, scale = np.arange(side), side / size
    first = np.minimum(np.floor(pixels * (1.0 / scale)).astype(int), size - 1)
    share = ((pixels + 1) - (first + 1) * scale).astype(np.float32)
    share = np.where((share <= 0) | (first == size - 1), 0.0, share - np.floor(share)).astype(np.float32)
    weights = np.rint(np.stack([np.float32(1) - share, share]) * np.float32(1 << FRACTION)).astype(np.int32)
    return first, np.minimum(first + 1, size - 1), weights


def _enlarged(upper, lower, weights):
    """Of the sums of two rows, with the weights of the rows."""
    parts = ((weight * (row >> 4)) >> 16 for weight, row in zip(weights, (upper, lower), strict=True))
    return (sum(parts) + 2) >> 2
