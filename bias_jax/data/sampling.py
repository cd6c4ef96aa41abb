"""Balanced subsets and stratified folds, decided by image names and a seed, so alike on every platform."""

import numpy as np

from bias_jax.data.dataset import FaceDataset
from bias_jax.randomness import stable_hash


def _shuffled_members(dataset: FaceDataset, seed: int, purpose: str) -> list[np.ndarray]:
    """Rows of each group, ordered by a hash of seed, purpose and image name."""
    groups = dataset.group_labels
    order = sorted(range(len(dataset)), key=lambda i: stable_hash(seed, purpose, dataset.image_names[i]))
    members: list[list[int]] = [[] for _ in range(dataset.groups.size)]
    for i in order:
        members[groups[i]].append(i)
    return [np.array(rows, dtype=np.int64) for rows in members]


def balanced_subset(dataset: FaceDataset, per_group: int, seed: int) -> FaceDataset:
    """At most `per_group` images of every group.

    A smaller subset is contained in a larger one of the same seed, and the choice within one group
    does not depend on the other groups, so learning curves are comparable.
    """
    chosen = [rows[:per_group] for rows in _shuffled_members(dataset, seed, "subset")]
    return dataset.take(np.sort(np.concatenate(chosen)))


def stratified_folds(dataset: FaceDataset, folds: int, seed: int) -> np.ndarray:
    """Fold of each image, int32 [N]: fold sizes differ by at most one, within every group as well."""
    result = np.empty(len(dataset), dtype=np.int32)
    dealt = 0
    for rows in _shuffled_members(dataset, seed, "folds"):
        result[rows] = (np.arange(len(rows)) + dealt) % folds
        dealt += len(rows)  # dealing on where the last group stopped keeps the folds equally large
    return result
