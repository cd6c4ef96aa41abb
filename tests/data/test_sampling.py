from dataclasses import replace

import numpy as np
import pytest

from bias_jax.data import balanced_subset, stratified_folds
from tests.conftest import toy_dataset

COUNTS = [[40, 7, 3], [12, 0, 25]]


def group_counts(dataset):
    return np.bincount(dataset.group_labels, minlength=dataset.groups.size)


def test_subset_is_balanced_and_nested():
    dataset = toy_dataset(COUNTS)
    small, large = balanced_subset(dataset, 5, seed=1), balanced_subset(dataset, 20, seed=1)
    assert (group_counts(small) == np.minimum(np.ravel(COUNTS), 5)).all()
    assert (group_counts(large) == np.minimum(np.ravel(COUNTS), 20)).all()
    assert set(small.image_names) < set(large.image_names)
    assert set(small.image_names) != set(balanced_subset(dataset, 5, seed=2).image_names)


def test_subset_does_not_depend_on_row_order_or_on_other_groups(rng):
    dataset = toy_dataset(COUNTS)
    shuffled = dataset.take(rng.permutation(len(dataset)))
    assert set(balanced_subset(dataset, 5, 1).image_names) == set(balanced_subset(shuffled, 5, 1).image_names)
    only_first = dataset.take(np.flatnonzero(dataset.group_labels == 0))
    chosen = balanced_subset(dataset, 5, 1)
    assert {n for n, g in zip(chosen.image_names, chosen.group_labels, strict=True) if g == 0} == set(
        balanced_subset(only_first, 5, 1).image_names
    )


@pytest.mark.parametrize("folds", [3, 5, 10])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_folds_are_even_in_every_group_and_margin(folds, seed):
    dataset = toy_dataset([[40, 7, 3], [12, 11, 25], [9, 9, 9]], solo=True, seed=seed)
    assignment = stratified_folds(dataset, folds, seed)
    assert set(assignment) == set(range(folds))

    def spread(values):
        table = np.stack([np.bincount(values[assignment == f], minlength=values.max() + 1) for f in range(folds)])
        return np.ptp(table, axis=0).max()

    assert spread(dataset.group_labels) <= 2  # two strata (coin) per group
    for values in dataset.labels.values():
        assert spread(values) <= 3
    assert (assignment == stratified_folds(dataset, folds, seed)).all()


def test_groups_as_large_as_the_folds_are_in_every_fold():
    dataset = toy_dataset([[10, 5, 6], [7, 5, 30]])
    assignment = stratified_folds(dataset, 5, 0)
    for group in range(6):
        assert set(assignment[dataset.group_labels == group]) == set(range(5))


def with_people(rng, persons=90):
    """Each group's images belong to persons with 1 to 5 images; the second attribute changes within some of them."""
    dataset = toy_dataset([[60, 40, 20], [50, 45, 55]])
    return replace(dataset, people=dataset.labels["first"] * 1000 + rng.integers(0, persons // 2, len(dataset)))


def test_all_images_of_a_person_are_in_one_fold(rng):
    dataset = with_people(rng)
    folds = stratified_folds(dataset, 5, 0)
    assert set(folds) == set(range(5))
    for person in np.unique(dataset.people):
        assert len(np.unique(folds[dataset.people == person])) == 1
    table = np.stack([np.bincount(dataset.labels["first"][folds == f], minlength=2) for f in range(5)])
    assert np.ptp(table, axis=0).max() <= 6 and np.ptp(table.sum(axis=1)) <= 4  # up to 8 images a person
    order = rng.permutation(len(dataset))
    assert (stratified_folds(dataset.take(order), 5, 0) == folds[order]).all()
    assert (stratified_folds(dataset, 5, 1) != folds).any()


def test_everyone_alone_is_as_if_nothing_were_known(rng):
    dataset = toy_dataset(COUNTS)
    alone = replace(dataset, people=rng.permutation(len(dataset)) + 7)
    unknown = replace(dataset, people=np.full(len(dataset), -1))
    assert dataset.persons is alone.persons is unknown.persons is None
    assert (stratified_folds(alone, 4, 0) == stratified_folds(dataset, 4, 0)).all()
    some = replace(dataset, people=np.where(np.arange(len(dataset)) < 2, 5, -1))
    assert some.persons.tolist() == [0, 0, *range(1, len(dataset) - 1)]
    assert some.take(np.arange(2, 9)).persons is None
