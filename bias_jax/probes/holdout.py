"""Which images are trained on and which are held out, drawn once for all probes of a recipe."""

from typing import NamedTuple

import jax
import numpy as np

from bias_jax.probes.recipe_config import RecipeConfig
from bias_jax.randomness import stable_hash
from bias_jax.statistics import home_groups


class Labels(NamedTuple):
    """Who is trained on and who is held out; negative labels are in neither."""

    training: jax.Array  # class numbers, int32 [N + 1, T]; the last row, all -1, fills the last batch
    images: jax.Array  # the training images, int32 [M]
    validation: jax.Array  # class numbers, likewise
    held_out: jax.Array  # the held-out images, int32 [V]
    present: tuple[jax.Array, ...]  # per target: whether the class occurs in training, bool [C]


def draw_held_out(table: np.ndarray, config: RecipeConfig, seed: int, people: np.ndarray | None = None) -> np.ndarray:
    """Whether each image is held out, bool [N]; stratified: every group loses its share, up to one image.

    Args:
        table: class numbers, int [N, T].
        config: the share, and whether it is stratified.
        seed: of the draw.
        people: person of each image, 0 to K - 1, int [N]: persons are drawn, with all their images; a person counts in
            the group of most of them. None: all differ.
    """
    if people is not None:
        groups = np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)
        return draw_held_out(home_groups(groups, people)[:, None], config, seed)[people]
    rng = np.random.default_rng(stable_hash(seed, "recipe", "split"))
    order = rng.permutation(len(table))
    if config.split == "stratified":
        group = np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)
        order = order[np.argsort(group[order], kind="stable")]
    # Systematic sampling: equal steps through the order, from a random start.
    position = np.floor(np.arange(len(table) + 1) * config.held_out + rng.random())
    held_out = np.zeros(len(table), bool)
    held_out[order] = np.diff(position) > 0
    return held_out


def split_labels(table: np.ndarray, targets: list[str], held_out: np.ndarray) -> Labels:
    """Labels on the device."""
    if held_out.shape != (len(table),) or held_out.dtype != bool:
        raise ValueError(f"validation must be bool [{len(table)}], got {held_out.dtype} {list(held_out.shape)}")
    for name, part in (("training", table[~held_out]), ("validation", table[held_out])):
        for target, known in zip(targets, (part >= 0).any(axis=0), strict=True):
            if not known:
                raise ValueError(f"target {target!r} has no {name} image with a known label")
    table = np.pad(table, ((0, 1), (0, 0)), constant_values=-1)
    parts = []
    for mine in (~held_out, held_out):
        own = np.where(np.append(mine, False)[:, None], table, -1)
        parts += [own, np.flatnonzero((own >= 0).any(axis=1)).astype(np.int32)]
    present = [np.isin(np.arange(column.max() + 1), own) for column, own in zip(table.T, parts[0].T, strict=True)]
    return Labels(*jax.device_put((*parts, tuple(present))))
