"""Figures of multi-label heads: precision by layer, rates by group, differences between losses, and maps of images."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Row = Mapping[str, Any]
WORDS = {"pairwise_softmax": "pairwise softmax (a)", "target_softmax": "target softmax (b)",
         "binary_cross_entropy": "binary cross-entropy (c)", "zlpr": "ZLPR (d)"}  # fmt: skip


def precision_by_layer(path: Path, rows: Sequence[Row], title: str) -> None:
    """Mean average precision of every loss on test images over layers; the range of seeds and splits is shaded.

    Args:
        path: image file.
        rows: fields ``layer`` (in depth order), ``loss``, ``test_average_precision``, ``chance_average_precision``.
        title: network, weights and data.
    """
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    figure = Figure(figsize=(2.5 + 0.42 * max(8, len(layers)), 4.5), layout="constrained")
    axes = figure.add_subplot()
    for number, loss in enumerate(dict.fromkeys(row["loss"] for row in rows)):
        found = [
            [r["test_average_precision"] for r in rows if (r["layer"], r["loss"]) == (layer, loss)] for layer in layers
        ]
        low, high = ([f(values) for values in found] for f in (np.min, np.max))
        axes.fill_between(range(len(layers)), low, high, color=f"C{number}", alpha=0.15, linewidth=0)
        axes.plot(range(len(layers)), [np.mean(v) for v in found], "o-", markersize=3, label=WORDS.get(loss, loss))
    axes.axhline(np.mean([row["chance_average_precision"] for row in rows]), color="black", ls=":", label="chance")
    axes.set_xticks(range(len(layers)), layers, rotation=90, fontsize=7)
    axes.set_ylabel("mean average precision, test images")
    axes.set_title(textwrap.fill(title, 70), fontsize=9)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=160)


def rates_by_group(path: Path, rows: Sequence[Row], panels: Sequence[tuple[str, str]], title: str) -> None:
    """Rates of every group with 95 % intervals, one colour per loss; one panel per metric and label.

    Args:
        path: image file.
        rows: rows of ``rates.parquet`` of one view.
        panels: (metric, label) of each panel.
        title: figure title.
    """
    groups = list(dict.fromkeys(row["group"] for row in rows))
    losses = list(dict.fromkeys(row["loss"] for row in rows))
    figure = Figure(figsize=(2.2 + 3.1 * len(panels), 1.7 + 0.34 * len(groups) + 0.2), layout="constrained")
    figure.suptitle(textwrap.fill(title, 40 * len(panels)), fontsize=9)
    for number, (metric, label) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for k, loss in enumerate(losses):
            mine = {r["group"]: r for r in rows if (r["loss"], r["metric"], r["label"]) == (loss, metric, label)}
            _whiskers(axes, [mine.get(g) for g in groups], ("value", "low", "high"), k, len(losses), loss)
        counts = {r["group"]: r["images"] for r in rows}
        axes.set_yticks(range(len(groups)), [f"{g} ({counts[g]})" for g in groups] if not number else [], fontsize=7)
        axes.set_title(f"{metric.replace('_', ' ')}\n{label}", fontsize=8)
    figure.axes[0].set_ylabel("group (images)", fontsize=8)
    _legend(figure)
    figure.savefig(path, dpi=160)


def loss_differences(path: Path, rows: Sequence[Row], panels: Sequence[tuple[str, str]], title: str) -> None:
    """Differences between losses in every group, paired by image, with 95 % intervals.

    Args:
        path: image file.
        rows: rows of ``losses.parquet`` of one view.
        panels: (metric, label) of each panel.
        title: figure title.
    """
    groups = list(dict.fromkeys(row["group"] for row in rows))
    pairs = list(dict.fromkeys((row["loss"], row["minus_loss"]) for row in rows))
    height = 1.9 + (0.15 + 0.07 * len(pairs)) * len(groups)
    figure = Figure(figsize=(2.8 + 3.1 * len(panels), height), layout="constrained")
    figure.suptitle(textwrap.fill(title, 40 * len(panels)), fontsize=9)
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
    _legend(figure)
    figure.savefig(path, dpi=160)


def _whiskers(axes: Axes, rows: Sequence[Row | None], fields: tuple[str, str, str], k: int, of: int, name: str) -> None:
    y = np.arange(len(rows)) + 0.7 * ((k + 0.5) / of - 0.5)
    value, low, high = (np.array([np.nan if r is None else r[f] for r in rows], float) for f in fields)
    shown = ~np.isnan(value)
    axes.hlines(y[shown], low[shown], high[shown], color=f"C{k}", linewidth=1.3, alpha=0.7)
    axes.plot(value[shown], y[shown], "o", color=f"C{k}", markersize=3, label=WORDS.get(name, name))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", alpha=0.3)


def _legend(figure: Figure) -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)), fontsize=7)


def recall_table(path: Path, rows: Sequence[Row], title: str) -> None:
    """Recall of every label in every group, one annotated panel per loss; empty cells have no image with the label.

    Args:
        path: image file.
        rows: rows of ``rates.parquet`` of one view, of the metric ``recall`` and of single labels.
        title: figure title.
    """
    groups, labels, losses = (list(dict.fromkeys(row[key] for row in rows)) for key in ("group", "label", "loss"))
    columns = min(2, len(losses))
    lines = -(-len(losses) // columns)
    size = (columns * (1.6 + 0.52 * len(labels)) + 0.5, lines * (1.6 + 0.33 * len(groups)) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(textwrap.fill(title, int(size[0] * 12)), fontsize=9)
    for number, loss in enumerate(losses):
        axes = figure.add_subplot(lines, columns, number + 1)
        found = {(r["group"], r["label"]): r for r in rows if r["loss"] == loss}
        values = np.array([[found[g, x]["value"] for x in labels] for g in groups], float)
        axes.imshow(values, cmap="viridis", vmin=0.0, vmax=1.0, aspect="auto")
        for i, j in np.ndindex(values.shape):
            if not np.isnan(values[i, j]):
                text = f"{100 * values[i, j]:.0f}\n({found[groups[i], labels[j]]['trials']:.0f})"
                colour = "black" if values[i, j] > 0.6 else "white"
                axes.text(j, i, text, ha="center", va="center", fontsize=5, color=colour)
        axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=7)
        axes.set_yticks(range(len(groups)), groups, fontsize=7)
        axes.set_title(f"{WORDS.get(loss, loss)}: recall in % (images)", fontsize=8)
    figure.savefig(path, dpi=170)


def contact_sheet(
    path: Path, pictures: np.ndarray, cams: np.ndarray, occlusions: np.ndarray, captions: Sequence[str],
    losses: Sequence[str], title: str,
) -> None:  # fmt: skip
    """One line per image: the image, then Grad-CAM and occlusion map of every loss.

    Args:
        path: image file.
        pictures: uint8 [n, side, side, 3].
        cams: [n, J, h, w], each drawn from 0 to its maximum.
        occlusions: [n, J, cells, cells], drawn symmetric around 0.
        captions: what to look for.
        losses: names of the J losses.
        title: figure title.
    """
    columns = 1 + 2 * len(losses)
    figure = Figure(figsize=(1.9 * columns + 1.2, 2.05 * len(pictures) + 0.8), layout="constrained")
    figure.suptitle(textwrap.fill(title, 24 * columns), fontsize=9)
    panels = figure.subplots(len(pictures), columns, squeeze=False)
    side = pictures.shape[1]
    extent = (-0.5, side - 0.5, side - 0.5, -0.5)
    for i, line in enumerate(panels):
        for axes in line:
            axes.imshow(pictures[i], extent=extent)
            axes.set_xticks([])
            axes.set_yticks([])
        line[0].set_ylabel(textwrap.fill(captions[i].replace("\n", "; "), 24), fontsize=7)
        for j, loss in enumerate(losses):
            top = max(float(cams[i, j].max()), 1e-12)
            line[1 + j].imshow(cams[i, j], cmap="jet", vmin=0, vmax=top, alpha=0.5, extent=extent,
                               interpolation="bilinear")  # fmt: skip
            limit = max(float(np.abs(occlusions[i, j]).max()), 1e-12)
            line[1 + len(losses) + j].imshow(occlusions[i, j], cmap="bwr", vmin=-limit, vmax=limit, alpha=0.55,
                                             extent=extent, interpolation="nearest")  # fmt: skip
            if i == 0:
                line[1 + j].set_title(f"Grad-CAM\n{WORDS.get(loss, loss)}", fontsize=7)
                line[1 + len(losses) + j].set_title(f"occlusion (red: speaks for)\n{WORDS.get(loss, loss)}", fontsize=7)
    figure.savefig(path, dpi=130)


def group_attention(
    path: Path, pictures: Mapping[str, np.ndarray], maps: Mapping[str, np.ndarray], counts: Mapping[str, int],
    losses: Sequence[str], title: str,
) -> None:  # fmt: skip
    """Average attention of every group: mean image and mean Grad-CAM of each loss, on one colour scale.

    Args:
        path: image file.
        pictures: group -> mean image [side, side, 3], 0 to 255.
        maps: group -> [J, h, w], shares of the attention.
        counts: group -> images.
        losses: names of the J losses.
        title: figure title.
    """
    figure = Figure(figsize=(1.35 * len(maps) + 1.2, 1.45 * (1 + len(losses)) + 0.9), layout="constrained")
    figure.suptitle(textwrap.fill(title, max(40, 16 * len(maps))), fontsize=9)
    panels = figure.subplots(1 + len(losses), len(maps), squeeze=False)
    # A few cells of small groups may hold a lot; they must not make everything else dark.
    top = float(np.percentile(np.concatenate([m.ravel() for m in maps.values()]), 99))
    for g, (group, attention) in enumerate(maps.items()):
        panels[0, g].imshow(pictures[group].astype(np.uint8))
        panels[0, g].set_title(f"{textwrap.fill(group, 17)}\nn={counts[group]}", fontsize=7)
        for j in range(len(losses)):
            drawn = panels[1 + j, g].imshow(attention[j], cmap="magma", vmin=0.0, vmax=top)
        for axes in panels[:, g]:
            axes.set_xticks([])
            axes.set_yticks([])
    for j, loss in enumerate(losses):
        panels[1 + j, 0].set_ylabel(textwrap.fill(WORDS.get(loss, loss), 16), fontsize=7)
    figure.colorbar(drawn, ax=panels[1:], shrink=0.8, extend="max").set_label("share of the attention", fontsize=7)
    figure.savefig(path, dpi=140)
