"""Figures of heads: precision by layer, rates and their differences by group, and where heads looked."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import Rows, Stored
from bias_jax.disparity import ALL, MEAN
from bias_jax.instruments.heads.config import HeadsConfig
from bias_jax.instruments.heads.illustrations import SHEETS, attention_name, file_name
from bias_jax.instruments.heads.problem import EVERYONE, problem_of
from bias_jax.report import (
    contact_sheet,
    group_attention,
    loss_differences,
    precision_by_layer,
    rates_by_group,
    recall_table,
)

PANELS = (("recall", ALL), ("false_positive_rate", ALL), ("precision", ALL), ("average_precision", MEAN))
MOST_GROUPS = 20  # of a view that is drawn
HEADINGS = {
    "sheet-losses": "Images on which the losses disagree most",
    "sheet-groups": "Missed in the group with the lowest recall, recognised in that with the highest",
}


def head_figures(
    stored: Stored, config: HeadsConfig, tables: Mapping[str, Rows]
) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Figures by name."""
    problem = problem_of(stored.facts, stored.arrays)
    run = stored.run
    title = f"{run['model']} ({run['weights']}) on {problem.data}, {len(problem.rows)} images"
    yield "precision_by_layer", partial(precision_by_layer, tables["heads"], title)
    layer = tables["rates"][0]["layer"]
    where = f"{layer}, decision: {config.decision}. {title}"
    for view, (_, names) in problem.views().items():
        if len(names) <= MOST_GROUPS:
            yield from _view_figures(tables, view, where)
    there = stored.illustrated() if config.examples else []
    for sheet in SHEETS:
        if sheet in there:
            yield f"contact_{sheet}", partial(_sheet, stored, sheet, where)
    for attribute in problem.attributes:
        name = attention_name(attribute.name)
        if config.attention and name in there:
            text = f"Average Grad-CAM at {config.cam_layer or layer} of the labels that are present; head at {where}"
            yield name, partial(_attention, stored, name, text)


def _view_figures(tables: Mapping[str, Rows], view: str, title: str) -> Iterator[tuple[str, Callable[[], Figure]]]:
    name = file_name(view)
    rates = [row for row in tables["rates"] if row["view"] == view]
    panels = [p for p in PANELS if any((r["metric"], r["label"]) == p and not np.isnan(r["value"]) for r in rates)]
    yield f"rates-{name}", partial(rates_by_group, rates, panels, f"95 % intervals. {title}")
    if differences := [row for row in tables.get("losses", ()) if row["view"] == view]:
        text = f"Differences between losses, paired by image. {title}"
        yield f"losses-{name}", partial(loss_differences, differences, panels, text)
    if view != EVERYONE:
        recalls = [r for r in rates if r["metric"] == "recall" and r["label"] not in (ALL, MEAN)]
        yield f"recall-{name}", partial(recall_table, recalls, title)


def _sheet(stored: Stored, name: str, title: str) -> Figure:
    seen = stored.illustrations(name)
    parts = seen["pictures"], seen["cams"], seen["occlusions"]
    return contact_sheet(*parts, seen["captions"].tolist(), seen["losses"].tolist(), f"{HEADINGS[name]}. {title}")


def _attention(stored: Stored, name: str, title: str) -> Figure:
    seen = stored.illustrations(name)
    groups = seen["groups"].tolist()
    return group_attention(
        dict(zip(groups, seen["pictures"], strict=True)),
        dict(zip(groups, seen["attention"], strict=True)),
        dict(zip(groups, seen["images"].tolist(), strict=True)),
        seen["losses"].tolist(),
        title,
    )
