"""Weights with which one axis is brought to another length: as Pillow resizes pictures, and as torch resizes grids."""

from collections.abc import Callable
from typing import Literal

import numpy as np

Filter = Literal["bilinear", "bicubic"]  # Pillow's
PILLOW, TORCH = -0.5, -0.75  # slope of the cubic at 1: Pillow's, and torch's where it does not widen the filter


def cubic(x: np.ndarray, slope: float) -> np.ndarray:
    """The cubic convolution kernel (Keys 1981)."""
    x = np.abs(x)
    inner = ((slope + 2.0) * x - (slope + 3.0)) * x * x + 1.0
    outer = slope * (((x - 5.0) * x + 8.0) * x - 4.0)
    return np.where(x < 1.0, inner, np.where(x < 2.0, outer, 0.0))


_FILTERS: dict[Filter, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {  # half of the width, and the function
    "bilinear": (1.0, lambda x: np.maximum(0.0, 1.0 - np.abs(x))),
    "bicubic": (2.0, lambda x: cubic(x, PILLOW)),
}


def widened(size: int, new_size: int, which: Filter) -> np.ndarray:
    """Weights [new_size, size] of a filter that is widened where the axis gets shorter (antialiasing), float64.

    As Pillow computes them, and torch with ``antialias=True``.
    """
    half, function = _FILTERS[which]
    scale = size / new_size
    stretch = max(scale, 1.0)
    centres = (np.arange(new_size) + 0.5) * scale
    first = np.maximum((centres - half * stretch + 0.5).astype(int), 0)[:, None]
    last = np.minimum((centres + half * stretch + 0.5).astype(int), size)[:, None]
    pixels = np.arange(size)
    weights = function((pixels + 0.5 - centres[:, None]) / stretch)
    weights = np.where((pixels >= first) & (pixels < last), weights, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def at_coordinates(size: int, coordinates: np.ndarray) -> np.ndarray:
    """Weights [len(coordinates), size] of torch's bicubic interpolation without antialiasing, float64.

    Args:
        size: of the axis, whose points are at 0, 1, ..., size - 1; beyond them the outermost are repeated.
        coordinates: where its values are wanted.
    """
    below = np.floor(coordinates).astype(int)
    weights = np.zeros((len(coordinates), size))
    rows = np.arange(len(coordinates))
    for tap in range(-1, 3):
        np.add.at(weights, (rows, np.clip(below + tap, 0, size - 1)), cubic(coordinates - below - tap, TORCH))
    return weights
