"""Tidy tables of maps."""

from collections.abc import Iterator

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.maps.layouts import MEASURES


def map_tables(stored: Stored) -> Iterator[tuple[str, Rows]]:
    """`topomaps`: errors of the self-organizing map of every layer; `layouts`: measures of every layout."""
    common, errors, measures = stored.layer_columns(), [], []
    layouts, forces = stored.facts["layouts"], stored.facts["forces"]
    for layer in stored.layers:
        arrays, units = stored.load(layer.name), layer.grid[2]
        if "som" in layouts:
            own = {name: float(arrays[name]) for name in ("quantization_error", "topographic_error")}
            errors.append({**common[layer.name], "units": units, **own})
        if "measures" in arrays:
            for m, layout in enumerate(layouts):
                for f, force in enumerate(forces):
                    found = dict(zip(MEASURES, arrays["measures"][m, f].tolist(), strict=True))
                    dead = int(arrays["dead_units"])
                    measures.append({**common[layer.name], "layout": layout, "force": force, **found, "units": units,
                                     "dead_units": dead})  # fmt: skip
    yield "topomaps", errors
    yield "layouts", measures
