"""Several runs side by side: one table for each number that they share, one figure for each curve."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from bias_jax.report.account import Cell, Column, Estimate, Excerpt
from bias_jax.report.elements import common_legend, fitted, layer_axis, layer_width, line_style, plain_text, room
from bias_jax.report.reading import Run


class Line(NamedTuple):
    """A curve of one run over its layers."""

    run: str
    layers: tuple[str, ...]
    estimates: tuple[Estimate, ...]


class Shared(NamedTuple):
    """One column of an excerpt that several runs have."""

    excerpt: Excerpt  # keys, then a column for each run
    lines: tuple[Line, ...]  # empty if it is no curve
    reference: float | None  # what guessing attains


def names_of(runs: Sequence[Run]) -> list[str]:
    """A short name for each run, with its number."""
    return [f"{number}: {run.title}" for number, run in enumerate(runs, 1)]


def shared_columns(runs: Sequence[Run]) -> Iterator[tuple[str, Shared]]:
    """Every compared column that at least two runs have, with the instrument it is of."""
    found: dict[tuple[str, str, str], list[tuple[int, Excerpt]]] = {}
    for number, run in enumerate(runs):
        for section in run.sections:
            for excerpt in section.told.excerpts:
                for column in excerpt.compared:
                    found.setdefault((section.name, excerpt.name, column), []).append((number, excerpt))
    for (instrument, _, column), own in found.items():
        if len(own) > 1:
            yield instrument, _shared(column, own, names_of(runs))


def _shared(column: str, own: Sequence[tuple[int, Excerpt]], names: Sequence[str]) -> Shared:
    first = own[0][1]
    form = next(c.form for c in first.columns if c.name == column)
    scale = 100.0 if form in ("percent", "points") else 1.0  # as the table shows it
    rows: dict[tuple[Cell, ...], dict[int, Cell]] = {}
    lines = []
    for number, excerpt in own:
        place = [c.name for c in excerpt.columns].index(column)
        for row in excerpt.rows:
            rows.setdefault(row[: excerpt.keys], {})[number] = row[place]
        if excerpt.curves:
            cells = [(str(row[0]), row[place]) for row in excerpt.rows]
            kept = [(layer, cell) for layer, cell in cells if isinstance(cell, tuple)]
            lines.append(Line(names[number], tuple(k for k, _ in kept), tuple(_scaled(e, scale) for _, e in kept)))
    columns = (*first.columns[: first.keys], *(Column(names[number], form) for number, _ in own))
    numbers = [number for number, _ in own]
    body = tuple((*key, *(cells.get(number) for number in numbers)) for key, cells in rows.items())
    excerpt = Excerpt(f"{first.name}-{column}", f"{first.title}: {column}", columns, body, first.note, first.keys)
    reference = scale * first.reference[column] if column in first.reference else None
    return Shared(excerpt, tuple(line for line in lines if line.layers), reference)


def _scaled(estimate: Estimate, scale: float) -> Estimate:
    value, low, high = estimate
    return scale * value, scale * low, scale * high


@plain_text
def lines_by_layer(lines: Sequence[Line], reference: float | None, title: str) -> Figure:
    """A curve for each run with its 95 % intervals; over the names of layers if all runs share them, else over depth.

    Args:
        lines: of the runs.
        reference: what guessing attains, dotted.
        title: what is drawn.
    """
    layers = lines[0].layers
    same = all(line.layers == layers for line in lines)
    width = layer_width(layers if same else (), 6.5) + 1.2
    height = 3.6 + (room(layers) if same else 0.4) + 0.25 * len(lines)
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width), fontsize=10)
    axes = figure.add_subplot()
    for number, line in enumerate(lines):
        style = line_style(number)
        x = np.arange(len(line.layers)) if same else np.linspace(0.0, 1.0, len(line.layers))
        value, low, high = np.array(line.estimates, float).T
        axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
        axes.vlines(x, low, high, color=style["color"], alpha=0.3, linewidth=1)
        axes.plot(x, value, **style, marker="o", markersize=3, label=line.run)
    if reference is not None:
        axes.axhline(reference, color="black", linestyle=":", label="guessing")
    if same:
        layer_axis(axes, layers)
    else:
        axes.set_xlabel("depth: first to last of the measured layers")
        axes.grid(axis="y", alpha=0.3)
    common_legend(figure, width)
    return figure
