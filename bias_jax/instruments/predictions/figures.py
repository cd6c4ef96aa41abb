"""Figures of predictions: the worst differences between groups, and confidence and entropy by group."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import Rows, Stored
from bias_jax.report.elements import Row, common_legend, fitted, plain_text, room

SIGNIFICANT = 0.05
MOST_GROUPS = 20  # of a view that is shown whole
UNITS = {"confidence": "mean confidence", "entropy": "mean entropy, bits"}


def prediction_figures(
    stored: Stored, tables: Mapping[str, Rows], shown: int
) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Figures by name."""
    differences, confidence = tables.get("prediction_differences", []), tables["confidence"]
    if differences:
        title = f"{min(shown, len(differences))} of {len(differences)} differences, worst first. {stored.title}"
        yield "differences", partial(worst_differences, differences[:shown], title)
    for view in dict.fromkeys(row["view"] for row in confidence):
        rows = [row for row in confidence if row["view"] == view]
        groups = list(dict.fromkeys(row["group"] for row in rows))
        if len(groups) < 2:
            continue
        what = f"all {len(groups)} groups of {view}"
        if len(groups) > MOST_GROUPS:
            what = f"the {min(shown, len(groups))} of {len(groups)} groups of {view} that differ most surely"
            groups = _furthest(rows)[:shown]
        name = f"confidence-{view.replace(' ', '-')}"
        yield name, partial(confidence_by_group, rows, groups, f"Confidence of {what}. {stored.title}")


def _furthest(rows: Rows) -> list[str]:
    """Groups by how surely their confidence differs from that of the others."""
    own = [row for row in rows if row["measure"] == "confidence"]
    return [row["group"] for row in sorted(own, key=lambda row: (row["p_value"], -abs(row["difference"])))]


@plain_text
def worst_differences(rows: Sequence[Row], title: str) -> Figure:
    """Differences of groups from the mean of the others with 95 % intervals, one a line, in the order of the rows.

    Args:
        rows: of the table ``prediction_differences``.
        title: figure title.
    """
    names = [f"{_event(row)}: {row['group']} ({row['hits']} of {row['images']})" for row in rows]
    width, height = 4.6 + room(names), 1.5 + 0.2 * max(len(rows), 3)
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width, 9), fontsize=9)
    axes = figure.add_subplot()
    axes.axvline(0.0, color="black", linewidth=0.8)
    value, low, high = (100.0 * np.array([row[key] for row in rows]) for key in ("difference", "low", "high"))
    sure = np.array([row["p_holm"] < SIGNIFICANT for row in rows])
    for mine, colour, name in ((sure, "tab:red", f"p (Holm) < {SIGNIFICANT}"), (~sure, "tab:gray", "not significant")):
        y = np.flatnonzero(mine)
        if len(y):
            axes.hlines(y, low[mine], high[mine], color=colour, linewidth=1.3)
            axes.plot(value[mine], y, "o", color=colour, markersize=3.5, label=name)
    axes.set_yticks(range(len(rows)), names, fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("rate minus mean rate of the other groups, percentage points, 95 % interval", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", alpha=0.3)
    common_legend(figure, width)
    return figure


@plain_text
def confidence_by_group(rows: Sequence[Row], groups: Sequence[str], title: str) -> Figure:
    """Mean confidence and mean entropy of the groups with 95 % intervals; dashed: the mean of all groups.

    Args:
        rows: of the table ``confidence``, of one view.
        groups: which of its groups, from top to bottom.
        title: figure title.
    """
    images = {row["group"]: row["images"] for row in rows}
    names = [f"{group} ({images[group]})" for group in groups]
    width, height = 6.6 + room(names), 1.4 + 0.2 * max(len(groups), 3)
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width, 9), fontsize=9)
    for number, (measure, unit) in enumerate(UNITS.items()):
        axes = figure.add_subplot(1, len(UNITS), number + 1)
        own = {row["group"]: row for row in rows if row["measure"] == measure}
        value, low, high = (np.array([own[g][key] for g in groups], float) for key in ("value", "low", "high"))
        sure = np.array([own[g]["p_max_t"] < SIGNIFICANT for g in groups])
        colours = np.where(sure, "tab:red", "tab:blue")
        y = np.arange(len(groups))
        axes.axvline(np.mean([row["value"] for row in own.values()]), color="black", linestyle="--", linewidth=0.8)
        axes.hlines(y, low, high, color=list(colours), linewidth=1.3)
        for chosen, colour, label in ((sure, "tab:red", f"differs from the others, p (max-T) < {SIGNIFICANT}"),
                                      (~sure, "tab:blue", "not significant")):  # fmt: skip
            if chosen.any():
                axes.plot(value[chosen], y[chosen], "o", color=colour, markersize=3.5, label=label)
        axes.set_yticks(y, names if number == 0 else [], fontsize=7)
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.set_xlabel(f"{unit}, 95 % interval", fontsize=8)
        axes.locator_params(axis="x", nbins=5)
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(axis="x", alpha=0.3)
    common_legend(figure, width)
    return figure


def _event(row: Row) -> str:
    family = "family " if row["kind"] == "family" else ""
    return f"{family}{row['label']}" + (f", among {row['top']}" if row["top"] > 1 else "")
