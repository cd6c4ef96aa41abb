"""Accuracy by layer, against chance and the shuffled-label control."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bias_jax.probes import HELD_OUT
from bias_jax.report.elements import (
    Row,
    common_legend,
    fitted,
    layer_axis,
    layer_width,
    line_style,
    plain_text,
    room,
)

LABELS = {
    "balanced_accuracy": "balanced accuracy",
    "adjusted_balanced_accuracy": "adjusted balanced accuracy\n(0 = chance, 1 = perfect)",
}
SIGNIFICANT = 0.05


@plain_text
def accuracy_by_layer(rows: Sequence[Row], targets: Sequence[str], title: str) -> Figure:
    """One panel per target: balanced accuracy of its own probe over layers, with 95 % intervals.

    Args:
        rows: with the fields ``layer`` and those of `probes.Score`, layers in depth order; others than a target's own
            probe are passed over.
        targets: which targets, in order.
        title: network, weights and data.
    """
    columns = min(3, len(targets))
    lines = -(-len(targets) // columns)
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    width = 1.2 + layer_width(layers, 4.2) * columns
    figure = Figure(figsize=(width, 1.4 + (2.6 + room(layers)) * lines), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width, 11), fontsize=11)
    for number, target in enumerate(targets):
        axes = figure.add_subplot(lines, columns, number + 1)
        chance = next(row["chance"] for row in _own(rows, target, "balanced_accuracy", "none"))
        for control, colour, label in (
            ("none", "tab:blue", "held out"),
            ("shuffled labels", "tab:gray", "shuffled labels"),
        ):
            own = _own(rows, target, "balanced_accuracy", control)
            _curve(axes, own, layers, {"color": colour, "linestyle": "-"}, label)
        axes.axhline(chance, color="black", linestyle=":", label="chance")
        axes.set_title(fitted(f"{target} (chance {100 * chance:.3g} %)", width / columns - 0.6), fontsize=10)
        axes.set_ylim(bottom=0)
        layer_axis(axes, layers)
        if number % columns == 0:
            axes.set_ylabel(LABELS["balanced_accuracy"])
    common_legend(figure, width)
    return figure


@plain_text
def comparison_by_layer(rows: Sequence[Row], targets: Sequence[str], title: str) -> Figure:
    """All targets in one panel, on the scale from chance (0) to perfect (1); `rows` as in `accuracy_by_layer`."""
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    figure, axes = _one_panel(layers, targets, title)
    for number, target in enumerate(targets):
        own = _own(rows, target, "adjusted_balanced_accuracy", "none")
        _curve(axes, own, layers, line_style(number), target)
    axes.axhline(0.0, color="black", linestyle=":", label="chance")
    axes.set_ylabel(LABELS["adjusted_balanced_accuracy"])
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@plain_text
def difference_by_layer(rows: Sequence[Row], title: str) -> Figure:
    """One curve per target of paired differences over layers, with 95 % intervals; filled where p (Holm) is small.

    Args:
        rows: with the fields ``layer``, ``target``, ``value``, ``low``, ``high`` and ``p_holm`` of
            `probes.Difference`; layers in depth order, each once per target.
        title: what is subtracted from what.
    """
    layers, targets = (list(dict.fromkeys(row[key] for row in rows)) for key in ("layer", "target"))
    figure, axes = _one_panel(layers, targets, title)
    for number, target in enumerate(targets):
        own = [row for row in rows if row["target"] == target]
        aside = 0.5 * ((number + 0.5) / len(targets) - 0.5)  # so that intervals stand side by side
        x = np.array([layers.index(row["layer"]) for row in own]) + aside
        value, low, high = (np.array([row[key] for row in own], float) for key in ("value", "low", "high"))
        style = line_style(number)
        reach = np.maximum([value - low, high - value], 0.0)
        axes.errorbar(x, value, reach, **style, linewidth=1, elinewidth=0.7, label=target)
        sure = np.array([row["p_holm"] < SIGNIFICANT for row in own])
        axes.scatter(x, value, s=18, edgecolors=style["color"], zorder=3,
                     facecolors=np.where(sure, style["color"], "white"))  # fmt: skip
    axes.axhline(0.0, color="black", linestyle=":")
    axes.set_ylabel("difference of " + LABELS["adjusted_balanced_accuracy"])
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), title=f"filled: p (Holm) < {SIGNIFICANT}",
                title_fontsize=8)  # fmt: skip
    return figure


def _one_panel(layers: Sequence[str], names: Sequence[str], title: str) -> tuple[Figure, Axes]:
    width = layer_width(layers, 5.5) + 1.2 + room(names, 8)
    height = max(4.2, 0.9 + 0.17 * len(names)) + room(layers)
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width), fontsize=10)
    axes = figure.add_subplot()
    layer_axis(axes, layers)
    return figure, axes


def _own(rows: Sequence[Row], target: str, metric: str, control: str) -> list[Row]:
    """What a target's own probe attains, by layer."""
    wanted = {"probe": target, "target": target, "split": HELD_OUT, "metric": metric, "control": control}
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _curve(axes: Axes, rows: Sequence[Row], layers: Sequence[str], style: Row, label: str) -> None:
    x = np.array([layers.index(row["layer"]) for row in rows])
    value, low, high = (np.array([row[key] for row in rows], float) for key in ("value", "low", "high"))
    axes.fill_between(x, low, high, color=style["color"], alpha=0.2, linewidth=0)
    axes.vlines(
        x, low, high, color=style["color"], alpha=0.3, linewidth=1
    )  # where neighbours are missing, there is no area
    axes.plot(x, value, **style, marker="o", markersize=3, label=label)
