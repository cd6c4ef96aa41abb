"""What is mapped of a layer: its units, and how each responds to every group."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from bias_jax.activations import GroupMeans
from bias_jax.audit import Stored
from bias_jax.topomaps import contrast, unit_profiles


class Units(NamedTuple):
    """The units of one layer."""

    profiles: np.ndarray  # what lays them out, float32 [U, G' * h * w], of the G' groups that are mapped
    values: np.ndarray  # what colours them, float32 [G, U]; NaN where a group is not mapped


def units_of(found: GroupMeans, grid: tuple[int, int, int], chosen: Sequence[int] | None, size_weighted: bool) -> Units:
    """From group means to units.

    Args:
        found: mean activations [G, h * w * U].
        grid: (h, w, U).
        chosen: groups that are mapped (None: all); those without images never are.
        size_weighted: weight groups by their images in the mean that is subtracted.
    """
    among = None if chosen is None else tuple(chosen)
    mapped = jax.device_get(found.counts) > 0
    if among is not None:
        mapped &= np.isin(np.arange(len(mapped)), among)
    occurring = np.flatnonzero(mapped)
    profiles = contrast(found, among, size_weighted=size_weighted)
    rows, own = unit_profiles(profiles, occurring, grid)
    values = np.full((len(mapped), grid[2]), np.nan, np.float32)
    values[occurring] = own
    return Units(rows, values)


def units_of_layers(stored: Stored) -> dict[str, np.ndarray]:
    """Profiles [U, D] of the units of every layer of a finished run, all groups weighted alike."""
    found = {}
    for layer in stored.layers:
        arrays = stored.load(layer.name)
        means = GroupMeans(*jax.device_put((arrays["means"], arrays["counts"])))
        found[layer.name] = units_of(means, layer.grid, None, False).profiles
    return found
