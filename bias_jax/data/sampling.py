"""Balanced subsets and stratified folds, decided by image names and a seed, so alike on every platform."""

import numpy as np

from bias_jax.data.attributes import Target
from bias_jax.data.dataset import FaceDataset
from bias_jax.randomness import stable_hash


def _shuffled_members(dataset: FaceDataset, strata: Target, seed: int, purpose: str) -> list[np.ndarray]:
    """Rows of each stratum, ordered by a hash of seed, purpose and image name."""
    numbers = strata.encode(dataset.labels)
    members: list[list[int]] = [[] for _ in range(strata.size)]
    for i in sorted(range(len(dataset)), key=lambda i: stable_hash(seed, purpose, dataset.image_names[i])):
        members[numbers[i]].append(i)
    return [np.array(rows, dtype=np.int64) for rows in members]


def numbered(values: np.ndarray) -> np.ndarray:
    """Numbers from 0 of what each value is equal to, in the order of first appearance, int [N].

    >>> numbered(np.array([7, 3, 7, 9])).tolist()
    [0, 1, 0, 2]
    """
    _, first, which = np.unique(values, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which]


def balanced_subset(dataset: FaceDataset, per_group: int, seed: int) -> FaceDataset:
    """At most `per_group` images of every group.

    A smaller subset is contained in a larger one of the same seed, and the choice within one group
    does not depend on the other groups, so learning curves are comparable.
    """
    chosen = [rows[:per_group] for rows in _shuffled_members(dataset, dataset.groups, seed, "subset")]
    # In the order of names, so that every form of the same data gives the same rows.
    return dataset.take(np.array(sorted(np.concatenate(chosen), key=lambda i: dataset.image_names[i])))


def stratified_folds(dataset: FaceDataset, folds: int, seed: int) -> np.ndarray:
    """Fold of each image, int32 [N]: every group is spread evenly, and so is every category of every attribute.

    Even margins matter as much as even groups: a probe that learned nothing predicts the commoner class of its
    training folds, which is the rarer one of the held-out fold, and would score below chance.
    """
    attributes = (*dataset.attributes, *dataset.solo_attributes)
    margins = [dataset.labels[a.name] for a in attributes] + [dataset.group_labels, np.zeros(len(dataset), int)]
    loads = [np.zeros((int(margin.max()) + 1, folds), int) for margin in margins]
    result = np.empty(len(dataset), dtype=np.int32)
    for rows in _shuffled_members(dataset, Target(attributes), seed, "folds"):
        even = len(rows) // folds * folds
        result[rows[:even]] = np.arange(even) % folds
        free = np.ones(folds, bool)
        for row in rows[even:]:  # what is left over goes where its categories are rarest so far
            load = sum(counts[margin[row]] for counts, margin in zip(loads, margins, strict=True))
            fold = int(np.where(free, load, np.iinfo(int).max).argmin())
            result[row], free[fold] = fold, False
            for counts, margin in zip(loads, margins, strict=True):
                counts[margin[row], fold] += 1
    return result
