"""Representational similarity of groups: do two layers put the same groups of people far from each other?

Distances between means of groups hold the noise of both means, which is alike in all layers of a network and would pass
for similarity. Here squared distances are unbiased: products of an image with itself are left out (as those of
cross-validated distances, Walther et al. 2016), so that they are 0 on average for groups that do not differ.
"""

import numpy as np

from bias_jax.similarity.cka import Estimate, interval


def group_distances(products: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances of the means of groups, unbiased; of all images, and how each image's group lies without it.

    Args:
        products: of the images with each other [N, N].
        groups: of each image, int [N], 0 to G - 1, each with at least 3 images.

    Returns:
        [G, G]; and [N, G], the distances from the own group without this image to all groups (to itself: 0).
    """
    k, hot = np.asarray(products, np.float64), np.eye(groups.max() + 1)[groups]
    size, itself = hot.sum(axis=0), np.diagonal(k)
    to_groups = k @ hot  # sums over the images of each group, [N, G]
    sums = hot.T @ to_groups
    squares = hot.T @ itself
    means = sums / np.outer(size, size)
    own = (np.diagonal(sums) - squares) / (size * (size - 1))  # of different images only
    distances = own[:, None] + own[None] - 2.0 * means
    np.fill_diagonal(distances, 0.0)
    rows, n = np.arange(len(k)), size[groups]
    mine = np.diagonal(sums)[groups] - 2.0 * to_groups[rows, groups] + itself
    mine = (mine - squares[groups] + itself) / ((n - 1) * (n - 2))
    without = mine[:, None] + own[None] - 2.0 * (sums[groups] - to_groups) / ((n - 1)[:, None] * size[None])
    without[rows, groups] = 0.0
    return distances, without


def rsa(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], groups: np.ndarray,
    people: np.ndarray | None = None,
) -> Estimate:  # fmt: skip
    """Correlation of two layers' squared distances over all pairs of groups.

    Args:
        first: `group_distances` of one layer.
        second: of another.
        groups: of each image, int [N], 0 to G - 1, G at least 3.
        people: person of each image, int [N], or None.
    """
    (x, x_without), (y, y_without) = first, second
    upper = np.triu_indices(len(x), 1)
    a, b, count = x[upper], y[upper], len(upper[0])
    sums = [(a.sum(), x_without - x[groups]), (b.sum(), y_without - y[groups])]
    pairs = [(x, x, x_without, x_without), (y, y, y_without, y_without), (x, y, x_without, y_without)]
    products = [((p * q)[upper].sum(), u * v - p[groups] * q[groups]) for p, q, u, v in pairs]
    # Without an image, only distances from its group change.
    sx, sy, xx, yy, xy = (np.concatenate([[s], s + change.sum(axis=1)]) for s, change in (*sums, *products))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (xy - sx * sy / count) / np.sqrt((xx - sx**2 / count) * (yy - sy**2 / count))
    return interval(found[0], found[1:], groups, people)
