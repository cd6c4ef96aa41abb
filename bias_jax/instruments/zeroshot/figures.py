"""Figures of zero-shot answers: rates by group, over pictures and over templates, beside shuffled groups."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.zeroshot.tables import single_attributes
from bias_jax.report.elements import Row, common_legend, fitted, plain_text, room

MOST_GROUPS = 40


def zeroshot_figures(
    stored: Stored, tables: Mapping[str, Rows], shown: int
) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Figures by name."""
    rows = single_attributes(stored, tables["zeroshot"])
    for number, family in enumerate(dict.fromkeys(row["family"] for row in rows), start=1):
        own = [row for row in rows if row["family"] == family]
        ranges: dict[str, float] = {}
        for row in own:
            values = [r["value"] for r in own if (r["prompt"], r["view"]) == (row["prompt"], row["view"])]
            ranges[row["prompt"]] = max(ranges.get(row["prompt"], 0.0), max(values) - min(values))
        order = sorted(ranges, key=lambda prompt: (prompt != "", -ranges[prompt]))[:shown]
        title = f"{family}: {len(order)} of {len(ranges)} rates by group. {stored.title}"
        plain = re.sub(r"[^-.0-9A-Z_a-z]+", "-", family)[:60]  # the number tells apart what becomes one
        yield f"rates-{number}-{plain}", partial(rates_by_group, own, order, title)


@plain_text
def rates_by_group(rows: Sequence[Row], prompts: Sequence[str], title: str) -> Figure:
    """Rates of groups, one panel for each prompt: with 95 % intervals over pictures and, below, over templates.

    Args:
        rows: of the table ``zeroshot``, of one family.
        prompts: from left to right; "": misclassification.
        title: figure title.
    """
    groups = list(dict.fromkeys((row["view"], row["group"]) for row in rows))[:MOST_GROUPS]
    images = {(row["view"], row["group"]): row["images"] for row in rows}
    names = [f"{view} {group} ({images[view, group]})" for view, group in groups]
    width, height = 1.0 + room(names) + 1.9 * len(prompts), 1.5 + 0.24 * max(len(groups), 3)
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width, 9), fontsize=9)
    y = np.arange(len(groups))
    for number, prompt in enumerate(prompts):
        axes = figure.add_subplot(1, len(prompts), number + 1)
        own = {(row["view"], row["group"]): row for row in rows if row["prompt"] == prompt}
        keys = ("value", "low", "high", "template_low", "template_high", "shuffled_low", "shuffled_high")
        value, low, high, first, last, least, most = (
            100.0 * np.array([own[group][key] for group in groups], float) for key in keys
        )
        axes.barh(y, most - least, 0.8, left=least, color="0.88", label="95 % of shuffled groups")
        axes.hlines(y - 0.12, low, high, color="tab:blue", linewidth=1.3)
        axes.plot(value, y - 0.12, "o", color="tab:blue", markersize=3, label="rate, 95 % interval over pictures")
        axes.hlines(y + 0.2, first, last, color="tab:orange", linewidth=1.3, label="95 % interval over templates")
        axes.set_yticks(y, names if number == 0 else [], fontsize=7)
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.set_title(fitted(prompt or "misclassified", 1.8, 8), fontsize=8)
        axes.set_xlabel("% of pictures", fontsize=8)
        axes.locator_params(axis="x", nbins=4)
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(axis="x", alpha=0.3)
    common_legend(figure, width)
    return figure
