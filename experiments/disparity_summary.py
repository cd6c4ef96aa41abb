"""From trained heads to tidy tables and figures."""

from typing import Any

import numpy as np
from scipy.sparse import csr_array
from tqdm import tqdm

from bias_jax.activations import MemoryPlan
from bias_jax.disparity import ALL, MEAN, dense, group_rows, paired_rows, spread_rows
from bias_jax.report import (
    contact_sheet,
    group_attention,
    loss_differences,
    precision_by_layer,
    rates_by_group,
    recall_table,
)
from bias_jax.results import RunDirectory
from experiments.disparity_config import DisparityConfig
from experiments.disparity_maps import (
    Example,
    attention_images,
    compared,
    group_examples,
    label_weights,
    look,
    loss_examples,
    mean_attention,
)
from experiments.disparity_stages import EVERYONE, best_layer, head_rows, load_heads, rates_by_view, views
from experiments.disparity_task import Task
from experiments.subject import Subject

Rows = list[dict[str, Any]]
PANELS = (("recall", ALL), ("false_positive_rate", ALL), ("precision", ALL), ("average_precision", MEAN))
MOST_GROUPS = 20  # of a view that is drawn


def summarise(
    directory: RunDirectory, config: DisparityConfig, task: Task, subject: Subject, plan: MemoryPlan
) -> dict[str, Rows]:
    """Write tables and figures; gives the rows of the tables by group."""
    common = {"model": subject.model, "weights": subject.title, "data": task.evaluated.name}
    heads: Rows = []
    for depth, planned in enumerate(plan.layers):
        place = {**common, "layer": planned.name, "depth": depth}
        heads += [{**place, **row} for row in head_rows(load_heads(directory, planned.name), task, config)]
    save(directory, "heads.parquet", heads)
    title = f"{subject.model} ({subject.title}) on {task.evaluated.name}, {len(task.evaluated)} images"
    with directory.figure("figures/precision_by_layer.png") as path:
        precision_by_layer(path, heads, title)

    layer = best_layer(directory, plan.layers, config)
    tables: dict[str, Rows] = {"rates": [], "spreads": [], "losses": []}
    here = {**common, "layer": layer, "decision": config.decision}
    for view, groups, names, by_loss in rates_by_view(load_heads(directory, layer), task, config):
        counts = np.bincount(groups, minlength=len(names))
        place = {**here, "view": view}
        for loss, found in by_loss.items():
            tables["rates"] += [{**place, "loss": loss, **row} for row in group_rows(found, names, counts)]
            spreads = spread_rows(found, names, config.draws, config.seed)
            tables["spreads"] += [{**place, "loss": loss, **row} for row in spreads]
        tables["losses"] += [{**place, **row} for row in paired_rows(by_loss, names, counts)]
    for name, rows in tables.items():
        if rows:
            save(directory, f"{name}.parquet", rows)
    where = f"{layer}, decision: {config.decision}. {title}"
    for view, (_, names) in views(task).items():
        if len(names) <= MOST_GROUPS:
            _view_figures(directory, tables, view, where)
    if config.examples:
        _maps(directory, config, task, subject, layer, tables["spreads"], where)
    return tables


def save(directory: RunDirectory, name: str, rows: Rows) -> None:
    directory.save_table(name, {key: [row[key] for row in rows] for key in rows[0]})


def _view_figures(directory: RunDirectory, tables: dict[str, Rows], view: str, title: str) -> None:
    name = view.replace(" ", "-")
    rates = [row for row in tables["rates"] if row["view"] == view]
    panels = [p for p in PANELS if any((r["metric"], r["label"]) == p and not np.isnan(r["value"]) for r in rates)]
    with directory.figure(f"figures/rates-{name}.png") as path:
        rates_by_group(path, rates, panels, f"95 % intervals. {title}")
    if differences := [row for row in tables["losses"] if row["view"] == view]:
        with directory.figure(f"figures/losses-{name}.png") as path:
            loss_differences(path, differences, panels, f"Differences between losses, paired by image. {title}")
    recalls = [r for r in rates if r["metric"] == "recall" and r["label"] not in (ALL, MEAN)]
    if view != EVERYONE:
        with directory.figure(f"figures/recall-{name}.png") as path:
            recall_table(path, recalls, title)


