"""How many images each group has: race x age for each gender."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from bias_jax.report.elements import fitted, plain_text, room


@plain_text
def group_counts(counts: Mapping[str, np.ndarray], attributes: Sequence[tuple[str, Sequence[str]]]) -> Figure:
    """Annotated counts; one row of panels per data split.

    Args:
        counts: split -> images per group [G], groups in mixed-radix order.
        attributes: (name, categories); the first two span a panel, every combination of the others is a panel.
    """
    names = [categories for _, categories in attributes]
    rows, columns = names[0], names[1] if len(names) > 1 else ("",)
    blocks = [", ".join(parts) for parts in product(*([f"{n}: {c}" for c in cs] for n, cs in attributes[2:]))]
    width = max(4.0, 0.62 * len(columns) + 0.8 + room(rows, 8))
    size = (width * len(blocks), (0.42 * len(rows) + 0.9 + 0.7 * room(columns, 8)) * len(counts))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    largest = max(2, *(int(v.max()) for v in counts.values()))
    norm = LogNorm(1, largest)
    panels = figure.subplots(len(counts), len(blocks), squeeze=False)
    for panel, (split, values) in zip(panels, counts.items(), strict=True):
        grid = values.reshape(len(rows), len(columns), len(blocks))
        for b, axes in enumerate(panel):
            shown = np.where(grid[:, :, b] > 0, grid[:, :, b], np.nan)  # no images: left white
            axes.imshow(shown, cmap="viridis", norm=norm, aspect="auto")
            for i, j in np.ndindex(len(rows), len(columns)):
                number = grid[i, j, b]
                colour = "red" if not number else "black" if norm(number) > 0.6 else "white"
                axes.text(j, i, f"{number}", ha="center", va="center", fontsize=7, color=colour)
            axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=8)
            axes.set_yticks(range(len(rows)), rows, fontsize=8)
            title = f"{split}: {values.sum():,} images" + (f", {blocks[b]}" if blocks[b] else "")
            axes.set_title(fitted(title, width - 0.5, 9), fontsize=9)
    return figure
