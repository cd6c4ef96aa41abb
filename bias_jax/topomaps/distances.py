"""Distances between profiles, in float64: ranks and thresholds of near ties must not depend on rounding."""

from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist

Metric = Literal["cosine", "euclidean"]


def dead(profiles: np.ndarray) -> np.ndarray:
    """Which rows of profiles [U, D] are constant zero: units that do not tell any groups apart, bool [U]."""
    return np.logical_not(np.any(profiles, axis=1))


def distances(x: np.ndarray, y: np.ndarray, metric: Metric = "cosine") -> np.ndarray:
    """Distances [U, V] between rows of x [U, D] and y [V, D].

    The cosine of a dead row is undefined: it is at distance 1 from live rows and 0 from other dead ones.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if metric == "euclidean":
        return cdist(x, y)
    scaled = [a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), np.finfo(float).tiny) for a in (x, y)]
    found = np.clip(1.0 - scaled[0] @ scaled[1].T, 0.0, 2.0)
    found[np.ix_(dead(x), dead(y))] = 0.0
    return found
