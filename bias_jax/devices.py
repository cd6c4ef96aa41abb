"""The devices that work is spread over, of one process or of several: what lies on all of them, or in parts.

What is spread are whole pieces of work, such as batches of images or probes. A program is the same on every device
whatever their number, and so are the numbers: sums over parts of rows would round otherwise.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
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
    return _mesh_of(chosen)


def own_devices(mesh: jax.sharding.Mesh) -> dict[int, jax.Device]:
    """Place in the mesh -> device, of those that belong to this process."""
    return {i: device for i, device in enumerate(mesh.devices.flat) if device.process_index == jax.process_index()}


def first_device(mesh: jax.sharding.Mesh) -> jax.Device:
    """The first device of this process."""
    return next(iter(own_devices(mesh).values()))


def first_devices(mesh: jax.sharding.Mesh, count: int) -> jax.sharding.Mesh:
    """So many of the devices where more have nothing to do; all of them in a run of several processes."""
    if jax.process_count() > 1 or count >= mesh.size:
        return mesh
    return _mesh_of(list(mesh.devices.flat[:count]))


def replicate(mesh: jax.sharding.Mesh, arrays: Any) -> Any:
    """A tree of arrays, of the host or of a device of this process, whole on every device of the mesh.

    They must be equal in all processes; nothing is sent from one to another.
    """
    sharding, devices = jax.NamedSharding(mesh, jax.P()), own_devices(mesh).values()

    def one(array: Any) -> jax.Array:
        copies = [jax.device_put(array, device) for device in devices]
        return jax.make_array_from_single_device_arrays(copies[0].shape, sharding, copies)

    return jax.tree.map(one, arrays)


def assemble(mesh: jax.sharding.Mesh, parts: Sequence[np.ndarray]) -> jax.Array:
    """One array from equal parts along its first axis, one for each device of the mesh; those of this process."""
    devices = own_devices(mesh).values()
    shape = (mesh.size * len(parts[0]), *parts[0].shape[1:])
    placed = [jax.device_put(part, device) for part, device in zip(parts, devices, strict=True)]
    return jax.make_array_from_single_device_arrays(shape, jax.NamedSharding(mesh, jax.P(AXIS)), placed)


def spread(mesh: jax.sharding.Mesh, arrays: Any) -> Any:
    """A tree of host arrays, cut along their first axis into one equal part for each device of the mesh.

    They must be equal in all processes, and their length a multiple of the number of devices.
    """

    def one(array: np.ndarray) -> jax.Array:
        parts = np.split(array, mesh.size)
        return assemble(mesh, [parts[place] for place in own_devices(mesh)])

    return jax.tree.map(one, arrays)


def on_each(mesh: jax.sharding.Mesh, program: Callable[..., Any], whole: Any, parts: Any) -> Any:
    """``program(whole, parts)`` on every device of this process, of the copy and of the part that lie on it.

    One compiled program with shards for several devices may round otherwise than one for a single device, which XLA
    simplifies in another order. Here each device runs the program of a single one.

    Args:
        mesh: the devices.
        program: jitted; what it returns is a tree of arrays.
        whole: a tree of arrays from `replicate`.
        parts: a tree of arrays from `spread`.

    Returns:
        The trees, joined along their first axis, spread.
    """
    found = [program(_on(device, whole), _on(device, parts)) for device in own_devices(mesh).values()]

    def joined(*shards: jax.Array) -> jax.Array:
        shape = (mesh.size * len(shards[0]), *shards[0].shape[1:])
        return jax.make_array_from_single_device_arrays(shape, jax.NamedSharding(mesh, jax.P(AXIS)), list(shards))

    return jax.tree.map(joined, *found)


def _on(device: jax.Device, arrays: Any) -> Any:
    return jax.tree.map(lambda a: next(s.data for s in a.addressable_shards if s.device == device), arrays)


def gather(mesh: jax.sharding.Mesh, arrays: Any) -> Any:
    """A tree of arrays on a mesh, whole on the first device of this process; all processes must call it.

    They are replicated, or spread along their first axis.
    """
    first = first_device(mesh)

    def one(array: jax.Array) -> jax.Array:
        if not array.is_fully_addressable:
            array = _everywhere(mesh)(array)
        shards = array.addressable_shards
        if array.is_fully_replicated:
            return next(shard.data for shard in shards if shard.device == first)
        order = {device: place for place, device in own_devices(mesh).items()}
        return _joined([jax.device_put(s.data, first) for s in sorted(shards, key=lambda s: order[s.device])])

    return jax.tree.map(one, arrays)


def _mesh_of(devices: Sequence[jax.Device]) -> jax.sharding.Mesh:
    return jax.sharding.Mesh(np.array(devices), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,))


def to_host(mesh: jax.sharding.Mesh, arrays: Any) -> Any:
    """The same as NumPy arrays; all processes must call it."""
    return jax.device_get(gather(mesh, arrays))


@cache
def _everywhere(mesh: jax.sharding.Mesh) -> Any:
    return jax.jit(lambda array: array, out_shardings=jax.NamedSharding(mesh, jax.P()))


@jax.jit
def _joined(parts: list[jax.Array]) -> jax.Array:
    return jnp.concatenate(parts)
