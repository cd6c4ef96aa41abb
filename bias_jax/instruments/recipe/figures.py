"""Accuracy by layer as the paper draws it: on held-out images, and dashed on those that were trained on."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from bias_jax.report.elements import Row, common_legend, fitted, layer_axis, layer_width, plain_text, room


@plain_text
def recipe_by_layer(rows: Sequence[Row], title: str) -> Figure:
    """One panel per target: validation accuracy over layers, training accuracy dashed, the range of seeds shaded.

    Args:
        rows: of the table ``recipe``; only the chosen strengths and learning rates are drawn.
        title: network, weights and data.
    """
    chosen = [row for row in rows if row["chosen"]]
    layers, targets = (list(dict.fromkeys(row[key] for row in chosen)) for key in ("layer", "target"))
    columns = min(3, len(targets))
    lines = -(-len(targets) // columns)
    width = 1.2 + layer_width(layers, 4.2) * columns
    figure = Figure(figsize=(width, 1.4 + (2.6 + room(layers)) * lines), dpi=160, layout="constrained")
    figure.suptitle(fitted(f"published recipe, best strength of each layer. {title}", width, 11), fontsize=11)
    for number, target in enumerate(targets):
        axes = figure.add_subplot(lines, columns, number + 1)
        own = [row for row in chosen if row["target"] == target]
        for name, line, label in (("validation_accuracy", "-", "held out"), ("training_accuracy", "--", "training")):
            seeds = [[100 * row[name] for row in own if row["layer"] == layer] for layer in layers]
            axes.fill_between(
                range(len(layers)), [min(s) for s in seeds], [max(s) for s in seeds], color="tab:blue", alpha=0.2,
                linewidth=0,
            )  # fmt: skip
            means = [float(np.mean(s)) for s in seeds]
            axes.plot(range(len(layers)), means, line, color="tab:blue", marker="o", markersize=3, label=label)
        chance = own[0]["chance"]
        axes.axhline(100 * chance, color="black", linestyle=":", label="most frequent class")
        axes.set_title(fitted(f"{target} (most frequent: {100 * chance:.3g} %)", width / columns - 0.6), fontsize=10)
        axes.set_ylim(0, 103)
        layer_axis(axes, layers)
        if number % columns == 0:
            axes.set_ylabel("accuracy, %")
    common_legend(figure, width)
    return figure
