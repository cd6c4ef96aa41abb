"""Parts that figures share: titles that fit, the axis of layers, one legend for all panels."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

P = ParamSpec("P")
Row = Mapping[str, Any]  # of a tidy table
STYLES = ("-", "--", ":", "-.")  # after every ten colours
CHARACTER = 0.0077  # mean width of a character, inches per point of its size


def plain_text(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Labels come from users: a dollar sign in one is a dollar sign, not mathematics."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context({"text.parse_math": False}):
            return draw(*args, **kwargs)

    return drawn


def fitted(text: str, inches: float, size: float = 10.0) -> str:
    """Text broken into lines of at most so many inches at a font size in points; its own line breaks stay."""
    width = max(8, int(inches / (CHARACTER * size)))
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())


def room(labels: Sequence[str], size: float = 7.0) -> float:
    """Inches that the longest label needs at a font size in points."""
    return CHARACTER * size * max((len(part) for label in labels for part in label.splitlines()), default=0)


def bar_length(height: float) -> float:
    """Share of a figure's height, inches, at which a colour bar is long enough for its label."""
    return min(1.0, max(0.5, 2.4 / height))


def layer_width(layers: Sequence[str], least: float) -> float:
    """Width of a panel in which the names of all layers stand side by side, inches."""
    return max(least, 0.7 + 0.125 * len(layers))


def layer_axis(axes: Axes, layers: Sequence[str]) -> None:
    """Layers from left to right, their names upright; one layer alone in the middle."""
    axes.set_xticks(range(len(layers)), layers, rotation=90, fontsize=7)
    axes.set_xlim(-0.6, len(layers) - 0.4)
    axes.grid(axis="y", alpha=0.3)


def line_style(number: int) -> Row:
    """Colour and line of the curve with this number: different for the first forty."""
    return {"color": f"C{number % 10}", "linestyle": STYLES[number // 10 % len(STYLES)]}


def common_legend(figure: Figure, inches: float, size: float = 8.0) -> None:
    """One legend below all panels, of everything that is named in any of them."""
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named:
        columns = int(inches / (room(list(named), size) + 0.5))
        figure.legend(list(named.values()), list(named), loc="outside lower center", fontsize=size,
                      ncols=max(1, min(columns, len(named))))  # fmt: skip
