"""Neuron activation profiles: how each unit's mean activation in a group differs from its mean over groups."""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.activations import GroupMeans, group_means

Errors = Literal["correct", "confusion"]


@partial(jax.jit, static_argnames=("groups", "size_weighted"))
def group_profiles(bank: jax.Array, labels: jax.Array, groups: int, *, size_weighted: bool = False) -> jax.Array:
    """Group means minus the mean of the group means (Krug et al. 2023, without their 1e-15).

    Args:
        bank: features of one layer [N, D].
        labels: group of each image, int32 [N]; negative: in no group.
        groups: number of groups G.
        size_weighted: weight groups by their images in the mean that is subtracted, instead of all alike.

    Returns:
        [G, D]; groups without images are NaN and do not enter the mean of groups.
    """
    return contrast(group_means(bank, labels, groups), size_weighted=size_weighted)


@partial(jax.jit, static_argnames=("chosen", "size_weighted"))
def contrast(found: GroupMeans, chosen: tuple[int, ...] | None = None, *, size_weighted: bool = False) -> jax.Array:
    """Means of groups [G, D] minus their mean over groups, or over the chosen groups only.

    Args:
        found: mean activations.
        chosen: groups to compare with each other; all others become NaN.
        size_weighted: weight the groups by their images instead of all alike.
    """
    means, counts = found
    if chosen is not None:
        member = jnp.zeros(len(counts), bool).at[np.asarray(chosen, np.int32)].set(True)
        means = jnp.where(member[:, None], means, jnp.nan)
    present = jnp.isfinite(means[:, :1])
    weights = jnp.where(present, counts[:, None] if size_weighted else 1.0, 0.0)
    return means - (weights * jnp.nan_to_num(means)).sum(axis=0, keepdims=True) / weights.sum()


def error_groups(labels: np.ndarray, predicted: np.ndarray, classes: int, mode: Errors) -> np.ndarray:
    """Groups of images by what a probe made of them, int32 [N]; classes int [N] from 0 to C - 1.

    Args:
        labels: true class of each image.
        predicted: the probe's class of each image, out of fold, or errors would be hidden by training.
        classes: number of classes C.
        mode: `correct`: 2 C groups, label * 2 + (1 if correct); `confusion`: C * C groups, label * C + prediction.
    """
    if labels.shape != predicted.shape:
        raise ValueError(f"{len(labels)} labels, but {len(predicted)} predictions")
    if mode == "correct":
        return (labels * 2 + (labels == predicted)).astype(np.int32)
    return (labels * classes + predicted).astype(np.int32)


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
