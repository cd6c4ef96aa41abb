"""Accuracy by layer, against chance and the shuffled-label control."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bias_jax.probes import HELD_OUT, Score
from bias_jax.probes.comparisons import Difference

LABELS = {
    "balanced_accuracy": "balanced accuracy",
    "adjusted_balanced_accuracy": "adjusted balanced accuracy\n(0 = chance, 1 = perfect)",
}


def accuracy_by_layer(path: Path, scores: dict[str, list[Score]], targets: Sequence[str], title: str) -> None:
    """One panel per target: balanced accuracy of its own probe over layers, with 95 % intervals.

    Args:
        path: image file.
        scores: layer -> scores, in depth order.
        targets: which targets, in order.
        title: network, weights and data.
    """
    columns = min(3, len(targets))
    rows = -(-len(targets) // columns)
    figure = Figure(figsize=(1.5 + 4.2 * columns, 1.2 + 3.1 * rows), layout="constrained")
    figure.suptitle(title)
    for number, target in enumerate(targets):
        axes = figure.add_subplot(rows, columns, number + 1)
        real = _curve(axes, scores, target, "balanced_accuracy", "none", "tab:blue", "held out")
        _curve(axes, scores, target, "balanced_accuracy", "shuffled labels", "tab:gray", "shuffled labels")
        axes.axhline(real[0].chance, color="black", linestyle=":", label=f"chance {real[0].chance:.3g}")
        axes.set_title(target)
        axes.set_ylim(bottom=0)
        _layer_axis(axes, list(scores))
        if number % columns == 0:
            axes.set_ylabel(LABELS["balanced_accuracy"])
        axes.legend(fontsize=7, loc="best")
    figure.savefig(path, dpi=160)


def comparison_by_layer(path: Path, scores: dict[str, list[Score]], targets: Sequence[str], title: str) -> None:
    """All targets in one panel, on the scale from chance (0) to perfect (1)."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    for number, target in enumerate(targets):
        _curve(axes, scores, target, "adjusted_balanced_accuracy", "none", f"C{number}", target)
    axes.axhline(0.0, color="black", linestyle=":", label="chance")
    axes.set_title(title, fontsize=10)
    axes.set_ylabel(LABELS["adjusted_balanced_accuracy"])
    _layer_axis(axes, list(scores))
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=160)


def difference_by_layer(path: Path, differences: Sequence[Difference], title: str) -> None:
    """One curve per target of paired differences over layers, with 95 % intervals; filled where p (Holm) < 0.05."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    layers = list(dict.fromkeys(row.layer for row in differences))
    for number, target in enumerate(dict.fromkeys(row.target for row in differences)):
        rows = [row for row in differences if row.target == target]
        x = np.array([layers.index(row.layer) for row in rows]) + 0.06 * (number - 3)
        values = np.array([row.value for row in rows])
        reach = [values - [row.low for row in rows], [row.high for row in rows] - values]
        colour = f"C{number}"
        axes.errorbar(x, values, np.maximum(reach, 0.0), color=colour, linewidth=1, elinewidth=0.7, label=target)
        sure = np.array([row.p_holm < 0.05 for row in rows])
        axes.scatter(x, values, s=18, edgecolors=colour, facecolors=np.where(sure, colour, "white"), zorder=3)
    axes.axhline(0.0, color="black", linestyle=":")
    axes.set_title(title, fontsize=9)
    axes.set_ylabel("difference of " + LABELS["adjusted_balanced_accuracy"])
    _layer_axis(axes, layers)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), title="filled: p (Holm) < 0.05")
    figure.savefig(path, dpi=160)


def _curve(axes, scores, target: str, metric: str, control: str, colour: str, label: str) -> list[Score]:
    wanted = (target, target, HELD_OUT, metric, control)
    picked = [
        next(s for s in layer if (s.probe, s.target, s.split, s.metric, s.control) == wanted)
        for layer in scores.values()
    ]
    x = np.arange(len(picked))
    axes.fill_between(x, [s.low for s in picked], [s.high for s in picked], color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, [s.value for s in picked], color=colour, marker="o", markersize=3, label=label)
    return picked


def _layer_axis(axes, layers: list[str]) -> None:
    axes.set_xticks(range(len(layers)), layers, rotation=90, fontsize=7)
    axes.margins(x=0.03)
    axes.grid(axis="y", alpha=0.3)
