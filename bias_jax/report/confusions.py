"""Confusion matrices: of all intersectional groups, and of each attribute read off the same probe."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from matplotlib.figure import Figure

from bias_jax.report.elements import fitted, plain_text, room


@plain_text
def group_confusion(counts: np.ndarray, shape: Sequence[Sequence[str]], title: str) -> Figure:
    """Row-normalised confusion of all groups.

    Args:
        counts: [G, G], rows true, columns predicted, groups in mixed-radix order.
        shape: category names of each attribute; the first one is drawn as blocks.
        title: figure title.
    """
    groups = len(counts)
    rates = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    inner = groups // len(shape[0])
    rest = [" ".join(names) for names in product(*shape[1:])]
    side = max(6.0, 0.105 * groups)
    figure = Figure(figsize=(side + 3.2, side + 2.6), dpi=200, layout="compressed")
    axes = figure.add_subplot()
    image = axes.imshow(rates, cmap="magma_r", vmin=0.0, vmax=max(float(rates.max()), 1e-6), interpolation="nearest")
    for edge in range(inner, groups, inner):
        axes.axhline(edge - 0.5, color="gray", linewidth=0.5)
        axes.axvline(edge - 0.5, color="gray", linewidth=0.5)
    size = 4.5 if groups > 40 else 8
    axes.set_xticks(range(groups), rest * len(shape[0]), rotation=90, fontsize=size)
    axes.set_yticks(range(groups), rest * len(shape[0]), fontsize=size)
    outer = (np.arange(len(shape[0])) + 0.5) * inner - 0.5
    top, right = axes.secondary_xaxis("top"), axes.secondary_yaxis("right")
    top.set_ticks(outer, shape[0], fontsize=8)
    right.set_ticks(outer, shape[0], fontsize=8, rotation=270, va="center")
    for secondary in (top, right):
        secondary.tick_params(length=0)
    axes.set_xlabel("predicted group")
    axes.set_ylabel("true group")
    figure.suptitle(fitted(title, side + 3.2, 11), fontsize=11)
    figure.colorbar(image, ax=axes, shrink=0.6, pad=0.06, label="share of the true group's images")
    return figure


@plain_text
def attribute_confusions(counts: Mapping[str, np.ndarray], names: Mapping[str, Sequence[str]], title: str) -> Figure:
    """One annotated, row-normalised matrix per attribute.

    Args:
        counts: attribute -> [C, C], rows true, columns predicted.
        names: attribute -> category names.
        title: figure title.
    """
    widths = [max(2.0, 0.62 * len(matrix)) for matrix in counts.values()]
    label = room([name for attribute in counts for name in names[attribute]], 8)
    width = sum(widths) + (1.3 + label) * len(widths)
    figure = Figure(figsize=(width, max(widths) + 1.4 + label), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width, 11), fontsize=11)
    for axes, (attribute, matrix) in zip(
        figure.subplots(1, len(counts), width_ratios=widths, squeeze=False)[0], counts.items(), strict=True
    ):
        total = matrix.sum(axis=1, keepdims=True)
        rates = matrix / np.maximum(total, 1)
        axes.imshow(rates, cmap="Blues", vmin=0.0, vmax=1.0)
        for i, j in np.ndindex(rates.shape):
            colour = "white" if rates[i, j] > 0.6 else "black"
            axes.text(j, i, f"{100 * rates[i, j]:.0f}", ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(len(matrix)), names[attribute], rotation=60, ha="right", fontsize=8)
        labels = [f"{name} ({n})" for name, n in zip(names[attribute], total[:, 0], strict=True)]
        axes.set_yticks(range(len(matrix)), labels, fontsize=8)
        axes.set_title(f"{attribute}, % of row")
        axes.set_xlabel("predicted")
        axes.set_ylabel("true (images)")
    return figure
