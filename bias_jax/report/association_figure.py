"""Effect sizes of association tests by layer, with intervals, significance, and what needs no trained network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

LEVEL = 0.05
COLOURS = {"untrained network": "tab:gray"}
LINES = {"raw pixels": ("tab:red", "--"), "mean colour": ("tab:orange", ":")}


def effect_by_layer(path: Path, tests: Mapping[str, Sequence[Mapping[str, Any]]], title: str) -> None:
    """One panel per test: d of every layer with its 95 % interval; filled where significant over all layers.

    Args:
        path: image file.
        tests: test -> rows with the fields ``source``, ``layer``, ``effect_size``, ``low``, ``high``, ``p_max_t``,
            the layers of a source in depth order; the sources of `LINES` have one row each.
        title: network, weights and kind of cosine.
    """
    columns = min(3, len(tests))
    lines = -(-len(tests) // columns)
    figure = Figure(figsize=(1.5 + 4.4 * columns, 1.2 + 3.4 * lines), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for number, (name, rows) in enumerate(tests.items()):
        axes = figure.add_subplot(lines, columns, number + 1)
        axes.axhline(0.0, color="black", linewidth=0.8)
        for source in dict.fromkeys(row["source"] for row in rows):
            _draw(axes, source, [row for row in rows if row["source"] == source])
        axes.set_title(name, fontsize=10)
        axes.set_ylim(-2.05, 2.05)
        axes.margins(x=0.03)
        axes.grid(axis="y", alpha=0.3)
        if number % columns == 0:
            axes.set_ylabel("effect size d")
        axes.legend(fontsize=6, loc="best")
    figure.savefig(path, dpi=160)


def _draw(axes: Axes, source: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if source in LINES:
        colour, style = LINES[source]
        if not np.isnan(rows[0]["effect_size"]):
            axes.axhline(rows[0]["effect_size"], color=colour, linestyle=style, label=source)
        return
    colour = COLOURS.get(source, "tab:blue")
    x = np.arange(len(rows))
    effect, low, high = (np.array([row[key] for row in rows], float) for key in ("effect_size", "low", "high"))
    significant = np.array([row["p_max_t"] <= LEVEL for row in rows])
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, effect, color=colour, linewidth=1.2, label=source)
    axes.scatter(x[significant], effect[significant], color=colour, s=16, zorder=3)
    axes.scatter(x[~significant], effect[~significant], facecolor="white", edgecolor=colour, s=16, zorder=3)
    axes.set_xticks(x, [row["layer"] for row in rows], rotation=90, fontsize=7)
