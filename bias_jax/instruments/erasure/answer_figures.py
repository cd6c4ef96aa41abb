"""How far the network's answers move when a layer is erased, and what becomes of the groups."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.erasure.answer_account import spoken
from bias_jax.instruments.erasure.answer_tables import AGREEMENT, ANSWERS, BY_GROUP, DISTANCE, EVERYONE, PROBABILITY
from bias_jax.instruments.erasure.conditions import ERASED, RANDOM, SHUFFLED
from bias_jax.report.elements import Row, common_legend, fitted, layer_axis, layer_width, line_style, plain_text, room

CONTROLS = {
    ERASED: ("erased", {"color": "tab:red"}),
    RANDOM: ("random subspace erased", {"color": "tab:gray", "linestyle": "--"}),
    SHUFFLED: ("shuffled labels erased", {"color": "tab:gray", "linestyle": ":"}),
}
METRICS = {DISTANCE: "probability that goes\nto other classes", AGREEMENT: "images that keep\ntheir class"}


def answer_figures(stored: Stored, tables: Mapping[str, Rows]) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Figures by name."""
    if ANSWERS not in tables:
        return
    erased = stored.facts["erased"]
    yield "erasure_answers_by_layer", partial(answers_by_layer, tables[ANSWERS], erased, stored.title)
    rows = [r for r in tables.get(BY_GROUP, ()) if r["control"] == ERASED and r["measure"] == PROBABILITY
            and r["view"] == r["erased"]]  # fmt: skip
    if shown := [name for name in erased if any(r["view"] == name and r["view"] != EVERYONE for r in rows)]:
        yield "erasure_answers_by_group", partial(answers_by_group, rows, shown, stored.title)


@plain_text
def answers_by_layer(rows: Sequence[Row], erased: Sequence[str], title: str) -> Figure:
    """A column for each erased attribute: how far answers move, and how many stay, over layers with 95 % intervals.

    Args:
        rows: of the table ``erasure_answers``; layers in depth order.
        erased: which attributes, in order.
        title: network, weights and data.
    """
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    panel = layer_width(layers, 3.0)
    width = 1.2 + panel * len(erased)
    figure = Figure(figsize=(width, 5.6 + 2.0 * room(layers)), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width), fontsize=10)
    panels = figure.subplots(len(METRICS), len(erased), squeeze=False, sharex=True, sharey="row")
    for across, name in enumerate(erased):
        for axes, (metric, label) in zip(panels[:, across], METRICS.items(), strict=True):
            for place, (control, (said, style)) in enumerate(CONTROLS.items()):
                own = [r for r in rows if (r["erased"], r["control"], r["metric"]) == (name, control, metric)]
                x = np.array([layers.index(r["layer"]) for r in own]) + 0.2 * (place - 1)
                value, low, high = (np.array([r[key] for r in own], float) for key in ("value", "low", "high"))
                reach = np.maximum(np.nan_to_num([value - low, high - value]), 0.0)
                axes.errorbar(x, value, reach, **style, marker="o", markersize=3, linewidth=1, elinewidth=0.7,
                              label=said)  # fmt: skip
            layer_axis(axes, layers)
            if across == 0:
                axes.set_ylabel(label, fontsize=8)
        panels[0, across].set_title(fitted(f"{name} erased", panel - 0.3, 9), fontsize=9)
    common_legend(figure, width)
    return figure


@plain_text
def answers_by_group(rows: Sequence[Row], erased: Sequence[str], title: str) -> Figure:
    """Mean probability of the answer that differs most between the groups of an attribute, before and after erasing it.

    Args:
        rows: of the table ``erasure_answers_by_group``: mean probabilities of the groups of the erased attribute.
        erased: which attributes, in order.
        title: network, weights and data.
    """
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    width = 3.4 + layer_width(layers, 4.6)
    figure = Figure(figsize=(width, 1.0 + (2.8 + room(layers)) * len(erased)), dpi=160, layout="constrained")
    figure.suptitle(fitted(title, width), fontsize=10)
    for number, name in enumerate(erased):
        axes = figure.add_subplot(len(erased), 1, number + 1)
        own = [row for row in rows if row["erased"] == name]
        widest = max(own, key=lambda row: np.nan_to_num(abs(row["gap_before"])))
        mine = [row for row in own if (row["kind"], row["label"]) == (widest["kind"], widest["label"])]
        for place, group in enumerate(dict.fromkeys(row["group"] for row in mine)):
            curve = [row for row in mine if row["group"] == group]
            style = {"color": line_style(place)["color"]}
            axes.plot([-0.5, len(layers) - 0.5], [curve[0]["before"]] * 2, **style, linestyle="--", linewidth=0.8)
            axes.plot([layers.index(r["layer"]) for r in curve], [r["after"] for r in curve], **style, marker="o",
                      markersize=3, label=f"{group} ({curve[0]['images']})")  # fmt: skip
        axes.set_title(fitted(f"{name} erased: {spoken(widest)}", width - 3.0), fontsize=10)
        axes.set_ylabel("mean probability\n(dashed: before)")
        layer_axis(axes, layers)
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
