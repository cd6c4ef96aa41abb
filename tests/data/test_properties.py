"""Properties of sampler and folds over arbitrary data sets."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bias_jax.data import balanced_subset, stratified_folds
from tests.conftest import toy_dataset

COUNTS = st.lists(st.lists(st.integers(0, 17), min_size=2, max_size=2), min_size=1, max_size=4).filter(
    lambda rows: sum(map(sum, rows)) >= 5
)


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, per_group=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_subsets_are_balanced_disjoint_nested_and_deterministic(counts, per_group, seed):
    dataset = toy_dataset(counts)
    subset = balanced_subset(dataset, per_group, seed)
    found = np.bincount(subset.group_labels, minlength=dataset.groups.size)
    assert (found == np.minimum(np.ravel(counts), per_group)).all()
    assert len(set(subset.image_names)) == len(subset)
    assert subset.image_names == balanced_subset(dataset, per_group, seed).image_names
    assert set(subset.image_names) <= set(balanced_subset(dataset, per_group + 3, seed).image_names)


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, folds=st.integers(2, 5), seed=st.integers(0, 10**6))
def test_folds_partition_every_group_evenly(counts, folds, seed):
    dataset = toy_dataset(counts)
    assignment = stratified_folds(dataset, folds, seed)
    assert ((assignment >= 0) & (assignment < folds)).all()
    for group in range(dataset.groups.size):
        sizes = np.bincount(assignment[dataset.group_labels == group], minlength=folds)
        assert np.ptp(sizes) <= 1
    assert (assignment == stratified_folds(dataset, folds, seed)).all()
