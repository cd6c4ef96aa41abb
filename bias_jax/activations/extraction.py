"""One pass over the images fills a bank per layer; activations never leave the devices.

Every device takes one batch at a time, image i is in batch i // B, and batch b goes to device b % n: the program of a
device is the same whatever their number, and so are the numbers.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.activations.batch_sums import add_batches, means_of, no_sums
from bias_jax.activations.group_means import GroupMeans
from bias_jax.activations.memory import LayerPlan
from bias_jax.activations.pooling import OUTPUT, PIXELS, layer_rule, pool
from bias_jax.data import FaceDataset, image_batches
from bias_jax.devices import AXIS, assemble, device_mesh, first_devices, gather, own_devices, replicate
from bias_jax.networks import Params, Preparation, forward, jit_network, split
from bias_jax.progress import bar

AHEAD = 3  # rounds that may be under way: a device need not wait for the host, and the bar stays honest within that
Bank = dict[str, jax.Array]  # layer -> features [N, D], on the device


class Forward(Protocol):
    """Runs a network that is not in the registry, as `networks.forward` does; hashable, for it decides the program."""

    def __call__(
        self, params: Params, images: jax.Array, *, precision: str
    ) -> tuple[jax.Array | None, Mapping[str, jax.Array]]: ...


class Kept(NamedTuple):
    """What a pass keeps of one layer; decides the program."""

    layer: str
    rule: str
    features: int  # D
    groups: int  # of which only means are kept; 0: the bank
    storage: str  # type of the bank


@partial(
    jit_network,
    static_argnames=("network", "wave", "transform", "precision", "mesh"),
    donate_argnames="banks",
)
def extract_batches(
    banks: tuple[jax.Array, ...],
    params: Params,
    images: jax.Array,
    start: jax.Array,
    *,
    network: str | Forward,
    wave: tuple[Kept, ...],
    transform: Preparation,
    precision: str,
    mesh: jax.sharding.Mesh,
) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...], jax.Array]:
    """One batch on every device of a mesh: pooled activations of each layer of a wave.

    Args:
        banks: of the layers of the wave that are kept whole, [n * R, D], spread; they are donated, and updated in
            place. A start beyond R - B would be clamped and overwrite good rows: R must be a multiple of B.
        params: of the network, replicated.
        images: uint8 [n * B, H, W, 3], spread. The layer `PIXELS` is the prepared image itself, `OUTPUT` what the
            network returns.
        start: int32 [n], spread: the row of its part of the banks from which on a device fills them.
        network: name in the registry, or what runs it.
        wave: what is kept.
        transform: from images to what the network takes.
        precision: of the network.
        mesh: n devices.

    Returns:
        The banks; activations [n * B, D] of the other layers of the wave, spread; and the next start, which is there
        when all the rest is.
    """
    run = partial(forward, network) if isinstance(network, str) else network

    def one(
        banks: tuple[jax.Array, ...], params: Params, images: jax.Array, start: jax.Array
    ) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...], jax.Array]:
        prepared = transform.on_device(images)
        output, activations = run(params, prepared, precision=precision)
        activations = {PIXELS: transform.pixels(prepared), **activations}
        if output is not None:
            activations[OUTPUT] = output
        filled, others, before = [], [], iter(banks)
        for asked in wave:
            features = pool(layer_rule(asked.layer, asked.rule), activations[asked.layer]).astype(jnp.float32)
            if asked.groups:
                others.append(features)
            else:
                filled.append(
                    jax.lax.dynamic_update_slice(
                        next(before), features.astype(asked.storage), (start[0], jnp.zeros_like(start[0]))
                    )
                )
        return tuple(filled), tuple(others), start + len(images)

    spread, same = jax.P(AXIS), jax.P()
    return jax.shard_map(one, mesh=mesh, in_specs=(spread, same, spread, spread), out_specs=spread)(
        banks, params, images, start
    )


def extract_wave(
    images: FaceDataset,
    image_size: tuple[int, int] | None,
    network: str | Forward,
    params: Params,
    transform: Preparation,
    wave: Sequence[LayerPlan],
    labels: Mapping[int, np.ndarray] | None = None,
    *,
    batch_size: int = 32,
    precision: str = "float32",
    mesh: jax.sharding.Mesh | None = None,
) -> list[jax.Array | GroupMeans]:
    """Run all images through a network once, and keep what a wave asks for.

    Args:
        images: N images.
        image_size: (H, W) if all images share it: they are then resized on the device, otherwise on the host.
        network: name in the registry, or what runs it.
        params, transform: of the network, and how its images are prepared.
        wave: what to keep.
        labels: number in the wave -> group of each image, int [N], for what is kept as means of groups; negative:
            in no group.
        batch_size: images per forward pass; every batch has this shape, so there is one compilation.
        precision: of the network.
        mesh: devices, each of which takes a batch at a time (default: the first alone). Of several processes, each
            reads the batches of its own devices only.

    Returns:
        In the order of the wave, banks [N, D] or `GroupMeans` [G, D], on the first device of this process.
    """
    on_host, size, dtype, transform = split(transform, image_size)
    total = len(images)
    mesh = first_devices(mesh or device_mesh(1), -(-total // batch_size))
    rounds = _rounds(total, batch_size, mesh)
    wanted = [row for rows in rounds for row in rows if row < total]
    batches = image_batches(images, batch_size, size, on_host, wanted, dtype)
    blank = np.zeros((batch_size, *size, 3), dtype)
    padding = (0, len(rounds) * mesh.size * batch_size - total)  # in no group
    grouped = {i: np.pad(own.astype(np.int32), padding, constant_values=-1) for i, own in (labels or {}).items()}
    asked = tuple(Kept(plan.name, plan.rule, plan.features, plan.groups, plan.storage) for plan in wave)
    shapes = tuple((kept.features, kept.storage) for kept in asked if not kept.groups)
    banks = _empty(mesh, shapes, len(rounds) * batch_size)
    sums = [no_sums(mesh, kept.groups, kept.features) for kept in asked if kept.groups]
    params, start = replicate(mesh, params), assemble(mesh, [np.zeros(1, np.int32) for _ in own_devices(mesh)])
    groups = [grouped[number] for number, kept in enumerate(asked) if kept.groups]
    under_way: deque[tuple[jax.Array, int]] = deque()
    with bar(f"extract {asked[0].layer} to {asked[-1].layer}", total, "image") as progress:

        def wait(longest: int) -> None:
            while len(under_way) > longest:
                there, passed = under_way.popleft()
                jax.block_until_ready(there)
                progress.update(passed)

        for number, rows in enumerate(rounds):
            pictures = [next(batches)[1] if row < total else blank for row in rows]
            banks, others, start = extract_batches(
                banks, params, assemble(mesh, pictures), start,
                network=network, wave=asked, transform=transform, precision=precision, mesh=mesh,
            )  # fmt: skip
            if groups:
                slot = replicate(mesh, np.int32(number))
                mine = [assemble(mesh, [own[row : row + batch_size] for row in rows]) for own in groups]
                sums = [add_batches(*one, slot, mesh=mesh) for one in zip(sums, others, mine, strict=True)]
            passed = (number + 1) * mesh.size * batch_size
            under_way.append((start, batch_size * mesh.size - max(passed - total, 0)))
            wait(AHEAD)
        wait(0)
    left = list(banks)
    del banks
    found: list[jax.Array | GroupMeans] = []
    for kept in asked:  # layer by layer: no second copy of all
        if kept.groups:
            found.append(means_of(mesh, sums.pop(0)))
        else:
            found.append(_in_order(gather(mesh, left.pop(0)), mesh.size, batch_size, total))
    return jax.block_until_ready(found)


def extract_bank(
    dataset: FaceDataset,
    image_size: tuple[int, int] | None,
    network: str | Forward,
    params: Params,
    transform: Preparation,
    wave: Sequence[LayerPlan],
    *,
    batch_size: int = 32,
    precision: str = "float32",
    mesh: jax.sharding.Mesh | None = None,
) -> Bank:
    """`extract_wave` of a wave of banks, by layer: layer -> [N, D]."""
    found = extract_wave(
        dataset, image_size, network, params, transform, wave, batch_size=batch_size, precision=precision, mesh=mesh
    )
    return {plan.name: bank for plan, bank in zip(wave, found, strict=True) if isinstance(bank, jax.Array)}


def _rounds(total: int, batch_size: int, mesh: jax.sharding.Mesh) -> list[list[int]]:
    """First rows of the batches that this process's devices take at once; beyond the images, of batches of nothing."""
    batches = -(-total // batch_size)
    return [[(first + place) * batch_size for place in own_devices(mesh)] for first in range(0, batches, mesh.size)]


@partial(jax.jit, static_argnums=(0, 1, 2))
def _empty(mesh: jax.sharding.Mesh, shapes: tuple[tuple[int, str], ...], rows: int) -> tuple[jax.Array, ...]:
    """Banks of so many features and this type, with so many rows on each device."""
    spread = jax.NamedSharding(mesh, jax.P(AXIS))
    banks = (jnp.zeros((mesh.size * rows, width), storage) for width, storage in shapes)
    return tuple(jax.lax.with_sharding_constraint(bank, spread) for bank in banks)


@partial(jax.jit, static_argnums=(1, 2, 3))
def _in_order(bank: jax.Array, devices: int, batch_size: int, total: int) -> jax.Array:
    """Rows by device, then batch -> rows of the images [N, D]."""
    features = bank.shape[1]
    return bank.reshape(devices, -1, batch_size, features).swapaxes(0, 1).reshape(-1, features)[:total]
