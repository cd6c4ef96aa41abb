"""Directions between means of groups, in coordinates of the space that a layer's images span.

Every difference of means lies in that space, for whatever labels: derivatives along its axes give those along the
directions of any number of shuffled labels, without another look at the network.
"""

from typing import NamedTuple

import numpy as np

ROUNDING = 1e-5  # axes that are shorter, relative to the longest, are rounding of float32


class Span(NamedTuple):
    """n images in the space of their centred features."""

    basis: np.ndarray  # orthonormal rows float64 [r, U], 1 <= r <= min(n - 1, U)
    coordinates: np.ndarray  # float64 [n, r]
    scale: float  # of the layer: root mean square distance of an image from the mean


def span_of(features: np.ndarray) -> Span:
    """Axes of the features [n, U] of n images, by singular value decomposition."""
    centred = np.asarray(features, np.float64)
    centred = centred - centred.mean(axis=0)
    left, lengths, basis = np.linalg.svd(centred, full_matrices=False)
    r = max(1, int((lengths > ROUNDING * lengths[0]).sum()))
    return Span(basis[:r], left[:, :r] * lengths[:r], float(np.sqrt(np.square(lengths).sum() / len(centred))))


def contrast(inside: np.ndarray) -> np.ndarray:
    """Weights [n] of the mean of some images, bool [n], minus that of the others; neither may be empty.

    >>> contrast(np.array([True, False, False]))
    array([ 1. , -0.5, -0.5])
    """
    return np.where(inside, 1.0 / inside.sum(), -1.0 / (~inside).sum())


def between(contrasts: np.ndarray, coordinates: np.ndarray, scale: float) -> np.ndarray:
    """Directions between groups, each as long as the layer's scale.

    Args:
        contrasts: [..., n].
        coordinates: of the n images [n, r].
        scale: of the layer.

    Returns:
        Coordinates [..., r]; zeros where the means are equal.
    """
    found = np.asarray(contrasts) @ coordinates
    length = np.linalg.norm(found, axis=-1, keepdims=True)
    known = length > 1e-12 * scale
    return np.asarray(np.where(known, scale * found / np.where(known, length, 1.0), 0.0))
