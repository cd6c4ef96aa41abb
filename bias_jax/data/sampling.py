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
    training folds, which is the rarer one of the held-out fold, and would score below chance. All images of a person
    are in one fold; then groups are as even as the persons' numbers of images allow.
    """
    attributes = (*dataset.attributes, *dataset.solo_attributes)
    margins = [dataset.labels[a.name] for a in attributes] + [dataset.group_labels, np.zeros(len(dataset), int)]
    loads = [np.zeros((int(margin.max()) + 1, folds), int) for margin in margins]
    if dataset.persons is not None:
        return _folds_of_persons(dataset, dataset.persons, margins, loads, seed)
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


def _folds_of_persons(
    dataset: FaceDataset, persons: np.ndarray, margins: list[np.ndarray], loads: list[np.ndarray], seed: int
) -> np.ndarray:
    """Persons of many images first, one after the other, go where their group, then their categories, are rarest."""
    images = [np.flatnonzero(persons == k) for k in range(persons.max() + 1)]
    groups = dataset.group_labels
    home = [int(np.bincount(groups[own]).argmax()) for own in images]
    names = [min(dataset.image_names[i] for i in own) for own in images]
    result = np.empty(len(dataset), dtype=np.int32)
    for k in sorted(range(len(images)), key=lambda k: (-len(images[k]), home[k], stable_hash(seed, "folds", names[k]))):
        own = images[k]
        load = sum(counts[margin[own]].sum(axis=0) for counts, margin in zip(loads, margins, strict=True))
        same = loads[-2][home[k]]  # of the margin of groups
        fold = int(np.lexsort((load, same))[0])
        result[own] = fold
        for counts, margin in zip(loads, margins, strict=True):
            counts[:, fold] += np.bincount(margin[own], minlength=len(counts))
    return result
