"""Mean activations of groups, from a bank at once or from running sums of batches where N activations would not fit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class GroupMeans(NamedTuple):
    """Mean activations of groups, up to a shift that all share: only differences between groups are of use."""

    means: jax.Array  # [G, D]; NaN for groups without images
    counts: jax.Array  # images per group [G]


class GroupSums(NamedTuple):
    """Running sums of batches, from which group means follow; O(G D) memory however many images there are."""

    sums: jax.Array  # of activations minus shift [G, D]
    counts: jax.Array  # [G]
    shift: jax.Array  # [D]; near the mean, it keeps float32 sums of large, nearly equal activations exact

    def means(self) -> GroupMeans:
        """Means of what was added so far, relative to the shift."""
        return GroupMeans(self.sums / self.counts[:, None], self.counts)


def group_means(bank: jax.Array, labels: jax.Array, groups: int) -> GroupMeans:
    """Means of a bank [N, D] per group int32 [N], relative to the mean of the bank."""
    bank = bank.astype(jnp.float32)
    return add_to_sums(empty_sums(groups, bank.mean(axis=0)), bank, labels).means()


def empty_sums(groups: int, shift: jax.Array) -> GroupSums:
    """Nothing added yet; shift [D] is anything near the mean activation, e.g. the mean of the first batch."""
    return GroupSums(jnp.zeros((groups, len(shift))), jnp.zeros(groups), shift)


def add_to_sums(total: GroupSums, batch: jax.Array, labels: jax.Array) -> GroupSums:
    """Add a batch [B, D] with groups int32 [B]; rows with a negative group (padding) are left out."""
    groups = len(total.counts)
    sums = total.sums + jax.ops.segment_sum(batch - total.shift[None], labels, groups)
    counts = total.counts + jax.ops.segment_sum(jnp.ones(labels.shape), labels, groups)
    return GroupSums(sums, counts, total.shift)
