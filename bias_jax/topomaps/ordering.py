"""In which order groups are shown: neighbours in a dendrogram are neighbours on the page."""

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from bias_jax.topomaps.distances import Metric, distances


def dendrogram_order(values: np.ndarray, metric: Metric = "cosine") -> np.ndarray:
    """Order int [G] of groups by average linkage with optimal leaf order (Bar-Joseph et al. 2001).

    Args:
        values: profile of each group over all units [G, U]; a row of NaN is a group without images.
        metric: distance of the profiles.

    Returns:
        Numbers of the groups; those without images come last.

    >>> dendrogram_order(np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 1.0], [0.9, 0.1], [0.1, 0.9]])).tolist()
    [0, 3, 4, 2, 1]
    """
    found = np.flatnonzero(np.isfinite(values).all(axis=1))
    missing = np.setdiff1d(np.arange(len(values)), found)
    if len(found) < 3:
        return np.concatenate([found, missing])
    apart = distances(values[found], values[found], metric)
    tree = linkage(squareform((apart + apart.T) / 2.0, checks=False), "average", optimal_ordering=True)
    return np.concatenate([found[leaves_list(tree)], missing])
