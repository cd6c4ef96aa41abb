"""One pass over the images with a function that is called as it is: torch, NumPy, or JAX that cannot be traced."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.activations.group_means import GroupMeans, GroupSums, add_to_sums, empty_sums
from bias_jax.activations.memory import LayerPlan
from bias_jax.data import FaceDataset, image_batches
from bias_jax.networks import Preparation, split
from bias_jax.progress import bar

# Prepared images of one batch [B, ...] and a wave -> pooled activations [B, D] of its layers, on the images' device.
Call = Callable[[jax.Array, Sequence[LayerPlan]], Sequence[jax.Array]]


def called_wave(
    images: FaceDataset,
    image_size: tuple[int, int] | None,
    call: Call,
    transform: Preparation,
    wave: Sequence[LayerPlan],
    labels: Mapping[int, np.ndarray] | None = None,
    *,
    batch_size: int,
    device: jax.Device,
) -> list[jax.Array | GroupMeans]:
    """As `extract_wave`, on one device, batch by batch; between the batches nothing is compiled together.

    What is called may copy between host and device as it likes.

    Args:
        images, image_size, transform, wave, labels, batch_size: as of `extract_wave`.
        call: gives the pooled activations of a batch; the last batch is filled up with black pictures.
        device: where images are prepared, and activations kept.
    """
    on_host, size, dtype, transform = split(transform, image_size)
    total = len(images)
    rows = -(-total // batch_size) * batch_size
    grouped = {i: np.pad(own.astype(np.int32), (0, rows - total), constant_values=-1)
               for i, own in (labels or {}).items()}  # fmt: skip
    kept: dict[int, jax.Array | GroupSums] = {}
    with bar(f"extract {wave[0].name} to {wave[-1].name}", total, "image") as progress:
        for start, batch in image_batches(images, batch_size, size, on_host, dtype=dtype):
            prepared = _prepare(jax.device_put(batch, device), transform)
            with jax.transfer_guard("allow"):
                found = call(prepared, wave)
            place = jax.device_put(np.int32(start), device)
            for i, (plan, features) in enumerate(zip(wave, found, strict=True)):
                if plan.groups:
                    own = jax.device_put(grouped[i][start : start + batch_size], device)
                    kept[i] = _add(kept.get(i) or _no_sums(features, plan.groups), features, own)
                else:
                    bank = kept[i] if i in kept else _bank(device, rows, plan)
                    kept[i] = _fill(bank, features, place)
            jax.block_until_ready(kept)
            progress.update(min(batch_size, total - start))
    return [_finished(kept[i], total) for i in range(len(wave))]


@partial(jax.jit, static_argnums=1)
def _prepare(images: jax.Array, transform: Preparation) -> jax.Array:
    return transform.on_device(images)


def _bank(device: jax.Device, rows: int, plan: LayerPlan) -> jax.Array:
    return _zeros(jax.sharding.SingleDeviceSharding(device), (rows, plan.features), plan.storage)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _zeros(place: jax.sharding.Sharding, shape: tuple[int, int], storage: str) -> jax.Array:
    return jax.lax.with_sharding_constraint(jnp.zeros(shape, storage), place)


@partial(jax.jit, donate_argnums=0)
def _fill(bank: jax.Array, features: jax.Array, start: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice(bank, features.astype(bank.dtype), (start, jnp.zeros_like(start)))


@partial(jax.jit, static_argnums=1)
def _no_sums(features: jax.Array, groups: int) -> GroupSums:
    return empty_sums(groups, features.mean(axis=0))


_add = jax.jit(add_to_sums)


@partial(jax.jit, static_argnums=1)
def _finished(kept: jax.Array | GroupSums, total: int) -> jax.Array | GroupMeans:
    return kept.means() if isinstance(kept, GroupSums) else kept[:total]
