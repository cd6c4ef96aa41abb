"""The memory plan: how many bytes each layer takes, and which layers are extracted together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax

from bias_jax.activations.host_memory import host_memory
from bias_jax.activations.pooling import OUTPUT, PIXELS, grid_shape, layer_rule
from bias_jax.errors import InputError
from bias_jax.networks import Params, Preparation, class_count, layer_shapes, network

GIB = 2**30
STORAGES = {"float32": 4, "bfloat16": 2}  # how banks lie in memory: bytes of a number


class Need(NamedTuple):
    """What is to be kept of one layer: the activations of N images, or their means over groups."""

    layer: str
    rule: str  # of `pooling.RULES`
    groups: int = 0  # number of groups G of which only means are kept; 0: all N activations are
    owner: str = ""  # whose groups these are


@dataclass(frozen=True)
class LayerPlan:
    """What one layer takes."""

    name: str
    grid: tuple[int, int, int]  # (h, w, U); features D = h * w * U
    bytes: int
    rule: str = "mean"
    groups: int = 0  # of which only means are kept; 0: the whole bank
    owner: str = ""  # whose groups these are
    storage: str = "float32"  # type of what is kept

    @property
    def features(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]


@dataclass(frozen=True)
class MemoryPlan:
    """Waves of layers; each wave is one pass over the images."""

    waves: tuple[tuple[LayerPlan, ...], ...]
    images: int
    budget: int  # bytes for activations, of the first device: all of a wave ends there
    devices: int = 1

    @property
    def layers(self) -> tuple[LayerPlan, ...]:
        return tuple(layer for wave in self.waves for layer in wave)

    def __str__(self) -> str:
        several = f" on {self.devices} devices" if self.devices > 1 else ""
        lines = [f"memory plan: {self.images} images{several}, budget {self.budget / GIB:.2f} GiB for activations"]
        for number, wave in enumerate(self.waves, start=1):
            total = sum(layer.bytes for layer in wave) / GIB
            lines.append(f"  wave {number} of {len(self.waves)}: {total:.3f} GiB")
            if several:
                lines[-1] += f" on the first device; {total / self.devices:.3f} on each while images pass"
            for layer in wave:
                h, w, units = layer.grid
                lines.append(
                    f"    {layer.name:<14} {h}x{w}x{units} = {layer.features:>7,} features  {layer.bytes / GIB:.3f} GiB"
                    + (f" in {layer.storage}" if layer.storage != "float32" else "")
                    + (f"  means of {layer.groups} groups" if layer.groups else "")
                )
        return "\n".join(lines)


def activation_shapes(name: str, params: Params, transform: Preparation) -> dict[str, tuple[int, ...]]:
    """Shape for one image of `PIXELS`, every activation in depth order, and `OUTPUT` if there is one; nothing is run.

    Args:
        name, params, transform: the network and how its images are prepared.
    """
    shape, dtype = (1, *transform.input.shape), transform.input.dtype
    pixels = jax.eval_shape(transform.pixels, jax.ShapeDtypeStruct(shape, dtype)).shape
    classes = class_count(name, params)
    output = {OUTPUT: (1, classes)} if classes else {}
    return {PIXELS: pixels, **layer_shapes(name, params, shape, dtype), **output}


def plan_memory(
    name: str,
    params: Params,
    *,
    images: int,
    layers: tuple[str, ...] | None = None,
    rule: str = "mean",
    transform: Preparation | None = None,
    budget_gib: float | None = None,
) -> MemoryPlan:
    """Pack the banks of layers (default: the network's), in depth order, into waves that fit the budget.

    Raises:
        InputError: if one layer alone does not fit, or a layer does not exist.
    """
    net = network(name)
    shapes = activation_shapes(name, params, transform or net.preparation)
    needs = [Need(layer, rule) for layer in layers or [layer for layer in net.layers if layer in shapes]]
    return pack(shapes, needs, images, budget_gib, of=name)


def pack(
    shapes: Mapping[str, tuple[int, ...]], needs: Sequence[Need], images: int, budget_gib: float | None, *, of: str,
    storage: str = "float32",
) -> MemoryPlan:  # fmt: skip
    """Pack what is needed, in the order of the layers in `shapes`, into waves that fit the budget.

    Args:
        shapes: layer -> shape of its activation, [1, H, W, U] or [1, U].
        needs: what to keep.
        images: N.
        budget_gib: memory for all activations of a wave (default: a quarter of the device's).
        of: name of the network, for messages.
        storage: type of banks, a key of `STORAGES`; what the network returns, and means of groups, are float32.

    Raises:
        InputError: if one layer alone does not fit, or a layer does not exist.
    """
    for need in needs:
        if need.layer not in shapes:
            raise InputError(f"{of} has no layer {need.layer!r}", remedy=f"choose among {', '.join(shapes)}")
    order = list(shapes)
    budget = int((budget_gib if budget_gib is not None else default_budget_gib()) * GIB)
    waves: list[list[LayerPlan]] = [[]]
    for need in sorted(needs, key=lambda need: order.index(need.layer)):
        grid = grid_shape(layer_rule(need.layer, need.rule), shapes[need.layer])
        rows = need.groups or images
        kept = "float32" if need.groups or need.layer == OUTPUT else storage
        size = STORAGES[kept] * rows * grid[0] * grid[1] * grid[2]
        plan = LayerPlan(need.layer, grid, size, need.rule, need.groups, need.owner, kept)
        if plan.bytes > budget:
            problem = (
                f"layer {need.layer} needs {plan.bytes / GIB:.2f} GiB, more than the budget of {budget / GIB:.2f} GiB"
            )
            remedy = (
                "lower --per-group, choose --pooling mean or --storage bfloat16, leave the layer out of --layers, or "
            )
            remedy += "raise --memory-gib"
            raise InputError(problem, remedy=remedy)
        if sum(other.bytes for other in waves[-1]) + plan.bytes > budget:
            waves.append([])
        waves[-1].append(plan)
    return MemoryPlan(tuple(tuple(wave) for wave in waves if wave), images, budget)


def default_budget_gib() -> float:
    """A quarter of the device's memory: factorising a layer needs copies of it. A CPU's is that of `host_memory`."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() or {}
    return (stats.get("bytes_limit") or host_memory()) / 4 / GIB
