"""A heat map of every two layers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from bias_jax.report.elements import Row, fitted, plain_text, room


@plain_text
def similarity_map(rows: Sequence[Row], what: str, title: str) -> Figure:
    """Similarity of every two layers; lines part the sources.

    Args:
        rows: of the table ``cka``, or of ``rsa`` for one target.
        what: is shown, for the colour bar.
        title: network, weights and data.
    """
    places = list(dict.fromkeys((row["source"], row["layer"]) for row in rows))
    number = {place: i for i, place in enumerate(places)}
    shown = np.full((len(places), len(places)), np.nan)
    for row in rows:
        i, j = number[row["source"], row["layer"]], number[row["versus_source"], row["versus_layer"]]
        shown[i, j] = shown[j, i] = row["value"]
    sources = [source for source, _ in places]
    several = len(set(sources)) > 1
    names = [f"{layer} ({source})" if several else layer for source, layer in places]
    side = max(2.4, 0.16 * len(places))
    figure = Figure(figsize=(side + room(names) + 1.4, side + room(names) + 0.7), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, side + room(names) + 1.0, 9), fontsize=9)
    axes = figure.add_subplot()
    drawn = axes.imshow(shown, cmap="viridis", vmin=min(0.0, float(np.nanmin(shown, initial=0.0))), vmax=1.0)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    for i in range(1, len(sources)):
        if sources[i] != sources[i - 1]:
            axes.axhline(i - 0.5, color="white", linewidth=1.5)
            axes.axvline(i - 0.5, color="white", linewidth=1.5)
    figure.colorbar(drawn, ax=axes, shrink=0.7).set_label(what, fontsize=8)
    return figure
