"""Features that were computed elsewhere as what is audited: rows in the place of pictures.

Values go block by block from the file to the device, or stay on it. An image is called as its row of the features.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.activations import GroupMeans, GroupSums, LayerPlan, add_to_sums, empty_sums, group_means, pool
from bias_jax.activations.pooling import layer_rule
from bias_jax.audit.images import ImageSet
from bias_jax.audit.protocol import Choice
from bias_jax.devices import first_device
from bias_jax.errors import InputError
from bias_jax.features import ArrayValues, Features, Values, as_float32, block_rows, needed_blocks
from bias_jax.progress import bar


@dataclass(frozen=True)
class FeatureSubject:
    """Layers of N rows, and no network."""

    features: Features
    title: str = "computed elsewhere"
    sha256: str = ""  # what is in the rows is part of the data's digest, as pixels are

    @property
    def model(self) -> str:
        return self.features.model

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: (1, *values.shape[1:]) for name, values in self.features.layers.items()}

    @cached_property
    def _row_of(self) -> Mapping[str, int]:
        return {name: row for row, name in enumerate(self.features.names)}

    def rows(self, names: Sequence[str]) -> np.ndarray:
        """Rows of the features, int [n], by names.

        Raises:
            InputError: there is no such row.
        """
        if unknown := [name for name in names if name not in self._row_of]:
            remedy = "call images as rows of the features are called: by identifiers, or numbers from 0"
            raise InputError(f"has no row {unknown[0]!r}", file=self.features.source, remedy=remedy)
        return np.array([self._row_of[name] for name in names], np.int64)

    def choice(self, requested: tuple[str, ...]) -> Choice:
        """All layers there are, or those that are asked for; neither pixels nor an output."""
        return Choice(requested or tuple(self.features.layers), bool(requested), output=False, pixels=False)

    def extract(
        self, images: ImageSet, wave: Sequence[LayerPlan], labels: Mapping[int, np.ndarray], *, batch_size: int,
        precision: str, mesh: jax.sharding.Mesh,
    ) -> list[jax.Array | GroupMeans]:  # fmt: skip
        rows, device = self.rows(images.pictures.image_names), first_device(mesh)
        return [_kept(self.features.layers[p.name], rows, p, labels.get(i), device) for i, p in enumerate(wave)]


def _kept(
    values: Values, rows: np.ndarray, plan: LayerPlan, groups: np.ndarray | None, device: jax.Device
) -> jax.Array | GroupMeans:
    """What a wave keeps of one layer: a bank [n, D], or means of groups."""
    rule, count = layer_rule(plan.name, plan.rule), len(rows)
    if isinstance(values, ArrayValues) and isinstance(values.array, jax.Array):
        there = _of_device(values.array, rows, rule, plan.storage, device)
        if groups is None:
            return there
        return _group_means(there, jax.device_put(groups.astype(np.int32), device), plan.groups)
    size = block_rows(tuple(values.shape))
    bank = None if groups is not None else jax.device_put(_empty(count, plan.features, plan.storage), device)
    sums: GroupSums | None = None
    with bar(f"read {plan.name}", count, "row") as progress:
        for block, places in placed_blocks(values, rows):
            # A block of one shape; what is beyond its rows, or in no image, goes nowhere.
            padded = np.concatenate([block, np.repeat(block[-1:], size - len(block), axis=0)])
            placed = np.full(size, count, np.int32)
            placed[: len(places)] = np.where(places < 0, count, places)
            features, where = jax.device_put((padded, placed), device)
            if bank is not None:
                bank = _fill(bank, features, where, rule)
                jax.block_until_ready(bank)  # blocks must not queue up in memory
            elif groups is not None:
                own = np.append(groups, -1).astype(np.int32)[placed]
                sums = _add(sums, features, jax.device_put(own, device), rule, plan.groups)
                jax.block_until_ready(sums)
            progress.update(int((places >= 0).sum()))
    if bank is not None:
        return bank
    assert sums is not None
    return _means(sums)


def placed_blocks(values: Values, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of a layer in float32 [b, ...], and for each of their rows its place among `rows`, int [b]; -1: none.

    Args:
        values: N rows.
        rows: those that are needed, each once, int [n], in any order.
    """
    total = values.shape[0]
    place = np.full(total, -1, np.int64)
    place[rows] = np.arange(len(rows))
    size = block_rows(tuple(values.shape))
    for first, block in values.blocks(size, needed_blocks(rows, total, size)):
        yield as_float32(block), place[first : first + len(block)]


def _of_device(array: jax.Array, rows: np.ndarray, rule: str, storage: str, device: jax.Device) -> jax.Array:
    """Rows of an array of JAX; where all are wanted, the array itself if it lies there already."""
    if array.ndim == 2 and array.dtype == storage and np.array_equal(rows, np.arange(len(array))):
        return jax.device_put(array, device)
    return _taken(*jax.device_put((array, rows.astype(np.int32)), device), rule, storage)


_group_means = jax.jit(group_means, static_argnums=2)


@partial(jax.jit, static_argnums=(2, 3))
def _taken(array: jax.Array, rows: jax.Array, rule: str, storage: str) -> jax.Array:
    return pool(rule, array[rows].astype(jnp.float32)).astype(storage)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _empty(rows: int, features: int, storage: str) -> jax.Array:
    return jnp.zeros((rows, features), storage)


@partial(jax.jit, static_argnums=3, donate_argnums=0)
def _fill(bank: jax.Array, block: jax.Array, places: jax.Array, rule: str) -> jax.Array:
    return bank.at[places].set(pool(rule, block).astype(bank.dtype), mode="drop")


def _add(sums: GroupSums | None, block: jax.Array, groups: jax.Array, rule: str, size: int) -> GroupSums:
    return _first(block, groups, rule, size) if sums is None else _more(sums, block, groups, rule)


@partial(jax.jit, static_argnums=(2, 3))
def _first(block: jax.Array, groups: jax.Array, rule: str, size: int) -> GroupSums:
    features = pool(rule, block)
    return add_to_sums(empty_sums(size, features.mean(axis=0)), features, groups)


@partial(jax.jit, static_argnums=3)
def _more(sums: GroupSums, block: jax.Array, groups: jax.Array, rule: str) -> GroupSums:
    return add_to_sums(sums, pool(rule, block), groups)


@jax.jit
def _means(sums: GroupSums) -> GroupMeans:
    return sums.means()
