"""The devices that work is spread over, of one process or of several: what lies on all of them, or in parts.

What is spread are whole pieces of work, such as batches of images or probes. A program is the same on every device
whatever their number, and so are the numbers: sums over parts of rows would round otherwise.
"""

from functools import cache
from typing import Any

import jax
import numpy as np

from bias_jax.errors import InputError

AXIS = "devices"  # the only axis of every mesh


def device_mesh(count: int | None = None) -> jax.sharding.Mesh:
    """The first devices there are, of all processes; all of them by default.

    Raises:
        InputError: there are fewer, or a process would be left without any.
    """
    found = jax.devices()
    if count is not None and not 1 <= count <= len(found):
        there = f"{len(found)} {found[0].platform} device{'s' if len(found) > 1 else ''}"
        raise InputError(f"--devices {count}, but there is {there}", remedy="leave --devices out to use all there are")
    chosen = found[:count]
    if len({device.process_index for device in chosen}) < jax.process_count():
        problem = f"--devices {count} leaves one of the {jax.process_count()} processes without a device"
        raise InputError(problem, remedy="leave --devices out, or start fewer processes")
    return jax.make_mesh((len(chosen),), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,), devices=chosen)


def own_devices(mesh: jax.sharding.Mesh) -> dict[int, jax.Device]:
    """Place in the mesh -> device, of those that belong to this process."""
    return {i: device for i, device in enumerate(mesh.devices.flat) if device.process_index == jax.process_index()}


def first_device(mesh: jax.sharding.Mesh) -> jax.Device:
    """The first device of this process."""
    return next(iter(own_devices(mesh).values()))


def replicate(mesh: jax.sharding.Mesh, arrays: Any) -> Any:
    """A tree of arrays, of the host or of a device of this process, whole on every device of the mesh.

    They must be equal in all processes; nothing is sent from one to another.
    """
    sharding, devices = jax.NamedSharding(mesh, jax.P()), own_devices(mesh).values()

    def one(array: Any) -> jax.Array:
        copies = [jax.device_put(array, device) for device in devices]
        return jax.make_array_from_single_device_arrays(copies[0].shape, sharding, copies)

    return jax.tree.map(one, arrays)


def spread(mesh: jax.sharding.Mesh, arrays: Any) -> Any:
    """A tree of host arrays, cut along their first axis into one equal part for each device of the mesh.

    They must be equal in all processes, and their length a multiple of the number of devices.
    """
    sharding, devices = jax.NamedSharding(mesh, jax.P(AXIS)), own_devices(mesh)

    def one(array: np.ndarray) -> jax.Array:
        size, rest = divmod(len(array), mesh.size)
        assert not rest, f"{len(array)} rows on {mesh.size} devices"
        parts = [jax.device_put(array[i * size : (i + 1) * size], device) for i, device in devices.items()]
        return jax.make_array_from_single_device_arrays(array.shape, sharding, parts)

    return jax.tree.map(one, arrays)


def gather(mesh: jax.sharding.Mesh, arrays: Any) -> Any:
    """A tree of arrays on a mesh, whole on the first device of this process. All processes must call it."""
    first = first_device(mesh)

    def one(array: jax.Array) -> jax.Array:
        if array.is_fully_addressable:
            return jax.device_put(array, first)
        shards = _everywhere(mesh)(array).addressable_shards
        return next(shard.data for shard in shards if shard.device == first)

    return jax.tree.map(one, arrays)


@cache
def _everywhere(mesh: jax.sharding.Mesh) -> Any:
    return jax.jit(lambda array: array, out_shardings=jax.NamedSharding(mesh, jax.P()))
