"""Figures of layouts: maps one after another in a given order, and measures of all layouts by layer."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from bias_jax.report.elements import Row, bar_length, common_legend, fitted, layer_axis, layer_width, plain_text, room
from bias_jax.report.topomap_figure import GAP, SCALE, symmetric_limit

STYLES = {"none": "-", "long": "--", "short": ":"}


@plain_text
def topomap_sequence(images: np.ndarray, names: Sequence[str], counts: np.ndarray, title: str) -> Figure:
    """Draw maps in reading order, each with the name of its group: neighbours in the order are neighbours here.

    Args:
        images: [G, side, side], NaN where there is no unit.
        names: of the groups [G].
        counts: images per group [G].
        title: figure title.
    """
    columns = min(14, max(int(np.ceil(np.sqrt(1.6 * len(images)))), 1))
    rows = -(-len(images) // columns)
    side, label = images.shape[-1], 42  # pixels below each map for its name
    canvas = np.full((rows * (side + label), columns * (side + GAP) - GAP), np.nan, np.float32)
    size = (max(1.05 * columns, 4.0) + 1.2, 1.45 * rows + 0.9)
    figure = Figure(figsize=size, dpi=200, layout="compressed")
    figure.suptitle(fitted(f"{title}\nread row by row: likest groups side by side", size[0]), fontsize=10)
    axis = figure.subplots()
    for number, (image, name, count) in enumerate(zip(images, names, counts, strict=True)):
        i, j = divmod(number, columns)
        top, left = i * (side + label), j * (side + GAP)
        canvas[top : top + side, left : left + side] = image
        text = "\n".join(textwrap.fill(part.replace("_", " "), 18) for part in name.split(" / "))
        axis.text(left + side / 2, top + side + 2, f"{text}, n={count}", fontsize=5, ha="center", va="top",
                  linespacing=0.95)  # fmt: skip
    limit = symmetric_limit(images)
    background = matplotlib.colormaps["bwr"].with_extremes(bad="0.9")  # shows where a map of small values ends
    drawn = axis.imshow(canvas, cmap=background, vmin=-limit, vmax=limit, interpolation="nearest")
    axis.set_axis_off()
    bar = figure.colorbar(drawn, ax=axis, shrink=bar_length(size[1]), aspect=30, extend="both")
    bar.set_label(SCALE, fontsize=8)
    return figure


@plain_text
def layout_comparison(rows: Sequence[Row], shown: Mapping[str, str], title: str) -> Figure:
    """One panel per measure by layer; colour is the layout, line style the force layout.

    Args:
        rows: each with layer, layout, force and the measures.
        shown: measure -> label of its panel.
        title: figure title.
    """
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    kinds = list(dict.fromkeys((row["layout"], row["force"]) for row in rows))
    methods = list(dict.fromkeys(method for method, _ in kinds))
    columns = min(4, len(shown))
    lines = -(-len(shown) // columns)
    width = max(7.4, layer_width(layers, 3.7) * columns)
    figure = Figure(
        figsize=(width, (3.0 + room(layers)) * lines + 0.8 + 0.06 * len(kinds)), dpi=150, layout="constrained"
    )
    figure.suptitle(fitted(title, width), fontsize=10)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, (measure, label) in zip(panels, shown.items(), strict=False):
        for method, force in kinds:
            mine = [row for row in rows if (row["layout"], row["force"]) == (method, force)]
            x, values = [layers.index(row["layer"]) for row in mine], [row[measure] for row in mine]
            name = method if force == "none" else f"{method} + {force} force"
            panel.plot(x, values, STYLES[force], color=f"C{methods.index(method)}", linewidth=1.2, label=name,
                       marker="o", markersize=2)  # fmt: skip
        panel.set_title(fitted(label, width / columns - 0.5, 9), fontsize=9)
        layer_axis(panel, layers)
        panel.tick_params(axis="y", labelsize=7)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    common_legend(figure, width)
    return figure
