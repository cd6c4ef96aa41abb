"""What the labels of neighbours say, and what each image does to what the others say.

Values of images are no independent numbers, because images have neighbours in common. If image j were not there,
everyone who has it among k neighbours would have the next one instead, which is known: so what b[i, j] the value of
image i owes to image j is exact, and the variance of the sum of all values follows as for images that train each
other's probes (see `statistics.cross_validation`).
"""

from typing import NamedTuple

import numpy as np

from bias_jax.statistics import Exchange


class Scores(NamedTuple):
    """What the labels of k neighbours say of every image."""

    score: np.ndarray  # float64 [N]
    loss: np.ndarray  # what the score falls by if one of them were not there, [N, k]
    neighbours: np.ndarray  # int [N, k]


class NeighbourValues(NamedTuple):
    """What each image scores, times its weight: the statistic is the sum."""

    values: np.ndarray  # float64 [N]
    exchange: Exchange  # of these values, with P random signs


def retrieval_scores(neighbours: np.ndarray, labels: np.ndarray, k: int) -> Scores:
    """Share of the k nearest neighbours that have the image's label.

    Args:
        neighbours: nearest first, int [N, at least k + 1].
        labels: int [N].
        k: how many are retrieved.
    """
    match = labels[neighbours[:, : k + 1]] == labels[:, None]
    loss = (match[:, :k].astype(float) - match[:, k:]) / k
    return Scores(match[:, :k].mean(axis=1), loss, neighbours[:, :k])


def vote_scores(neighbours: np.ndarray, labels: np.ndarray, k: int, classes: int) -> Scores:
    """Whether the most frequent label among the k nearest neighbours is the image's; of equally frequent the first.

    Args:
        neighbours, labels, k: see `retrieval_scores`.
        classes: number of classes C; labels are 0 to C - 1.
    """
    rows, of = np.arange(len(labels)), labels[neighbours[:, : k + 1]]
    counts = np.zeros((len(labels), classes), np.int32)
    np.add.at(counts, (rows[:, None], of[:, :k]), 1)
    correct = (counts.argmax(axis=1) == labels).astype(float)
    counts[rows, of[:, k]] += 1
    loss = np.empty((len(labels), k))
    for place in range(k):
        counts[rows, of[:, place]] -= 1
        loss[:, place] = correct - (counts.argmax(axis=1) == labels)
        counts[rows, of[:, place]] += 1
    return Scores(correct, loss, neighbours[:, :k])


def neighbour_values(scores: Scores, weights: np.ndarray, signs: np.ndarray) -> NeighbourValues:
    """Values of a weighted sum of scores, and what they owe to each other.

    Args:
        scores: of N images.
        weights: of each image in the statistic [N], e.g. 1 / N for the mean.
        signs: random signs [P, N], centred within strata.
    """
    owed = weights[:, None] * scores.loss  # b, at its neighbours; else it is 0

    def to_neighbours(z: np.ndarray) -> np.ndarray:
        return np.bincount(scores.neighbours.ravel(), (owed * z[:, None]).ravel(), minlength=len(weights))

    learned = np.stack([(owed * z[scores.neighbours]).sum(axis=1) for z in signs])
    taught = np.stack([to_neighbours(z) for z in signs])
    return NeighbourValues(weights * scores.score, Exchange(to_neighbours(np.ones(len(weights))), learned, taught))
