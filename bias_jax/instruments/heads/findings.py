"""What heads found, in sentences and as text: recall by group, differences between losses, and what was planted."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bias_jax.audit import Rows, Stored
from bias_jax.data.planted_labels import PlantedConfig, planted_gap
from bias_jax.disparity import ALL, BALANCED, REWEIGHTED, THRESHOLDS
from bias_jax.instruments.heads.account import FEW, worst_gaps
from bias_jax.instruments.heads.config import Column, HeadsConfig
from bias_jax.instruments.heads.problem import EVERYONE, problem_of

WORDS = {
    REWEIGHTED: "reweighted groups",
    BALANCED: "balanced sampling of groups",
    THRESHOLDS: "thresholds of each group",
}
KEYS = ("view", "group", "metric", "label", "loss")
PLANTED = "planted: 80 % of cool and 20 % of warm faces are lined in training, half of both in evaluation."
MOST_GROUPS = 12  # of a view that is listed


def head_findings(stored: Stored, config: HeadsConfig, tables: Mapping[str, Rows]) -> Iterator[str]:
    """The worst gap of every loss, and what losses differ by; for drawn faces, what was planted and found."""
    gaps = [gap for gap in worst_gaps(tables["rates"]) if gap["images"] >= FEW]
    for column in config.columns:
        if own := [gap for gap in gaps if gap["loss"] == column.name]:
            yield _worst(own[0], column.name, len(own))
    if not gaps:
        yield f"Recall over all labels: no group has {FEW} images, so none is compared with the others here."
    for row in tables.get("losses", ()):
        plain = {row["loss"], row["minus_loss"]} <= set(config.losses)
        if plain and (row["view"], row["metric"], row["label"]) == (EVERYONE, "recall", ALL):
            yield (f"Recall over all labels, {row['loss']} minus {row['minus_loss']}: {_interval(row, 'value')} points "
                   f"on the same {row['images']} images.")  # fmt: skip
    for column in config.columns:
        if column.mend:
            yield _mended(column, tables["losses"])
    if config.planted:
        yield from planted_findings(tables, config)


def _mended(column: Column, rows: Rows) -> str:
    """What a fix does, and to whom: against the same loss as it is, paired by image."""
    own = [row for row in rows if (row["loss"], row["minus_loss"]) == (column.name, column.loss)
           and (row["metric"], row["label"]) == ("recall", ALL)]  # fmt: skip
    whole = next(row for row in own if row["view"] == EVERYONE)
    groups = [r for r in own if r["view"] != EVERYONE and r["images"] >= FEW and np.isfinite(r["value"])]
    better, worse = ([r for r in groups if r["value_low"] > 0], [r for r in groups if r["value_high"] < 0])
    text = f"{column.loss} with {WORDS[column.mend]} minus without: recall over all labels {_interval(whole, 'value')}"
    text += f" points; surely better in {len(better)} and worse in {len(worse)} of {len(groups)} groups of all views"
    text += f" that have at least {FEW} images"
    for word, found in (("most gained", better), ("most lost", worse)):
        if found:
            most = max(found, key=lambda row: abs(row["value"]))
            text += f"; {word}: {most['group']} ({most['view']}, {most['images']} images) {_interval(most, 'value')}"
    return f"{text}. Intervals are 95 % each, not corrected for the number of groups."


def _worst(row: Mapping[str, Any], loss: str, number: int) -> str:
    text = f"Recall over all labels with {loss} in layer {row['layer']}: the surest of {number} gaps of groups "
    text += f"of at least {FEW} images is {row['group']} "
    text += f"({row['view']}), {100 * row['value']:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}] of "
    text += f"{row['images']} images, {_interval(row, 'difference')} points from the mean of the others"
    clear = row["difference_low"] > 0 or row["difference_high"] < 0
    return f"{text}." if clear else f"{text}; its interval holds 0."


def head_listing(stored: Stored, config: HeadsConfig, tables: Mapping[str, Rows]) -> Iterator[str]:
    """Recall over all labels by group; for drawn faces, what was planted beside what was found."""
    views = problem_of(stored.facts, stored.arrays).views()
    listed = [view for view, (_, names) in views.items() if len(names) <= MOST_GROUPS]
    yield text_table(tables, listed, config)
    if config.planted:
        yield planted_verdict(tables, config)


def planted_findings(tables: Mapping[str, Rows], config: HeadsConfig) -> Iterator[str]:
    """What was planted beside what was found, and a coin as control."""
    yield (f"{PLANTED} A classifier that knows palette and contrast has a gap of "
           f"{100 * planted_gap(PlantedConfig()):.1f} points in recall.")  # fmt: skip
    expected = {row["loss"]: row["expected_gap"] for row in tables["planted"]}
    rates = {tuple(row[key] for key in KEYS): row for row in tables["rates"]}
    for loss in config.losses:
        found, coin = (rates[view, group, "recall", "lined", loss]
                       for view, group in (("palette", "cool"), ("null", "heads")))  # fmt: skip
        yield (f"Recall of lined with {loss}, cool minus warm: {100 * expected[loss]:+.1f} planted (large sample), "
               f"{_interval(found, 'difference')} found; heads minus tails of a coin: "
               f"{_interval(coin, 'difference')}.")  # fmt: skip


def text_table(tables: Mapping[str, Rows], views: Sequence[str], config: HeadsConfig) -> str:
    """Recall over all labels by group, and what the losses differ by, for the terminal."""
    rates = {
        (r["view"], r["group"], r["loss"]): r for r in tables["rates"] if (r["metric"], r["label"]) == ("recall", ALL)
    }
    lines = [f"recall over all labels, % [95 % interval]; decision: {config.decision}"]
    groups = [(r["view"], r["group"], r["images"]) for r in rates.values() if r["view"] in views]
    names = [column.name for column in config.columns]
    lines.append(f"{'group':<34}{'images':>7}  " + "".join(f"{name[-20:]:>22}" for name in names))
    for view, group, images in dict.fromkeys(groups):
        cells = [rates[view, group, name] for name in names]
        shown = "".join(f"{100 * c['value']:>8.1f} [{100 * c['low']:4.0f},{100 * c['high']:4.0f}]  " for c in cells)
        lines.append(f"{(group if view == EVERYONE else f'{view}: {group}')[:33]:<34}{images:>7}  {shown}")
    if tables.get("losses"):
        lines.append("difference between losses in recall over all labels, all images [95 % interval, paired]")
    for row in tables.get("losses", ()):
        if (row["view"], row["metric"], row["label"]) == (EVERYONE, "recall", ALL):
            low, high = (100 * row[f"value_{end}"] for end in ("low", "high"))
            text = f"{100 * row['value']:+.1f} points [{low:+.1f}, {high:+.1f}]"
            lines.append(f"  {row['loss']} - {row['minus_loss']}: {text}")
    return "\n".join(lines)


def planted_verdict(tables: Mapping[str, Rows], config: HeadsConfig) -> str:
    """What was planted and found, as text: recall of lined cool minus warm faces, and how the losses differ in it."""
    expected = {row["loss"]: row["expected_gap"] for row in tables["planted"]}
    lines = [
        f"{'recall of lined: cool minus warm':<34}{'planted, large sample':>22}  found [95 % interval]",
    ]

    def found(view: str, group: str, loss: str) -> Mapping[str, Any]:
        wanted = (view, group, "recall", "lined", loss)
        return next(r for r in tables["rates"] if tuple(r[k] for k in KEYS) == wanted)

    for loss in config.losses:
        row = found("palette", "cool", loss)
        lines.append(f"  {loss:<32}{100 * expected[loss]:>+22.1f}  {_interval(row, 'difference')}")
    lines.append("recall of lined: heads minus tails of a coin")
    for loss in config.losses:
        lines.append(f"  {loss:<32}{0.0:>+22.1f}  {_interval(found('null', 'heads', loss), 'difference')}")
    lines.append("difference between losses in the gap of the palettes, paired by image")
    for row in tables.get("losses", ()):
        if {row["loss"], row["minus_loss"]} - set(config.losses):
            continue  # for fixes, nothing is known of a large sample
        if tuple(row[k] for k in KEYS[:-1]) == ("palette", "cool", "recall", "lined"):
            planted = expected[row["loss"]] - expected[row["minus_loss"]]
            name = f"{row['loss']} - {row['minus_loss']}"
            lines.append(f"  {name:<42}{100 * planted:>+12.1f}  {_interval(row, 'disparity')}")
    return "\n".join(lines)


def _interval(row: Mapping[str, Any], name: str) -> str:
    return f"{100 * row[name]:+.1f} [{100 * row[f'{name}_low']:+.1f}, {100 * row[f'{name}_high']:+.1f}]"
