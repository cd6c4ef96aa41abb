"""The topographic maps of all groups of one layer: race x age for each gender, one symmetric colour scale."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bias_jax.report.elements import bar_length, fitted, plain_text

GAP = 8  # pixels between maps
SCALE = "mean activation of the group\nminus mean over groups"


@plain_text
def topomap_figure(
    images: np.ndarray, attributes: Sequence[tuple[str, Sequence[str]]], counts: np.ndarray, title: str
) -> Figure:
    """Draw one map per group.

    Args:
        images: [G, side, side], NaN where there is no unit or the group has no images.
        attributes: (name, categories) in mixed-radix order. The first two span rows and columns; every combination
            of the others gets a block of its own.
        counts: images per group [G].
        title: figure title.
    """
    names = [categories for _, categories in attributes]
    rows, columns = names[0], names[1] if len(names) > 1 else ("",)
    blocks = [", ".join(parts) for parts in product(*([f"{n}: {c}" for c in cs] for n, cs in attributes[2:]))]
    side = images.shape[-1]
    grid = images.reshape(len(rows), len(columns), len(blocks), side, side)
    numbers = counts.reshape(len(rows), len(columns), len(blocks))
    limit = symmetric_limit(images)
    panel = 0.95  # inches per map
    above = [fitted(name, panel, 8) for name in columns]
    size = (panel * max(len(columns), 4) + 2.6, (panel * len(rows) + 0.8) * len(blocks) + 0.5)
    figure = Figure(figsize=size, dpi=150, layout="compressed")
    figure.suptitle(fitted(title, size[0]), fontsize=10)
    axes = figure.subplots(len(blocks), 1, squeeze=False)[:, 0]
    for b, ax in enumerate(axes):
        # One mosaic per block: far quicker to draw and to open than a hundred axes.
        drawn = ax.imshow(_mosaic(grid[:, :, b]), cmap="bwr", vmin=-limit, vmax=limit, interpolation="nearest")
        ax.set_xticks((np.arange(len(columns)) + 0.5) * (side + GAP) - GAP / 2, above, fontsize=8)
        ax.set_yticks((np.arange(len(rows)) + 0.5) * (side + GAP) - GAP / 2, rows, fontsize=8)
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        ax.set_title(blocks[b], fontsize=10, fontweight="bold")
        for spine in ax.spines.values():
            spine.set_visible(False)
        for i, j in np.ndindex(len(rows), len(columns)):
            x, y = j * (side + GAP), i * (side + GAP)
            frame = Rectangle((x - 0.5, y - 0.5), side, side, fill=False, linewidth=0.4, edgecolor="0.6")
            frame.set_clip_on(False)
            ax.add_patch(frame)
            ax.text(x + side - 3, y + side - 3, f"n={numbers[i, j, b]}", fontsize=4.5, ha="right", va="bottom")
    bar = figure.colorbar(drawn, ax=axes, shrink=bar_length(size[1]), aspect=30, extend="both")
    bar.set_label(SCALE, fontsize=8)
    return figure


def symmetric_limit(images: np.ndarray) -> float:
    """End of the colour scale that all maps of a layer share: 99.5 % of the pixels lie within; 1 if all are 0 or NaN.

    The largest value instead, as published, leaves all but a few units pale.
    """
    shown = np.abs(images[np.isfinite(images)])
    return float(np.percentile(shown, 99.5) if shown.size else 0.0) or 1.0


def _mosaic(maps: np.ndarray) -> np.ndarray:
    """[rows, columns, side, side] -> one image with gaps."""
    rows, columns, side, _ = maps.shape
    canvas = np.full((rows * (side + GAP) - GAP, columns * (side + GAP) - GAP), np.nan, np.float32)
    for i, j in np.ndindex(rows, columns):
        canvas[i * (side + GAP) : i * (side + GAP) + side, j * (side + GAP) : j * (side + GAP) + side] = maps[i, j]
    return canvas
