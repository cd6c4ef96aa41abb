"""Sums of groups over batches that several devices hold at once: each device keeps the sums of some of the features.

The batches are added one after another in their order, so that the sums are the same to the last bit on any number of
devices. That takes the memory of one device's sums, however many devices there are.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bias_jax.activations.group_means import GroupMeans
from bias_jax.devices import AXIS, gather


class BatchSums(NamedTuple):
    """Running sums of G groups on n devices; w features each, n w >= D."""

    sums: jax.Array  # of activations minus shift [n * G, w], spread
    counts: jax.Array  # images per group [G], replicated
    shift: jax.Array  # near the mean activation [D], replicated; see `GroupSums`


PLACES: Any = BatchSums._make([jax.P(AXIS), jax.P(), jax.P()])


@partial(jax.jit, static_argnums=(0, 1, 2))
def no_sums(mesh: jax.sharding.Mesh, groups: int, features: int) -> BatchSums:
    """Nothing added yet."""
    sums = jnp.zeros((mesh.size * groups, -(-features // mesh.size)))
    places = [jax.NamedSharding(mesh, place) for place in PLACES]
    return BatchSums(*jax.lax.with_sharding_constraint([sums, jnp.zeros(groups), jnp.zeros(features)], places))


@partial(jax.jit, static_argnames="mesh", donate_argnames="before")
def add_batches(
    before: BatchSums, features: jax.Array, labels: jax.Array, slot: jax.Array, *, mesh: jax.sharding.Mesh
) -> BatchSums:
    """Add one batch of every device.

    Args:
        before: what was added so far.
        features: [n * B, D], spread; the batches of the devices in their order.
        labels: groups int32 [n * B], spread; rows with a negative group are left out.
        slot: how many batches every device has had before; the mean of the very first is the shift of all.
        mesh: n devices.
    """
    groups = len(before.counts)

    def one(before: BatchSums, features: jax.Array, labels: jax.Array, slot: jax.Array) -> BatchSums:
        first = jax.lax.axis_index(AXIS) == 0
        mean = jax.lax.psum(jnp.where(first, features.mean(axis=0), 0.0), AXIS)
        shift = jnp.where(slot == 0, mean, before.shift)
        mine = jax.ops.segment_sum(features - shift[None], labels, groups)
        number = jax.ops.segment_sum(jnp.ones(labels.shape), labels, groups)
        width = before.sums.shape[1]
        mine = jnp.pad(mine, ((0, 0), (0, mesh.size * width - mine.shape[1])))
        parts = jax.lax.all_to_all(mine, AXIS, split_axis=1, concat_axis=0, tiled=True)  # of all batches, own features
        # Kept apart from what made them: fused with it, a sum could be rounded in another order on one device alone.
        sums, parts = jax.lax.optimization_barrier((before.sums, parts.reshape(mesh.size, groups, width)))
        sums, _ = jax.lax.scan(lambda total, part: (total + part, None), sums, parts)
        return BatchSums(sums, before.counts + jax.lax.psum(number, AXIS), shift)  # counts are exact in any order

    places = (PLACES, jax.P(AXIS), jax.P(AXIS), jax.P())
    return jax.shard_map(one, mesh=mesh, in_specs=places, out_specs=PLACES)(before, features, labels, slot)


def means_of(mesh: jax.sharding.Mesh, sums: BatchSums) -> GroupMeans:
    """Means of what was added, relative to the shift, on the first device of this process."""
    return _means(gather(mesh, sums), mesh.size)


@partial(jax.jit, static_argnums=1)
def _means(found: BatchSums, devices: int) -> GroupMeans:
    groups, features = len(found.counts), len(found.shift)
    sums = found.sums.reshape(devices, groups, -1).swapaxes(0, 1).reshape(groups, -1)[:, :features]
    return GroupMeans(sums / found.counts[:, None], found.counts)
