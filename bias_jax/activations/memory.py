"""The memory plan: how many bytes each layer's bank takes, and which layers are extracted together."""

import os
from dataclasses import dataclass

import jax

from bias_jax.activations.pooling import PIXELS, grid_shape, layer_rule
from bias_jax.errors import InputError
from bias_jax.networks import Params, layer_shapes, network

GIB = 2**30


@dataclass(frozen=True)
class LayerPlan:
    """One layer's bank."""

    name: str
    grid: tuple[int, int, int]  # (h, w, U); features D = h * w * U
    bytes: int

    @property
    def features(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]


@dataclass(frozen=True)
class MemoryPlan:
    """Waves of layers; each wave is one pass over the images."""

    waves: tuple[tuple[LayerPlan, ...], ...]
    images: int
    budget: int  # bytes for banks

    @property
    def layers(self) -> tuple[LayerPlan, ...]:
        return tuple(layer for wave in self.waves for layer in wave)

    def __str__(self) -> str:
        lines = [f"memory plan: {self.images} images, budget {self.budget / GIB:.2f} GiB for activations"]
        for number, wave in enumerate(self.waves, start=1):
            total = sum(layer.bytes for layer in wave)
            lines.append(f"  wave {number} of {len(self.waves)}: {total / GIB:.3f} GiB")
            for layer in wave:
                h, w, units = layer.grid
                lines.append(
                    f"    {layer.name:<14} {h}x{w}x{units} = {layer.features:>7,} features  {layer.bytes / GIB:.3f} GiB"
                )
        return "\n".join(lines)


def layer_grids(
    name: str, params: Params, layers: tuple[str, ...], rule: str, crop: int
) -> dict[str, tuple[int, int, int]]:
    """Grid (h, w, U) of each layer, found by tracing the forward pass without running it."""
    shapes = {PIXELS: (1, crop, crop, 3), **layer_shapes(name, params, (1, crop, crop, 3))}
    unknown = [layer for layer in layers if layer not in shapes]
    if unknown:
        remedy = f"choose among {', '.join(shapes)}"
        raise InputError(f"{name} has no layer {unknown[0]!r}", remedy=remedy)
    return {layer: grid_shape(layer_rule(layer, rule), shape) for layer, shape in shapes.items() if layer in layers}


def plan_memory(
    name: str,
    params: Params,
    *,
    images: int,
    layers: tuple[str, ...] | None = None,
    rule: str = "mean",
    crop: int | None = None,
    budget_gib: float | None = None,
) -> MemoryPlan:
    """Pack layers, in depth order, into waves that fit the budget.

    Raises:
        InputError: if one layer alone does not fit, or a layer does not exist.
    """
    net = network(name)
    grids = layer_grids(name, params, layers or net.layers, rule, crop or net.image_size)
    budget = int((budget_gib if budget_gib is not None else default_budget_gib()) * GIB)
    waves: list[list[LayerPlan]] = [[]]
    for layer, grid in grids.items():
        plan = LayerPlan(layer, grid, 4 * images * grid[0] * grid[1] * grid[2])
        if plan.bytes > budget:
            problem = f"layer {layer} needs {plan.bytes / GIB:.2f} GiB, more than the budget of {budget / GIB:.2f} GiB"
            remedy = "lower --per-group, choose --pooling mean, leave the layer out of --layers, or raise --memory-gib"
            raise InputError(problem, remedy=remedy)
        if sum(other.bytes for other in waves[-1]) + plan.bytes > budget:
            waves.append([])
        waves[-1].append(plan)
    return MemoryPlan(tuple(tuple(wave) for wave in waves), images, budget)


def default_budget_gib() -> float:
    """A quarter of the device's memory: factorising a layer needs copies of it."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() or {}
    total = stats.get("bytes_limit") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total / 4 / GIB
