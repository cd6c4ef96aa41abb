"""Effect sizes of association tests by layer, with intervals, significance, and what needs no trained network."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bias_jax.report.elements import Row, common_legend, fitted, layer_axis, layer_width, plain_text, room

LEVEL = 0.05
COLOURS = {"untrained network": "tab:gray"}
LINES = {"raw pixels": ("tab:red", "--"), "mean colour": ("tab:orange", ":")}


@plain_text
def effect_by_layer(tests: Mapping[str, Sequence[Row]], title: str) -> Figure:
    """One panel per test: d of every layer with its 95 % interval; filled where significant over all layers.

    Args:
        tests: test -> rows with the fields ``source``, ``layer``, ``effect_size``, ``low``, ``high``, ``p_max_t``,
            the layers of a source in depth order; the sources of `LINES` have one row each.
        title: network, weights and kind of cosine.
    """
    columns = min(3, len(tests))
    lines = -(-len(tests) // columns)
    layers = list(dict.fromkeys(r["layer"] for rows in tests.values() for r in rows if r["source"] not in LINES))
    width = 1.5 + layer_width(layers, 4.4) * columns
    figure = Figure(figsize=(width, 1.4 + (3.0 + room(layers)) * lines), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width), fontsize=10)
    for number, (name, rows) in enumerate(tests.items()):
        axes = figure.add_subplot(lines, columns, number + 1)
        axes.axhline(0.0, color="black", linewidth=0.8)
        for source in dict.fromkeys(row["source"] for row in rows):
            _draw(axes, source, [row for row in rows if row["source"] == source], layers)
        axes.set_title(fitted(name, width / columns - 0.8), fontsize=10)
        axes.set_ylim(-2.05, 2.05)
        layer_axis(axes, layers)
        if number % columns == 0:
            axes.set_ylabel("effect size d")
    common_legend(figure, width)
    return figure


def _draw(axes: Axes, source: str, rows: Sequence[Row], layers: Sequence[str]) -> None:
    if source in LINES:
        colour, style = LINES[source]
        if not np.isnan(rows[0]["effect_size"]):
            axes.axhline(rows[0]["effect_size"], color=colour, linestyle=style, label=source)
        return
    colour = COLOURS.get(source, "tab:blue")
    x = np.array([layers.index(row["layer"]) for row in rows])
    effect, low, high = (np.array([row[key] for row in rows], float) for key in ("effect_size", "low", "high"))
    significant = np.array([row["p_max_t"] <= LEVEL for row in rows])
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.vlines(x, low, high, color=colour, alpha=0.3, linewidth=1)  # where neighbours are missing, there is no area
    axes.plot(x, effect, color=colour, linewidth=1.2, label=source)
    axes.scatter(x[significant], effect[significant], color=colour, s=16, zorder=3)
    axes.scatter(x[~significant], effect[~significant], facecolor="white", edgecolor=colour, s=16, zorder=3)
