"""Spatial reduction of activations, inside the jitted forward pass.

Every rule maps [N, H, W, U] to a grid [N, h, w, U]; activations [N, U] without space count as 1 x 1.
"""

import math
from typing import Literal

import jax
import numpy as np

from bias_jax.arithmetic import einsum
from bias_jax.networks.layers import adaptive_windows, window_average

PIXELS = "pixels"  # the control without a network: the normalised image, in the place of a layer
OUTPUT = "output"  # what the network itself says, its logits, in the place of a layer
MAX_SIDE = 8  # grid sides of Krug & Stober 2025 are at most this
EQUAL_WIDTH = 8192  # features per layer that `equal` aims at

Rule = Literal["mean", "grid", "window", "subsample", "equal", "none"]
RULES: dict[Rule, str] = {
    "mean": "global average: one feature per channel",
    "grid": "adaptive average to at most 8 x 8 (Krug & Stober 2025)",
    "window": "average over whole windows of ceil(H / 8), rest dropped (the other reading of the paper)",
    "subsample": "every ceil(H / 8)-th pixel (the paper's variant without averaging)",
    "equal": f"adaptive average to the square grid that brings each layer nearest to {EQUAL_WIDTH} features",
    "none": "no reduction; for topographic maps, since banks of whole feature maps hardly fit",
}


def layer_rule(layer: str, rule: str) -> str:
    """The rule for one layer; the mean of the pixels would be a colour only, so they keep an 8 x 8 grid."""
    return "grid" if layer == PIXELS and rule == "mean" else rule


def grid_shape(rule: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(h, w, U) that `pool` makes of an activation of shape [N, H, W, U] or [N, U].

    >>> grid_shape("grid", (32, 56, 56, 256)), grid_shape("mean", (32, 7, 7, 2048)), grid_shape("grid", (32, 1000))
    ((8, 8, 256), (1, 1, 2048), (1, 1, 1000))
    """
    if len(shape) == 2:
        return (1, 1, shape[1])
    _, height, width, units = shape

    def side(size: int) -> int:
        window = math.ceil(size / MAX_SIDE)
        if rule == "mean":
            return 1
        if rule == "none":
            return size
        if rule == "grid":
            return min(size, MAX_SIDE)
        if rule == "window":
            return size // window
        if rule == "subsample":
            return math.ceil(size / window)
        return max(1, min(size, round(math.sqrt(EQUAL_WIDTH / units))))

    return (side(height), side(width), units)


def pool(rule: str, x: jax.Array) -> jax.Array:
    """Reduce [N, H, W, U] or [N, U] to features [N, h * w * U], channels running fastest."""
    if x.ndim == 4 and rule == "subsample":
        steps = [math.ceil(size / MAX_SIDE) for size in x.shape[1:3]]
        x = x[:, :: steps[0], :: steps[1]]
    elif x.ndim == 4 and rule != "none":
        windows = _whole_windows if rule == "window" else adaptive_windows
        cells = grid_shape(rule, x.shape)
        x = window_average(x, *(windows(size, number) for size, number in zip(x.shape[1:3], cells, strict=False)))
    return x.reshape(x.shape[0], -1)


def spread(rule: str, added: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The least change of activations that adds this to their pooled features, [N, ...] like the activations.

    Pooling is linear, and of all changes d with P d = added, d = P+ added is the least (Moore-Penrose). It works on
    rows and columns by themselves, and so does its pseudo-inverse. For ``mean`` every position gets the same; for
    windows without overlap each position what its window gets; for ``subsample`` what is looked at, alone.

    Args:
        rule: by which they were pooled.
        added: to the features of every image, [N, h * w * U], channels running fastest.
        shape: of the activations, [N, H, W, U] or [N, U].
    """
    if len(shape) == 2:
        return added
    h, w, units = grid_shape(rule, shape)
    rows, columns = (_inverse_of(rule, size, cells) for size, cells in zip(shape[1:3], (h, w), strict=True))
    grid = added.reshape(shape[0], h, w, units)
    return einsum("Hh,nhWu->nHWu", rows, einsum("Ww,nhwu->nhWu", columns, grid))


def _inverse_of(rule: str, size: int, cells: int) -> np.ndarray:
    """Pseudo-inverse of pooling along one axis, float32 [size, cells]."""
    if rule == "subsample":
        taken = np.eye(size)[:: math.ceil(size / MAX_SIDE)]
    elif rule == "none":
        taken = np.eye(size)
    else:
        taken = (_whole_windows if rule == "window" else adaptive_windows)(size, cells).astype(float)
    return np.linalg.pinv(taken / taken.sum(axis=1, keepdims=True)).astype(np.float32)


def _whole_windows(size: int, cells: int) -> np.ndarray:
    """Windows of ceil(size / 8) without overlap, bool [cells, size]."""
    return np.arange(size) // math.ceil(size / MAX_SIDE) == np.arange(cells)[:, None]
