"""Figures of multi-label heads: precision by layer, rates by group, differences between losses, recall of labels."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bias_jax.report.elements import Row, common_legend, fitted, layer_axis, layer_width, plain_text, room

WORDS = {"pairwise_softmax": "pairwise softmax (a)", "target_softmax": "target softmax (b)",
         "binary_cross_entropy": "binary cross-entropy (c)", "zlpr": "ZLPR (d)"}  # fmt: skip


@plain_text
def precision_by_layer(rows: Sequence[Row], title: str) -> Figure:
    """Mean average precision of every loss on test images over layers; the range of seeds and splits is shaded.

    Args:
        rows: fields ``layer`` (in depth order), ``loss``, ``test_average_precision``, ``chance_average_precision``.
        title: network, weights and data.
    """
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    width = layer_width(layers, 5.0) + 2.5
    figure = Figure(figsize=(width, 3.8 + room(layers)), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width, 9), fontsize=9)
    axes = figure.add_subplot()
    for number, loss in enumerate(dict.fromkeys(row["loss"] for row in rows)):
        found = [
            [r["test_average_precision"] for r in rows if (r["layer"], r["loss"]) == (layer, loss)] for layer in layers
        ]
        low, high = ([f(values) for values in found] for f in (np.min, np.max))
        axes.fill_between(range(len(layers)), low, high, color=f"C{number}", alpha=0.15, linewidth=0)
        axes.plot(range(len(layers)), [np.mean(v) for v in found], "o-", markersize=3, label=WORDS.get(loss, loss))
    axes.axhline(np.mean([row["chance_average_precision"] for row in rows]), color="black", ls=":", label="chance")
    layer_axis(axes, layers)
    axes.set_ylabel("mean average precision, test images")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@plain_text
def rates_by_group(rows: Sequence[Row], panels: Sequence[tuple[str, str]], title: str) -> Figure:
    """Rates of every group with 95 % intervals, one colour per loss; one panel per metric and label.

    Args:
        rows: rows of ``rates.parquet`` of one view.
        panels: (metric, label) of each panel.
        title: figure title.
    """
    groups = list(dict.fromkeys(row["group"] for row in rows))
    losses = list(dict.fromkeys(row["loss"] for row in rows))
    width = 1.4 + room(groups) + 3.1 * len(panels)
    figure = Figure(figsize=(width, 1.9 + 0.34 * max(len(groups), 3)), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width, 9), fontsize=9)
    for number, (metric, label) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for k, loss in enumerate(losses):
            mine = {r["group"]: r for r in rows if (r["loss"], r["metric"], r["label"]) == (loss, metric, label)}
            _whiskers(axes, [mine.get(g) for g in groups], ("value", "low", "high"), k, len(losses), loss)
        counts = {r["group"]: r["images"] for r in rows}
        axes.set_yticks(range(len(groups)), [f"{g} ({counts[g]})" for g in groups] if not number else [], fontsize=7)
        axes.set_title(f"{metric.replace('_', ' ')}\n{label}", fontsize=8)
    figure.axes[0].set_ylabel("group (images)", fontsize=8)
    common_legend(figure, width)
    return figure


@plain_text
def loss_differences(rows: Sequence[Row], panels: Sequence[tuple[str, str]], title: str) -> Figure:
    """Differences between losses in every group, paired by image, with 95 % intervals.

    Args:
        rows: rows of ``losses.parquet`` of one view.
        panels: (metric, label) of each panel.
        title: figure title.
    """
    groups = list(dict.fromkeys(row["group"] for row in rows))
    pairs = list(dict.fromkeys((row["loss"], row["minus_loss"]) for row in rows))
    height = 1.9 + (0.15 + 0.07 * len(pairs)) * len(groups)
    width = 1.4 + room(groups) + 3.1 * len(panels)
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width, 9), fontsize=9)
    for number, (metric, label) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        axes.axvline(0.0, color="black", linewidth=0.8)
        for k, pair in enumerate(pairs):
            mine = {
                r["group"]: r
                for r in rows
                if (r["loss"], r["minus_loss"], r["metric"], r["label"]) == (*pair, metric, label)
            }
            name = f"{WORDS.get(pair[0], pair[0])} - {WORDS.get(pair[1], pair[1])}"
            _whiskers(axes, [mine.get(g) for g in groups], ("value", "value_low", "value_high"), k, len(pairs), name)
        counts = {r["group"]: r["images"] for r in rows}
        axes.set_yticks(range(len(groups)), [f"{g} ({counts[g]})" for g in groups] if not number else [], fontsize=7)
        axes.set_title(f"{metric.replace('_', ' ')}\n{label}", fontsize=8)
    common_legend(figure, width)
    return figure


def _whiskers(axes: Axes, rows: Sequence[Row | None], fields: tuple[str, str, str], k: int, of: int, name: str) -> None:
    y = np.arange(len(rows)) + 0.7 * ((k + 0.5) / of - 0.5)
    value, low, high = (np.array([np.nan if r is None else r[f] for r in rows], float) for f in fields)
    shown = ~np.isnan(value)
    axes.hlines(y[shown], low[shown], high[shown], color=f"C{k}", linewidth=1.3, alpha=0.7)
    axes.plot(value[shown], y[shown], "o", color=f"C{k}", markersize=3, label=WORDS.get(name, name))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", alpha=0.3)


@plain_text
def recall_table(rows: Sequence[Row], title: str) -> Figure:
    """Recall of every label in every group, one annotated panel per loss; empty cells have no image with the label.

    Args:
        rows: rows of ``rates.parquet`` of one view, of the metric ``recall`` and of single labels.
        title: figure title.
    """
    groups, labels, losses = (list(dict.fromkeys(row[key] for row in rows)) for key in ("group", "label", "loss"))
    columns = min(2, len(losses))
    lines = -(-len(losses) // columns)
    width = columns * (0.8 + room(groups) + max(1.8, 0.52 * len(labels))) + 0.5
    height = lines * (1.1 + room(labels) + 0.33 * len(groups)) + 0.6
    figure = Figure(figsize=(width, height), dpi=170, layout="constrained")
    figure.suptitle(fitted(title, width, 9), fontsize=9)
    for number, loss in enumerate(losses):
        axes = figure.add_subplot(lines, columns, number + 1)
        found = {(r["group"], r["label"]): r for r in rows if r["loss"] == loss}
        values = np.array([[found[g, x]["value"] for x in labels] for g in groups], float)
        axes.imshow(values, cmap="viridis", vmin=0.0, vmax=1.0, aspect="auto")
        for i, j in np.ndindex(values.shape):
            if not np.isnan(values[i, j]):
                text = f"{100 * values[i, j]:.0f}\n({found[groups[i], labels[j]]['trials']:.0f})"
                colour = "black" if values[i, j] > 0.6 else "white"
                axes.text(j, i, text, ha="center", va="center", fontsize=6, color=colour)
        axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=7)
        axes.set_yticks(range(len(groups)), groups, fontsize=7)
        axes.set_title(f"{WORDS.get(loss, loss)}\nrecall in % (images)", fontsize=8)
    return figure
