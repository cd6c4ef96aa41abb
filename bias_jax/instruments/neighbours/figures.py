"""Precision of retrieval by layer, beside chance."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from bias_jax.instruments.neighbours.tables import EVERYONE, PRECISION
from bias_jax.report.elements import Row, common_legend, fitted, layer_axis, layer_width, plain_text, room


@plain_text
def precision_by_layer(rows: Sequence[Row], title: str) -> Figure:
    """One panel per target: mean precision over classes for every number of neighbours, with 95 % intervals.

    Args:
        rows: of the table ``neighbours``, of one distance; layers in depth order.
        title: distance, network, weights and data.
    """
    own = [row for row in rows if row["group"] == EVERYONE and row["measure"] == PRECISION]
    layers, targets, numbers = (list(dict.fromkeys(row[key] for row in own)) for key in ("layer", "target", "k"))
    columns = min(2, len(targets))
    lines = -(-len(targets) // columns)
    width = 1.2 + layer_width(layers, 4.2) * columns
    figure = Figure(figsize=(width, 1.4 + (2.6 + room(layers)) * lines), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width), fontsize=10)
    for place, target in enumerate(targets):
        axes = figure.add_subplot(lines, columns, place + 1)
        for number, k in enumerate(numbers):
            curve = [row for row in own if (row["target"], row["k"]) == (target, k)]
            x = np.array([layers.index(row["layer"]) for row in curve]) + 0.12 * (number - 0.5 * (len(numbers) - 1))
            value, low, high = (np.array([row[key] for row in curve], float) for key in ("value", "low", "high"))
            reach = np.maximum([value - low, high - value], 0.0)
            name = f"{k} nearest" if k > 1 else "the nearest"
            axes.errorbar(x, value, reach, color=f"C{number % 10}", marker="o", markersize=3, linewidth=1, label=name)
        chance = [next(row["chance"] for row in own if (row["target"], row["layer"]) == (target, n)) for n in layers]
        axes.plot(range(len(layers)), chance, color="black", linestyle=":", label="shuffled labels")
        axes.set_title(fitted(target, width / columns - 0.6), fontsize=10)
        axes.set_ylim(bottom=0)
        layer_axis(axes, layers)
        if place % columns == 0:
            axes.set_ylabel("same-label share of neighbours,\nmean over classes")
    common_legend(figure, width)
    return figure
