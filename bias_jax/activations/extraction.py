"""One pass over the images fills a bank per layer; activations never leave the device."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.activations.group_means import GroupMeans, GroupSums, add_to_sums, empty_sums
from bias_jax.activations.memory import LayerPlan
from bias_jax.activations.pooling import OUTPUT, PIXELS, layer_rule, pool
from bias_jax.data import FaceDataset, image_batches
from bias_jax.networks import Params, Transform, forward, jit_network
from bias_jax.progress import bar

Bank = dict[str, jax.Array]  # layer -> features [N, D], float32, on the device


class Kept(NamedTuple):
    """What a pass keeps of one layer; decides the program."""

    layer: str
    rule: str
    features: int  # D
    groups: int  # of which only means are kept; 0: the bank


@partial(
    jit_network,
    static_argnames=("name", "wave", "transform", "precision"),
    donate_argnames="kept",
)
def extract_batch(
    kept: tuple[jax.Array | GroupSums, ...],
    params: Params,
    images: jax.Array,
    start: jax.Array,
    labels: dict[int, jax.Array],
    *,
    name: str,
    wave: tuple[Kept, ...],
    transform: Transform,
    precision: str,
) -> tuple[jax.Array | GroupSums, ...]:
    """Add the pooled activations of uint8 images [B, H, W, 3] to what is kept of each layer of a wave.

    Banks get them in rows `start` to `start + B`; sums of groups by `labels`, number in the wave -> int32 [B]. The
    layer `PIXELS` is the normalised image itself, `OUTPUT` what the network returns.

    What is kept is donated, so it is updated in place. A start beyond N - B would be clamped and overwrite good rows:
    allocate the banks with a multiple of B rows.
    """
    normalised = transform.on_device(images)
    output, activations = forward(name, params, normalised, precision=precision)
    activations = {PIXELS: normalised, **activations, OUTPUT: output}
    added: list[jax.Array | GroupSums] = []
    for number, (asked, before) in enumerate(zip(wave, kept, strict=True)):
        features = pool(layer_rule(asked.layer, asked.rule), activations[asked.layer]).astype(jnp.float32)
        if isinstance(before, GroupSums):
            first = before.counts.sum() == 0  # the mean of the first batch is the shift of all
            before = before._replace(shift=jnp.where(first, features.mean(axis=0), before.shift))
            added.append(add_to_sums(before, features, labels[number]))
        else:
            added.append(jax.lax.dynamic_update_slice(before, features, (start, jnp.zeros_like(start))))
    return tuple(added)


def extract_wave(
    images: FaceDataset,
    image_size: tuple[int, int] | None,
    name: str,
    params: Params,
    transform: Transform,
    wave: Sequence[LayerPlan],
    labels: Mapping[int, np.ndarray] | None = None,
    *,
    batch_size: int = 32,
    precision: str = "float32",
) -> list[jax.Array | GroupMeans]:
    """Run all images through a network once, and keep what a wave asks for.

    Args:
        images: N images.
        image_size: (H, W) if all images share it: they are then resized on the device, otherwise on the host.
        name, params, transform: the network and how its images are prepared.
        wave: what to keep.
        labels: number in the wave -> group of each image, int [N], for what is kept as means of groups; negative:
            in no group.
        batch_size: images per forward pass; every batch has this shape, so there is one compilation.
        precision: of the network; what is kept is float32.

    Returns:
        In the order of the wave, banks [N, D] or `GroupMeans` [G, D].
    """
    on_host = None
    if image_size is None:
        on_host, image_size, transform = transform.on_host, (transform.crop, transform.crop), transform.cropped()
    total = len(images)
    rows = -(-total // batch_size) * batch_size
    padding = (0, rows - total)  # in no group
    grouped = {i: np.pad(own.astype(np.int32), padding, constant_values=-1) for i, own in (labels or {}).items()}
    asked = tuple(Kept(plan.name, plan.rule, plan.features, plan.groups) for plan in wave)
    kept = _nothing(asked, rows)
    with bar(f"extract {asked[0].layer} to {asked[-1].layer}", total, "image") as progress:
        for start, batch in image_batches(images, batch_size, image_size, on_host):
            now = {i: own[start : start + batch_size] for i, own in grouped.items()}
            pictures, position, mine = jax.device_put((batch, np.int32(start), now))
            kept = extract_batch(
                kept, params, pictures, position, mine,
                name=name, wave=asked, transform=transform, precision=precision,
            )  # fmt: skip
            jax.block_until_ready(kept)  # keeps the bar honest; the next batch is decoded meanwhile
            progress.update(min(batch_size, total - start))
    parts, found = list(kept), []
    del kept
    while parts:  # layer by layer: no second copy of all
        part = parts.pop(0)
        found.append(_means(part) if isinstance(part, GroupSums) else _first_rows(part, total))
    return found


def extract_bank(
    dataset: FaceDataset,
    image_size: tuple[int, int] | None,
    name: str,
    params: Params,
    transform: Transform,
    wave: Sequence[LayerPlan],
    *,
    batch_size: int = 32,
    precision: str = "float32",
) -> Bank:
    """`extract_wave` of a wave of banks, by layer: layer -> float32 [N, D]."""
    found = extract_wave(dataset, image_size, name, params, transform, wave, batch_size=batch_size, precision=precision)
    return {plan.name: bank for plan, bank in zip(wave, found, strict=True) if isinstance(bank, jax.Array)}


@partial(jax.jit, static_argnums=(0, 1))
def _nothing(wave: tuple[Kept, ...], rows: int) -> tuple[jax.Array | GroupSums, ...]:
    return tuple(
        empty_sums(kept.groups, jnp.zeros(kept.features)) if kept.groups else jnp.zeros((rows, kept.features))
        for kept in wave
    )


@partial(jax.jit, static_argnums=1)
def _first_rows(bank: jax.Array, total: int) -> jax.Array:
    return bank[:total]


@jax.jit
def _means(sums: GroupSums) -> GroupMeans:
    return sums.means()
