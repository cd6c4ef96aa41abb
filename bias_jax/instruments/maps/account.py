"""What maps say of themselves in a report."""

from collections.abc import Iterator, Mapping

import numpy as np

from bias_jax.audit import Rows
from bias_jax.instruments.maps.findings import SHOWN
from bias_jax.report.account import Account, Column, Excerpt

ACCOUNT = Account(
    title="Topographic activation maps",
    question="How do the activation patterns of groups look, when units that respond alike lie side by side?",
    reads=(
        "Each map is one group: where it is red, units respond more to this group than to the mean of all groups, "
        "where it is blue, less. All maps of a layer share one colour scale; maps of two layers do not.",
        "Places mean nothing by themselves, neighbourhoods do: units that lie together respond alike to the groups.",
        "The topographic error is the share of units whose two nearest nodes are not neighbours: there a map is torn.",
    ),
    limits=(
        "A map illustrates; whether groups differ, the variance partition and the probes say.",
        "Maps of groups with few images look different by chance alone; the number of images stands in each map.",
    ),
    figures={
        "topomap-": "The maps of all groups of a layer.",
        "layouts_by_layer": "Measures of every layout over the layers: neighbourhoods kept, order, likeness.",
    },
    tables={"topomaps": "errors of a layer's self-organizing map", "layouts": "measures of a layout of a layer"},
    place=30,
)


def map_excerpts(tables: Mapping[str, Rows]) -> Iterator[Excerpt]:
    """Errors by layer, and measures of layouts where they were taken."""
    if rows := tables.get("topomaps"):
        columns = (Column("layer"), Column("units", "count"), Column("topographic error, %", "percent"),
                   Column("quantization error", "number"))  # fmt: skip
        body = tuple((r["layer"], r["units"], r["topographic_error"], r["quantization_error"]) for r in rows)
        yield Excerpt("maps-errors", "How well each layer's map keeps neighbourhoods", columns, body,
                      "Less is better.", table="topomaps", compared=("topographic error, %",))  # fmt: skip
    if rows := tables.get("layouts"):
        measures = (Column("layout"), *(Column(name, "number") for name in SHOWN.values()))
        means = tuple(
            (layout if force == "none" else f"{layout} + {force} force",
             *(float(np.mean([r[key] for r in rows if (r["layout"], r["force"]) == (layout, force)])) for key in SHOWN))
            for layout, force in dict.fromkeys((r["layout"], r["force"]) for r in rows)
        )  # fmt: skip
        note = "Means over layers. p<=.05: share of groups with spatial order; of disparity, resize and blur less is "
        note += "better. The layout random is the control."
        yield Excerpt("maps-layouts", "Measures of the layouts", measures, means, note, table="layouts",
                      compared=tuple(SHOWN.values()))  # fmt: skip
