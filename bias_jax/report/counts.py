"""How many images each group has: race x age for each gender."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure


def group_counts(path: Path, counts: dict[str, np.ndarray], attributes: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Annotated counts; one row of panels per data split.

    Args:
        path: image file.
        counts: split -> images per group [G], groups in mixed-radix order.
        attributes: (name, categories); the first two span a panel, every combination of the others is a panel.
    """
    names = [categories for _, categories in attributes]
    rows, columns = names[0], names[1] if len(names) > 1 else ("",)
    blocks = [", ".join(parts) for parts in product(*([f"{n}: {c}" for c in cs] for n, cs in attributes[2:]))]
    size = (max(4.0, 0.62 * len(columns) + 1.8) * len(blocks), (0.42 * len(rows) + 1.5) * len(counts))
    figure = Figure(figsize=size, layout="constrained")
    largest = max(2, *(int(v.max()) for v in counts.values()))
    norm = LogNorm(1, largest)
    panels = figure.subplots(len(counts), len(blocks), squeeze=False)
    for panel, (split, values) in zip(panels, counts.items(), strict=True):
        grid = values.reshape(len(rows), len(columns), len(blocks))
        for b, axes in enumerate(panel):
            axes.imshow(np.maximum(grid[:, :, b], 0.5), cmap="viridis", norm=norm, aspect="auto")
            for i, j in np.ndindex(len(rows), len(columns)):
                number = grid[i, j, b]
                colour = "black" if number > 0.2 * largest else "white" if number else "red"
                axes.text(j, i, f"{number}", ha="center", va="center", fontsize=7, color=colour)
            axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=8)
            axes.set_yticks(range(len(rows)), rows, fontsize=8)
            axes.set_title(f"{split}: {values.sum():,} images" + (f", {blocks[b]}" if blocks[b] else ""), fontsize=9)
    figure.savefig(path, dpi=150)
