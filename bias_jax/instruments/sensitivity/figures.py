"""How much of the answer changes along each direction, by layer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import Rows, Stored
from bias_jax.report.elements import Row, fitted, layer_axis, layer_width, line_style, plain_text, room


def sensitivity_figures(stored: Stored, tables: Mapping[str, Rows]) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Figures by name."""
    yield "sensitivity_by_layer", partial(sensitivity_by_layer, tables["sensitivity_strength"], stored.title)


@plain_text
def sensitivity_by_layer(rows: Sequence[Row], title: str) -> Figure:
    """One panel per attribute: strength along each direction over layers, beside shuffled labels and random directions.

    Args:
        rows: of the table ``sensitivity_strength``; layers in depth order.
        title: network, weights and data.
    """
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    attributes = list(dict.fromkeys(row["attribute"] for row in rows))
    width = 3.4 + layer_width(layers, 4.6)
    figure = Figure(figsize=(width, 1.0 + (2.8 + room(layers)) * len(attributes)), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width), fontsize=10)
    x = np.arange(len(layers))
    for number, attribute in enumerate(attributes):
        axes = figure.add_subplot(len(attributes), 1, number + 1)
        own = [row for row in rows if row["attribute"] == attribute]
        groups = list(dict.fromkeys(row["group"] for row in own))
        for place, group in enumerate(groups):
            mine = [row for row in own if row["group"] == group]
            label = group if mine[0]["against"] == "the others" else f"{group} and {mine[0]['against']}"
            axes.plot(x, [row["value"] for row in mine], **line_style(place), marker="o", markersize=3, label=label)
        low, high = (np.array([[row[key] for row in own if row["layer"] == layer] for layer in layers], float)
                     for key in ("shuffled_low", "shuffled_high"))  # fmt: skip
        axes.fill_between(x, low.min(axis=1), high.max(axis=1), color="gray", alpha=0.25,
                          label="shuffled labels, 95 %")  # fmt: skip
        random = [next(row["random"] for row in own if row["layer"] == layer) for layer in layers]
        axes.plot(x, random, color="black", linestyle=":", label="random directions")
        axes.set_ylim(bottom=0.0)
        axes.set_title(attribute, fontsize=10)
        axes.set_ylabel("change of log-probability\n(nats per scale of the layer)")
        layer_axis(axes, layers)
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
