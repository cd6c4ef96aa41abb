"""What is left of every erased attribute, by layer, beside what was there and the controls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.erasure.answer_figures import answer_figures
from bias_jax.instruments.erasure.conditions import ERASED, NOTHING, RANDOM, SHUFFLED
from bias_jax.instruments.erasure.tables import ACCURACY, LINEAR, NEIGHBOURS
from bias_jax.report.elements import Row, common_legend, fitted, layer_axis, layer_width, plain_text, room

# Whether it is erased, by which control, and found by which probe: label and style.
CURVES: dict[tuple[bool, str, str], tuple[str, dict[str, Any]]] = {
    (False, ERASED, LINEAR): ("linear, before", {"color": "tab:blue"}),
    (True, ERASED, LINEAR): ("linear, erased", {"color": "tab:red"}),
    (True, RANDOM, LINEAR): ("linear, random subspace erased", {"color": "tab:gray", "linestyle": "--"}),
    (True, SHUFFLED, LINEAR): ("linear, shuffled labels erased", {"color": "tab:gray", "linestyle": ":"}),
    (False, ERASED, NEIGHBOURS): ("neighbours, before", {"color": "tab:cyan"}),
    (True, ERASED, NEIGHBOURS): ("neighbours, erased", {"color": "tab:orange"}),
}


def erasure_figures(stored: Stored, tables: Mapping[str, Rows]) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Figures by name."""
    rows = [row for row in tables["erasure"] if row["metric"] == ACCURACY]
    yield "erasure_by_layer", partial(erasure_by_layer, rows, stored.facts["erased"], stored.title)
    yield from answer_figures(stored, tables)


@plain_text
def erasure_by_layer(rows: Sequence[Row], erased: Sequence[str], title: str) -> Figure:
    """One panel per erased attribute: what probes find of it over layers, with 95 % intervals.

    Args:
        rows: of the table ``erasure``, of adjusted balanced accuracy; layers in depth order.
        erased: which attributes, in order.
        title: network, weights and data.
    """
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    columns = min(2, len(erased))
    lines = -(-len(erased) // columns)
    width = 1.2 + layer_width(layers, 4.6) * columns
    figure = Figure(figsize=(width, 1.6 + (2.8 + room(layers)) * lines), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width), fontsize=10)
    for number, name in enumerate(erased):
        axes = figure.add_subplot(lines, columns, number + 1)
        axes.axhline(0.0, color="black", linestyle="-", linewidth=0.6)
        for place, ((after, control, probe), (label, style)) in enumerate(CURVES.items()):
            own = [row for row in rows if row["target"] == name and row["erased"] == (name if after else NOTHING)
                   and row["control"] == control and row["probe"] == probe]  # fmt: skip
            aside = 0.5 * ((place + 0.5) / len(CURVES) - 0.5)  # so that intervals stand side by side
            x = np.array([layers.index(row["layer"]) for row in own]) + aside
            value, low, high = (np.array([row[key] for row in own], float) for key in ("value", "low", "high"))
            reach = np.maximum([value - low, high - value], 0.0)
            axes.errorbar(x, value, reach, **style, marker="o", markersize=3, linewidth=1, elinewidth=0.7, label=label)
        axes.set_title(fitted(f"{name} erased", width / columns - 0.6), fontsize=10)
        layer_axis(axes, layers)
        if number % columns == 0:
            axes.set_ylabel("adjusted balanced accuracy\n(0 = chance, 1 = perfect)")
    common_legend(figure, width)
    return figure
