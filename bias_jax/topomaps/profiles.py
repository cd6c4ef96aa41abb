"""Neuron activation profiles: how each unit's mean activation in a group differs from its mean over groups."""

from functools import partial

import jax
import jax.numpy as jnp


@partial(jax.jit, static_argnames="groups")
def group_profiles(bank: jax.Array, labels: jax.Array, groups: int) -> jax.Array:
    """Group means minus the unweighted mean of the group means (Krug et al. 2023, without their 1e-15).

    Args:
        bank: features of one layer [N, D].
        labels: group of each image, int32 [N].
        groups: number of groups G.

    Returns:
        [G, D]; groups without images are NaN and do not enter the mean of groups.
    """
    counts = jax.ops.segment_sum(jnp.ones(labels.shape), labels, groups)
    # Centring first keeps float32 sums of large, nearly equal activations exact.
    sums = jax.ops.segment_sum(bank - bank.mean(axis=0), labels, groups)
    means = sums / counts[:, None]
    return means - jnp.nanmean(means, axis=0)


@partial(jax.jit, static_argnames="grid")
def unit_profiles(profiles: jax.Array, occurring: jax.Array, grid: tuple[int, int, int]) -> tuple[jax.Array, jax.Array]:
    """What lays a unit out, and what colours it.

    Args:
        profiles: of one layer [G, h * w * U], channels fastest.
        occurring: numbers of the groups that have images; only these are used, G' of them.
        grid: (h, w, U).

    Returns:
        One row per unit with the groups' spatial maps [U, G' * h * w], and the values averaged over space
        [G', U].
    """
    height, width, units = grid
    spatial = profiles[occurring].reshape(-1, height * width, units)
    return spatial.transpose(2, 0, 1).reshape(units, -1), spatial.mean(axis=1)
