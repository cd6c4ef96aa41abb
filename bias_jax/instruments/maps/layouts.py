"""Every layout of one layer, with its errors and measures."""

from collections.abc import Sequence

import jax
import numpy as np

from bias_jax.activations import GroupMeans
from bias_jax.audit import Arrays, Layer
from bias_jax.errors import InputError
from bias_jax.instruments.maps.config import MapsConfig
from bias_jax.instruments.maps.units import Units, units_of
from bias_jax.topomaps import (
    FittedMap,
    Method,
    Neighbourhoods,
    area_under_curve,
    dead,
    default_som,
    lay_out,
    morans_i,
    published_som,
    stability,
    triangulate,
)

NEIGHBOURS = (5, 10, 20)  # of trustworthiness and continuity
MEASURES = (
    *(f"trustworthiness_{k}" for k in NEIGHBOURS),
    *(f"continuity_{k}" for k in NEIGHBOURS),
    "distance_correlation",
    "morans_i",
    "groups_with_order",
    "resize_area",
    "blur_area",
    "disparity_of_seeds",
)


def layer_maps(
    means: GroupMeans, layer: Layer, methods: Sequence[Method], chosen: Sequence[int] | None, config: MapsConfig,
    seed: int,
) -> Arrays:  # fmt: skip
    """What is stored of a layer.

    Args:
        means: mean activations of G groups, on the device.
        layer: whose they are, with U units on a grid h x w.
        methods: M layouts.
        chosen: groups that are mapped (None: all).
        config: of the maps; it gives F force layouts.
        seed: of the layouts that are drawn; `MapsConfig.seeds` are counted from it.

    Returns:
        `means` [G, h * w * U] and `counts` [G] as they came; `values` [G, U] of `Units`; `positions` [M, F, U, 2] in
        the unit square; with the self-organizing map `quantization_error` and `topographic_error`; if layouts are
        measured `measures` [M, F, len(MEASURES)] and `dead_units`.

    Raises:
        InputError: values that are not finite, or too few of them for a layout.
    """
    found = jax.device_get(means)
    if not np.isfinite(found.means[found.counts > 0]).all():
        remedy = "check the weights, or use --precision float32"
        raise InputError(f"layer {layer.name}: the group means are not all finite", remedy=remedy)
    units = units_of(found, layer.grid, chosen, config.size_weighted)
    if min(units.profiles.shape) < 4 and (refused := [m for m in methods if m in ("tsne", "umap")]):
        problem = f"layer {layer.name}: {refused[0]} needs 4 units with 4 values each, not {units.profiles.shape}"
        raise InputError(problem, remedy="leave that layout out, or map more groups")
    arrays = {**found._asdict(), "values": units.values}
    measure = Measures(units, config, seed) if config.measured else None
    positions, measures = [], []
    for method in methods:
        layouts = []
        for own in range(seed, seed + (config.seeds if measure else 1)):
            som = _trained(units.profiles, own, config) if method == "som" else None
            if som is not None and own == seed:
                arrays["quantization_error"] = np.array(som.quantization_error(units.profiles))
                arrays["topographic_error"] = np.array(som.topographic_error(units.profiles))
            layouts.append(
                lay_out(units.profiles, method, forces=config.spreads, seed=own, metric=config.metric,
                        from_distances=config.from_distances, som=som)
            )  # fmt: skip
        positions.append([layouts[0][force] for force in config.spreads])
        if measure is not None:
            measures.append([measure([layout[force] for layout in layouts]) for force in config.spreads])
    arrays["positions"] = np.array(positions)
    if measure is not None:
        arrays["measures"] = np.array(measures)
        arrays["dead_units"] = np.array(dead(units.profiles).sum())
    return arrays


def _trained(profiles: np.ndarray, seed: int, config: MapsConfig) -> FittedMap:
    settings = published_som if config.published_som else default_som
    return settings(len(profiles)).fit(profiles, seed=seed)


class Measures:
    """Quality of layouts of one layer; distances of the profiles are worked out once."""

    def __init__(self, units: Units, config: MapsConfig, seed: int):
        self.config, self.values, self.seed = config, units.values, seed
        self.neighbourhoods = Neighbourhoods(units.profiles)

    def __call__(self, layouts: list[np.ndarray]) -> list[float]:
        """`MEASURES` of the first layout; the last one tells how alike all are."""
        first, near = layouts[0], self.neighbourhoods
        mapped = self.values[np.isfinite(self.values).all(axis=1)]
        moran = morans_i(first, mapped, permutations=self.config.permutations, seed=self.seed)
        area = area_under_curve(jax.device_put(triangulate(first).images(self.values)))
        return [
            *(near.trustworthiness(first, k) for k in NEIGHBOURS),
            *(near.continuity(first, k) for k in NEIGHBOURS),
            near.distance_correlation(first),
            float(np.nanmean(moran.index)) if np.isfinite(moran.index).any() else float("nan"),
            float((moran.p_value <= 0.05).mean()),
            area["resize"],
            area["blur"],
            stability(layouts),
        ]
