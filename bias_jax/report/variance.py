"""Shares of the distance between images and between group means, by layer."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bias_jax.report.elements import Row, fitted, layer_axis, layer_width, plain_text, room
from bias_jax.statistics import ALL_GROUPS

SIGNIFICANT = 0.05


@plain_text
def variance_by_layer(rows: Sequence[Row], title: str) -> Figure:
    """One panel per level: omega squared of every term over layers; filled where significant over layers and terms.

    Args:
        rows: with the fields ``level``, ``layer``, ``term``, ``omega_squared``, ``low``, ``high``, ``p_max_t``; layers
            in depth order. The share of all groups together is drawn between images only: between means it is 1.
        title: network, weights and data.
    """
    levels, layers, terms = (list(dict.fromkeys(row[key] for row in rows)) for key in ("level", "layer", "term"))
    width = layer_width(layers, 5.6) * len(levels) + 1.2 + room(terms, 8)
    figure = Figure(figsize=(width, 4.4 + room(layers)), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width), fontsize=10)
    for number, level in enumerate(levels):
        axes = figure.add_subplot(1, len(levels), number + 1)
        axes.axhline(0.0, color="black", linewidth=0.8)
        for index, term in enumerate(terms):
            if term != ALL_GROUPS or number == 0:
                _curve(axes, [r for r in rows if r["level"] == level and r["term"] == term], layers, index)
        axes.set_title(f"between {level}", fontsize=10)
        layer_axis(axes, layers)
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -0.35), min(high, 1.25))  # where groups hardly differ, shares of nothing are large
    figure.axes[0].set_ylabel("share of squared distance,\nnoise removed (omega squared)")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.axes[-1].legend(handles, labels, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5),
                           title=f"filled: p <= {SIGNIFICANT},\ncorrected", title_fontsize=8)  # fmt: skip
    return figure


def _curve(axes: Axes, rows: Sequence[Row], layers: Sequence[str], index: int) -> None:
    """One term; main effects have solid lines and shaded intervals, interactions and all groups thin ones."""
    term = rows[0]["term"]
    main = " x " not in term and term != ALL_GROUPS
    colour = "black" if term == ALL_GROUPS else f"C{index % 10}"
    x = np.array([layers.index(row["layer"]) for row in rows])
    share, low, high = (np.array([row[key] for row in rows], float) for key in ("omega_squared", "low", "high"))
    significant = np.array([row["p_max_t"] <= SIGNIFICANT for row in rows])
    axes.plot(x, share, color=colour, linewidth=1.6 if main else 0.9, linestyle="-" if main else "--", label=term)
    if main:
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.vlines(
            x, low, high, color=colour, alpha=0.3, linewidth=1
        )  # where neighbours are missing, there is no area
    axes.scatter(x[significant], share[significant], color=colour, s=18, zorder=3)
    axes.scatter(x[~significant], share[~significant], facecolor="white", edgecolor=colour, s=18, zorder=3)
