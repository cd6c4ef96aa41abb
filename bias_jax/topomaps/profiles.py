"""Neuron activation profiles: how each unit's mean activation in a group differs from its mean over groups."""

from functools import partial
from typing import Literal

import jax
import numpy as np

from bias_jax.activations import GroupMeans, group_means

Errors = Literal["correct", "confusion"]


def group_profiles(bank: jax.Array, labels: jax.Array, groups: int, *, size_weighted: bool = False) -> np.ndarray:
    """Group means minus the mean of the group means (Krug et al. 2023, without their 1e-15).

    Args:
        bank: features of one layer [N, D].
        labels: group of each image, int32 [N]; negative: in no group.
        groups: number of groups G.
        size_weighted: weight groups by their images in the mean that is subtracted, instead of all alike.

    Returns:
        [G, D]; groups without images are NaN and do not enter the mean of groups.
    """
    return contrast(_means(bank, labels, groups), size_weighted=size_weighted)


_means = partial(jax.jit, static_argnames="groups")(group_means)


def contrast(found: GroupMeans, chosen: tuple[int, ...] | None = None, *, size_weighted: bool = False) -> np.ndarray:
    """Means of groups [G, D] minus their mean over groups, or over the chosen groups only; float32, on the host.

    Args:
        found: mean activations.
        chosen: groups to compare with each other; all others become NaN.
        size_weighted: weight the groups by their images instead of all alike.
    """
    means, counts = jax.device_get(found)
    if chosen is not None:
        member = np.isin(np.arange(len(counts)), chosen)
        means = np.where(member[:, None], means, np.float32(np.nan))
    present = np.isfinite(means[:, :1])
    weights = np.where(present, counts[:, None] if size_weighted else 1.0, 0.0).astype(np.float32)
    return means - (weights * np.nan_to_num(means)).sum(axis=0) / weights.sum()


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


def unit_profiles(
    profiles: np.ndarray, occurring: np.ndarray, grid: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """What lays a unit out, and what colours it; on the host, or every layer would compile a program of its own.

    Args:
        profiles: of one layer [G, h * w * U], channels fastest.
        occurring: numbers of the groups that have images; only these are used, G' of them.
        grid: (h, w, U).

    Returns:
        One row per unit with the groups' spatial maps [U, G' * h * w], and the values averaged over space
        [G', U].
    """
    height, width, units = grid
    profiles, occurring = jax.device_get((profiles, occurring))
    spatial = profiles[occurring].reshape(-1, height * width, units)
    return spatial.transpose(2, 0, 1).reshape(units, -1), spatial.mean(axis=1)
