"""Figures of layouts: maps one after another in a given order, and measures of all layouts by layer."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from bias_jax.report.topomap_figure import GAP, SCALE, symmetric_limit

STYLES = {"none": "-", "long": "--", "short": ":"}


def topomap_sequence(path: Path, images: np.ndarray, names: Sequence[str], counts: np.ndarray, title: str) -> None:
    """Draw maps in reading order, each with the name of its group: neighbours in the order are neighbours here.

    Args:
        path: image file.
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
    figure = Figure(figsize=size, layout="compressed")
    heading = textwrap.fill(title, int(size[0] * 13))
    figure.suptitle(f"{heading}\nread row by row: likest groups side by side", fontsize=10)
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
    figure.colorbar(drawn, ax=axis, shrink=0.5, aspect=30, extend="both").set_label(SCALE, fontsize=8)
    figure.savefig(path, dpi=200)


def layout_comparison(path: Path, rows: Sequence[Mapping[str, Any]], shown: Mapping[str, str], title: str) -> None:
    """One panel per measure by layer; colour is the layout, line style the force layout.

    Args:
        path: image file.
        rows: each with layer, layout, force and the measures.
        shown: measure -> label of its panel.
        title: figure title.
    """
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    kinds = list(dict.fromkeys((row["layout"], row["force"]) for row in rows))
    methods = list(dict.fromkeys(method for method, _ in kinds))
    columns = 4
    figure = Figure(figsize=(15, 3.6 * -(-len(shown) // columns) + 0.8), layout="constrained")
    figure.suptitle(textwrap.fill(title, 150), fontsize=10)
    panels = figure.subplots(-(-len(shown) // columns), columns, squeeze=False).ravel()
    for panel, (measure, label) in zip(panels, shown.items(), strict=False):
        for method, force in kinds:
            values = [row[measure] for row in rows if (row["layout"], row["force"]) == (method, force)]
            name = method if force == "none" else f"{method} + {force} force"
            panel.plot(values, STYLES[force], color=f"C{methods.index(method)}", linewidth=1.2, label=name,
                       marker="o", markersize=2)  # fmt: skip
        panel.set_title(label, fontsize=9)
        panel.set_xticks(range(len(layers)), layers, rotation=90, fontsize=6)
        panel.tick_params(axis="y", labelsize=7)
        panel.grid(alpha=0.3)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=7)
    figure.savefig(path, dpi=150)