def _maps(
    directory: RunDirectory, config: DisparityConfig, task: Task, subject: Subject, layer: str, spreads: Rows,
    title: str,
) -> None:  # fmt: skip
    """Contact sheets of losses and groups, and the average attention of every group."""
    fitted = load_heads(directory, layer)
    truth = dense(csr_array(task.labels[task.rows]), config.judged)
    pair = compared(config)
    sheets = {"losses": loss_examples(fitted, task, truth, config)}
    attributes = [a.name for a in task.evaluated.attributes]  # intersections are too small to single one out
    shown = [config.losses[j] for j in pair]
    candidates = [r for r in spreads if r["view"] in attributes and r["loss"] in shown and r["metric"] == "recall"
                  and r["label"] in task.classes and not np.isnan(r["p_value"])]  # fmt: skip
    if candidates:
        widest = max(candidates, key=lambda row: row["spread"] - row["permuted_spread"])
        groups, names = views(task)[widest["view"]]
        sheets["groups"] = group_examples(fitted, truth, task, config, widest, groups, names)
    for name, examples in tqdm(sheets.items(), "contact sheets", unit="sheet"):
        if examples and not directory.has(f"figures/contact_sheet-{name}.png"):
            _sheet(directory, config, task, subject, layer, name, examples, title)
    files = {a.name: f"figures/attention-{a.name}.png" for a in task.evaluated.attributes}
    if config.attention and not all(directory.has(file) for file in files.values()):
        images = attention_images(task, truth, config.attention)
        if not len(images):
            return
        weights = np.stack(
            [[label_weights(fitted, task, j, i, np.flatnonzero(truth[i] == 1)) for j in pair] for i in images]
        )
        seen = look(task, subject, config, layer, weights, images, occlusion=False)
        for attribute in task.evaluated.attributes:
            labels = task.evaluated.labels[attribute.name][images]
            occurring = [(c, category) for c, category in enumerate(attribute.categories) if (labels == c).any()]
            with directory.figure(files[attribute.name]) as path:
                group_attention(
                    path,
                    {category: seen.pictures[labels == c].mean(axis=0) for c, category in occurring},
                    {category: mean_attention(seen.cams[labels == c]) for c, category in occurring},
                    {category: int((labels == c).sum()) for c, category in occurring},
                    [config.losses[j] for j in pair],
                    f"Average Grad-CAM at {config.cam_layer or layer} of the labels that are present; head at {title}",
                )


def _sheet(
    directory: RunDirectory, config: DisparityConfig, task: Task, subject: Subject, layer: str, name: str,
    examples: list[Example], title: str,
) -> None:  # fmt: skip
    pair = compared(config)
    fitted = load_heads(directory, layer)
    weights = np.stack([[label_weights(fitted, task, j, e.image, np.array([e.label])) for j in pair] for e in examples])
    images = np.array([e.image for e in examples])
    seen = look(task, subject, config, layer, weights, images, occlusion=True)
    heading = {
        "losses": "Images on which the losses disagree most",
        "groups": "Missed in the group with the lowest recall, recognised in that with the highest",
    }[name]
    with directory.figure(f"figures/contact_sheet-{name}.png") as path:
        contact_sheet(path, seen.pictures, seen.cams, seen.occlusions, [e.caption for e in examples],
                      [config.losses[j] for j in pair], f"{heading}. {title}")  # fmt: skip


def text_table(tables: dict[str, Rows], task: Task, config: DisparityConfig) -> str:
    """Recall over all labels by group, and what the losses differ by, for the terminal."""
    chosen = [v for v, (_, names) in views(task).items() if len(names) <= 12]
    rates = {
        (r["view"], r["group"], r["loss"]): r for r in tables["rates"] if (r["metric"], r["label"]) == ("recall", ALL)
    }
    lines = [f"recall over all labels, % [95 % interval]; decision: {config.decision}"]
    groups = [(r["view"], r["group"], r["images"]) for r in rates.values() if r["view"] in chosen]
    lines.append(f"{'group':<34}{'images':>7}  " + "".join(f"{loss[:20]:>22}" for loss in config.losses))
    for view, group, images in dict.fromkeys(groups):
        cells = [rates[view, group, loss] for loss in config.losses]
        shown = "".join(f"{100 * c['value']:>8.1f} [{100 * c['low']:4.0f},{100 * c['high']:4.0f}]  " for c in cells)
        lines.append(f"{(group if view == EVERYONE else f'{view}: {group}')[:33]:<34}{images:>7}  {shown}")
    lines.append("difference between losses in recall over all labels, all images [95 % interval, paired]")
    for row in tables["losses"]:
        if (row["view"], row["metric"], row["label"]) == (EVERYONE, "recall", ALL):
            lines.append(f"  {row['loss']} - {row['minus_loss']}: {_points(row, 'value')}")
    return "\n".join(lines)


def _points(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{100 * row[name]:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
