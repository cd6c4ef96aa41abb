"""What heads say of themselves in a report."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bias_jax.audit import Rows
from bias_jax.disparity import ALL
from bias_jax.instruments.heads.problem import EVERYONE
from bias_jax.report.account import Account, Column, Estimate, Excerpt
from bias_jax.statistics import holm

SHOWN = 40  # gaps at most
FEW = 10  # images of a group below which its interval says too little: of two that are alike, it is a point

ACCOUNT = Account(
    title="Multi-label heads",
    question="Who is recognised by heads trained on the layers, and does the training loss change it?",
    reads=(
        "A head gives labels to images; recall is the share of the labels that are right which it gives. A group is "
        "compared with the mean of the other groups.",
        "Losses are compared on the same images; by default each gives every label to as many tuning images as have "
        "it, because otherwise thresholds are compared, not losses.",
        "A gap in points is a head's own; the control is the spread under permuted group labels (table spreads).",
    ),
    limits=(
        "Heads on frozen features compare losses given the representation; networks trained end to end are another "
        "experiment.",
        "Precision and average precision move with the prevalence of a label in a group alone; recall does not.",
        "Attention maps illustrate mistakes; they are no evidence of degree.",
    ),
    figures={
        "precision_by_layer": "Mean average precision of every loss on test images over the layers.",
        "rates-": "Rates of every group with 95 % intervals, a colour for each loss.",
        "losses-": "Differences between losses in every group, paired by image, with 95 % intervals.",
        "recall-": "Recall of every label in every group; empty cells have no image with the label.",
        "contact_": "Single images with the maps of where heads looked.",
        "attention-": "Mean picture and mean attention of every group.",
    },
    tables={
        "heads": "a head: layer, loss, seed and split, what was chosen and how good it is",
        "rates": "a rate of a group, with its difference to and ratio with the mean of the others",
        "spreads": "largest minus smallest group, beside its mean under permuted group labels",
        "losses": "difference between two losses in a group",
        "planted": "gap that was planted, of a loss",
    },
    pictured=("contact_", "attention-"),
    place=60,
)


def head_excerpts(tables: Mapping[str, Rows]) -> Iterator[Excerpt]:
    """Gaps in recall worst first, spreads beside permuted groups, losses compared, and precision by layer."""
    yield _gaps(tables["rates"])
    yield _spreads(tables["spreads"])
    if losses := [r for r in tables.get("losses", ()) if (r["view"], r["metric"], r["label"])
                  == (EVERYONE, "recall", ALL)]:  # fmt: skip
        columns = (Column("losses"), Column("points", "points"))
        body = tuple((f"{r['loss']} minus {r['minus_loss']}", (r["value"], r["value_low"], r["value_high"]))
                     for r in losses)  # fmt: skip
        note = "Recall over all labels, all images, paired by image."
        yield Excerpt("heads-losses", "Differences between losses", columns, body, note, table="losses",
                      compared=("points",))  # fmt: skip
    yield _precision(tables["heads"])


def worst_gaps(rates: Rows) -> list[Mapping[str, Any]]:
    """Recall over all labels of every group that is compared with others, those first whose interval lies furthest
    from 0; groups of few images come last.
    """
    own = [r for r in rates if (r["metric"], r["label"]) == ("recall", ALL) and r["view"] != EVERYONE]
    defined = [r for r in own if np.isfinite(r["difference"]) and np.isfinite(r["difference_low"])]
    return sorted(
        defined,
        key=lambda r: (r["images"] < FEW, -max(r["difference_low"], -r["difference_high"]), -abs(r["difference"])),
    )


def _gaps(rates: Rows) -> Excerpt:
    found = worst_gaps(rates)
    columns = (Column("group"), Column("by"), Column("loss"), Column("images", "count"), Column("recall, %", "percent"),
               Column("points from the others", "points"))  # fmt: skip
    body = tuple((r["group"], r["view"], r["loss"], r["images"], (r["value"], r["low"], r["high"]),
                  (r["difference"], r["difference_low"], r["difference_high"])) for r in found[:SHOWN])  # fmt: skip
    note = "Recall over all labels against the mean of the other groups; those first whose interval lies furthest from "
    note += f"0; groups of fewer than {FEW} images, whose intervals say little, come last. The intervals are not "
    note += "corrected for the number of groups; the spreads have p-values."
    return Excerpt("heads-gaps", "Gaps between groups in recall, worst first", columns, body, note, keys=3,
                   of=len(found), table="rates", compared=("recall, %",))  # fmt: skip


def _spreads(spreads: Rows) -> Excerpt:
    own = [r for r in spreads if r["metric"] == "recall" and np.isfinite(r["p_value"])]
    corrected = holm([r["p_value"] for r in own])
    found = sorted(zip(own, corrected, strict=True), key=lambda item: (item[0]["p_value"], -item[0]["spread"]))
    columns = (Column("label"), Column("by"), Column("loss"), Column("largest"), Column("smallest"),
               Column("spread", "points"), Column("permuted groups", "points"), Column("p, Holm", "p"))  # fmt: skip
    body = tuple((r["label"], r["view"], r["loss"], r["largest_group"], r["smallest_group"], r["spread"],
                  r["permuted_spread"], float(p)) for r, p in found[:SHOWN])  # fmt: skip
    note = "Largest minus smallest recall, points, beside its mean where groups mean nothing; p of permuted group "
    note += "labels, corrected for all labels, views and losses."
    return Excerpt("heads-spreads", "Spread of recall over groups, worst first", columns, body, note, keys=3,
                   of=len(found), table="spreads")  # fmt: skip


def _precision(heads: Rows) -> Excerpt:
    layers, losses = (list(dict.fromkeys(row[key] for row in heads)) for key in ("layer", "loss"))
    chance = float(np.mean([row["chance_average_precision"] for row in heads]))

    def cell(layer: str, loss: str) -> Estimate:
        found = [r["test_average_precision"] for r in heads if (r["layer"], r["loss"]) == (layer, loss)]
        return float(np.mean(found)), min(found), max(found)

    body = tuple((layer, *(cell(layer, loss) for loss in losses)) for layer in layers)
    note = "On test images; in brackets the smallest and largest of seeds and splits. Chance: "
    columns = (Column("layer"), *(Column(loss, "number") for loss in losses))
    return Excerpt("heads-precision", "Mean average precision by layer", columns, body, f"{note}{chance:.3g}.",
                   table="heads", compared=tuple(losses), curves=True,
                   reference=dict.fromkeys(losses, chance))  # fmt: skip
