"""Figures of maps: all groups of every layer and layout, or the measures of all layouts."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import Rows, Stored
from bias_jax.data import Attribute, Target
from bias_jax.instruments.maps.config import MapsConfig
from bias_jax.instruments.maps.findings import SHOWN
from bias_jax.report import layout_comparison, topomap_figure, topomap_sequence
from bias_jax.topomaps import align, dendrogram_order, rounded, triangulate

SIDE = 100  # pixels of a map


def map_figures(
    stored: Stored, tables: Mapping[str, Rows], config: MapsConfig
) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Figures by name."""
    if config.compare:
        yield "layouts_by_layer", partial(layout_comparison, tables["layouts"], SHOWN, stored.title)
        return
    for m, layout in enumerate(stored.facts["layouts"]):
        for f, force in enumerate(stored.facts["forces"]):
            kind = layout if force == "none" else f"{layout}-{force}"
            for layer in stored.layers:
                name = f"topomap-{layer.name}-{kind}".replace("/", "-").replace(" ", "-")
                yield name, partial(_maps, stored, config, layer.name, (m, f), kind)


def _maps(stored: Stored, config: MapsConfig, layer: str, which: tuple[int, int], kind: str) -> Figure:
    """All groups of one layer on one layout, number `which` of layouts and force layouts."""
    arrays = stored.load(layer)
    values = arrays["values"]
    counts = np.where(np.isfinite(values).all(axis=1), arrays["counts"], 0).astype(int)  # of the groups mapped
    positions = _positions(stored, config, arrays, which)
    if config.align and layer != (first := stored.layers[0].name):
        reference = stored.load(first)
        positions = align(_positions(stored, config, reference, which), positions, reference["values"], values)
    images = triangulate(positions, SIDE).images(values)
    title = f"{layer}, layout {kind}, of {stored.title}"
    attributes = [(name, tuple(categories)) for name, categories in stored.facts["attributes"]]
    if config.order == "table":
        return topomap_figure(images, attributes, counts, title)
    classes = Target(tuple(Attribute(*each) for each in attributes)).classes
    order = dendrogram_order(values, config.metric)
    order = order[counts[order] > 0]
    return topomap_sequence(images[order], [classes[g] for g in order], counts[order], title)


def _positions(
    stored: Stored, config: MapsConfig, arrays: Mapping[str, np.ndarray], which: tuple[int, int]
) -> np.ndarray:
    """Where the units [U, 2] are drawn, before layers are aligned."""
    positions = arrays["positions"][which]
    if stored.facts["forces"][which[1]] == "none" and (config.round or config.align):
        return rounded(positions)  # a disc can be turned, a square would shrink
    return positions
