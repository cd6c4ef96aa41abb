"""What similarity says: sentences, excerpts of its tables, and how to read them."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from bias_jax.audit import PIXELS, UNTRAINED, Rows
from bias_jax.report.account import Account, Cell, Column, Estimate, Excerpt

Row = Mapping[str, Any]
IMAGES = "images"  # what layers are compared for, beside the groups of targets

ACCOUNT = Account(
    title="Similarity of layers",
    question="Which layers treat images, or groups of people, alike, and did training make them so?",
    reads=(
        "CKA is 1 if two layers arrange the images the same way up to rotation and scale, and 0 on average for layers "
        "that have nothing to do with each other, however wide they are.",
        "The correlation (RSA) is of squared distances between groups: 1 if two layers put the same groups far apart, "
        "with the noise of the groups' means removed.",
        "The controls are the untrained network, where it is known, and the pixels.",
    ),
    limits=(
        "Alike does not mean that the same is used: layers that differ in a few small directions are alike.",
        "CKA follows the directions that vary most.",
        "Few groups make few distances: with three groups a correlation is of three numbers.",
        "Layers named as most or least alike are so on these images.",
    ),
    figures={
        "cka": "Similarity of every two layers for images; lines part the network and its untrained control.",
        "rsa-": "Correlation of the distances between groups in every two layers; lines part the network and its "
        "untrained control.",
    },
    tables={
        "cka": "two layers and their similarity for images, with its interval",
        "rsa": "two layers and the correlation of distances between the groups of a target, with its interval",
    },
    place=47,
)


class Step(NamedTuple):
    """One layer of the audited network, with what it is compared to; None: there is no such thing, or no number."""

    layer: str
    next: str  # layer; empty after the last one
    change: Row | None  # similarity to the next
    untrained_change: Row | None  # of the same two layers without training
    trained: Row | None  # similarity to the same layer without training
    pixels: Row | None


def steps_of(rows: Rows, source: str) -> list[Step]:
    """Every layer but the pixels, in depth order.

    Args:
        rows: of every two layers, of table ``cka``, or of ``rsa`` for one target.
        source: what is audited.
    """
    ends = "source", "layer", "versus_source", "versus_layer"
    known = {tuple(row[key] for key in ends): row for row in rows if np.isfinite(row["value"])}
    layers = list(dict.fromkeys(row["layer"] for row in rows if row["source"] == source and row["layer"] != PIXELS))

    def of(*place: str) -> Row | None:
        return known.get(place, known.get((*place[2:], *place[:2])))

    trained = source != UNTRAINED
    return [
        Step(
            layer,
            after,
            of(source, layer, source, after),
            of(UNTRAINED, layer, UNTRAINED, after) if trained else None,
            of(source, layer, UNTRAINED, layer) if trained else None,
            of(source, PIXELS, source, layer),
        )
        for layer, after in pairwise([*layers, ""])
    ]


def similarity_findings(source: str, tables: Mapping[str, Rows]) -> Iterator[str]:
    """Of images and of the groups of every target: the largest step, what training changed, and the pixels."""
    for what, measure, rows in _compared(tables):
        steps = steps_of(rows, source)
        said = list(_sentences(steps, measure))
        name = "Images" if what == IMAGES else f"Groups of {what}"
        yield f"{name}: {'; '.join(said) if said else 'no two layers could be compared'}."


def _sentences(steps: list[Step], measure: str) -> Iterator[str]:
    if known := [(step.change["value"], step) for step in steps if step.change]:
        least = min(known, key=lambda one: one[0])[1]
        beside = f" (without training {_number(least.untrained_change)})" if least.untrained_change else ""
        yield (f"of neighbouring layers, {least.layer} and {least.next} are least alike, {measure} "
               f"{_number(least.change)}{beside}")  # fmt: skip
    if trained := [(step.trained["value"], step) for step in steps if step.trained]:
        most, least = (pick(trained, key=lambda one: one[0])[1] for pick in (min, max))
        beside = f"; it changed {least.layer} least, {_number(least.trained)}" if len(trained) > 1 else ""
        yield f"training changed {most.layer} most, {measure} with the same untrained {_number(most.trained)}{beside}"
    if steps and steps[-1].pixels:
        yield f"the last layer, {steps[-1].layer}, and the pixels have {measure} {_number(steps[-1].pixels)}"


def similarity_excerpts(source: str, tables: Mapping[str, Rows]) -> Iterator[Excerpt]:
    """Every layer beside the next, itself without training, and the pixels; for images, then for groups."""
    columns = (Column("layer"), Column("next layer", "number"), Column("the same two, untrained", "number"),
               Column("itself, untrained", "number"), Column("pixels", "number"))  # fmt: skip
    for what, measure, rows in _compared(tables):
        body = tuple((step.layer, *(_estimate(row) for row in step[2:])) for step in steps_of(rows, source))
        title = f"Similarity of layers for {what if what == IMAGES else f'groups of {what}'} ({measure})"
        note = "Similarity of each layer to the next one, to itself in the untrained network, and to the pixels, with "
        note += "95 % intervals, from the first layer to the last."
        table = "cka" if what == IMAGES else "rsa"
        yield Excerpt(table if what == IMAGES else f"rsa-{what.replace(' ', '-')}", title, columns, body, note,
                      table=table, compared=tuple(c.name for c in columns[1:]), curves=True)  # fmt: skip


def _compared(tables: Mapping[str, Rows]) -> Iterator[tuple[str, str, Rows]]:
    """What layers are compared for, the name of the measure, and the rows."""
    yield IMAGES, "CKA", tables["cka"]
    rows = tables.get("rsa", ())
    for target in dict.fromkeys(row["target"] for row in rows):
        yield target, "correlation", [row for row in rows if row["target"] == target]


def _estimate(row: Any) -> Cell | Estimate:
    return None if row is None else (row["value"], row["low"], row["high"])


def _number(row: Row | None) -> str:
    return "" if row is None else f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
