"""Fixes for groups that are recognised worse: weights, balanced sampling, and thresholds of their own.

None of them sees a test image. Weights and samples give every group the same say in training, whatever its size
(Kamiran & Calders 2012 for groups alone; compared in Idrissi et al. 2022, arXiv 2110.14503). Thresholds of each group
(Hardt, Price & Srebro 2016) need to know the group of whoever is judged.
"""

from collections.abc import Callable

import numpy as np

from bias_jax.randomness import stable_hash

REWEIGHTED, BALANCED, THRESHOLDS = "reweighted", "balanced", "thresholds"
MENDS = (REWEIGHTED, BALANCED, THRESHOLDS)
LEAST = 10  # tuning images whose label is known, for a threshold of their group's own
Choose = Callable[[np.ndarray, np.ndarray], np.ndarray]  # scores and labels [n, C] -> thresholds [C]


def group_weights(groups: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Weights float32 [N] with which all groups of some images count the same; their mean over these is 1, 0 elsewhere.

    Args:
        groups: of all images, int [N].
        rows: of the training images.

    >>> group_weights(np.array([0, 0, 1, 1]), np.array([0, 1, 2])).tolist()
    [0.75, 0.75, 1.5, 0.0]
    """
    present, which, counts = np.unique(groups[rows], return_inverse=True, return_counts=True)
    found = np.zeros(len(groups), np.float32)
    found[rows] = (len(rows) / (len(present) * counts))[which]
    return found


def balanced_rows(groups: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """As many rows as there are training images, with as many of every group, ascending.

    Within a group, no image is drawn twice more often than another one is drawn; numbers of groups differ by 1 at most.

    Args:
        groups: of all images, int [N].
        rows: of the training images.
        seed: of the draw.
    """
    rng = np.random.default_rng(stable_hash(seed, "balanced groups"))
    present = np.unique(groups[rows])
    sizes = np.full(len(present), len(rows) // len(present))
    sizes[rng.permutation(len(present))[: len(rows) % len(present)]] += 1
    found = []
    for group, size in zip(present, sizes, strict=True):
        own = rows[groups[rows] == group]
        often, rest = divmod(int(size), len(own))
        found += [np.repeat(own, often), rng.permutation(own)[:rest]]
    return np.sort(np.concatenate(found))


def group_thresholds(
    choose: Choose, scores: np.ndarray, labels: np.ndarray, groups: np.ndarray, of: np.ndarray
) -> np.ndarray:
    """Thresholds for images of some groups, each chosen on the tuning images of its group, [m, C].

    Where all tuning images of a group have a label, or none, or it is known of fewer than `LEAST`, the threshold is
    that of all tuning images: a label that the group is made of would be given for the group, whatever the scores, and
    of a handful, only groups whose few images happen to have the label would get a threshold, a low one.

    Args:
        choose: rule that chooses thresholds, see `decisions`.
        scores: of the tuning images [n, C].
        labels: 0, 1 or NaN [n, C].
        groups: of the tuning images, int [n].
        of: groups of the images that are judged, int [m].
    """
    common = choose(scores, labels)
    found = np.broadcast_to(common, (len(of), len(common))).copy()
    for group in np.unique(of):
        mine = groups == group
        if mine.any():
            present, absent = ((labels[mine] == value).sum(axis=0) for value in (1, 0))
            decidable = (present > 0) & (absent > 0) & (present + absent >= LEAST)
            found[of == group] = np.where(decidable, choose(scores[mine], labels[mine]), common)
    return found
