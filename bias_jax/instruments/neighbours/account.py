"""What neighbours say: sentences, excerpts of their table, and how to read them."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from bias_jax.audit import PIXELS, Rows
from bias_jax.instruments.neighbours.tables import EVERYONE, PRECISION, VOTE
from bias_jax.report.account import Account, Column, Estimate, Excerpt

ALPHA = 0.05
SHOWN = 30  # classes at most
Row = Mapping[str, Any]

ACCOUNT = Account(
    title="Nearest neighbours",
    question="Do the images that lie nearest to an image have the same attributes, without any training?",
    reads=(
        "Precision is the share of an image's nearest neighbours with its own label, vote how often the majority of "
        "them is right; both are means over classes, so that large classes count no more than small ones.",
        "Chance is the mean of the same number under shuffled labels; the pixels are the control without a network.",
        "p (max-T) is corrected for all layers, distances, targets, measures and numbers of neighbours together.",
    ),
    limits=(
        "Neighbours see all directions of a layer at their own scale: a probe can find what is small here.",
        "The layer that is named is the best on these images; its value is a little too good.",
        "Pictures of one person are no neighbours; copies that were not recognised as such are.",
    ),
    figures={"precision_by_layer-": "Share of the nearest images with the same label over the layers, mean over "
             "classes, with 95 % intervals, beside shuffled labels."},
    tables={"neighbours": "a measure of a target in a layer, for a distance and a number of neighbours, of all images "
            "or of a class"},
    place=18,
)  # fmt: skip


class Found(NamedTuple):
    """One target and distance with the most neighbours that were asked for."""

    best: Row  # precision of all images in the layer where it is highest
    vote: Row  # there
    pixels: Row | None  # precision of the pixels
    sure: int  # layers above chance, corrected
    layers: int  # of how many


def neighbours_found(rows: Rows) -> list[Found]:
    """Every target and distance; of layers, pixels count only where there is nothing else."""
    largest = max(row["k"] for row in rows)
    every = [row for row in rows if row["group"] == EVERYONE and row["k"] == largest]
    found = []
    for place in dict.fromkeys((row["target"], row["distance"]) for row in every):
        mine = [row for row in every if (row["target"], row["distance"]) == place]
        own = {row["layer"]: row for row in mine if row["measure"] == PRECISION}
        votes = {row["layer"]: row for row in mine if row["measure"] == VOTE}
        layers = [row for layer, row in own.items() if layer != PIXELS] or list(own.values())
        best = max(layers, key=lambda row: row["value"])
        sure = sum(row["p_max_t"] <= ALPHA for row in layers)
        found.append(Found(best, votes[best["layer"]], own.get(PIXELS), sure, len(layers)))
    return found


def neighbour_findings(rows: Rows) -> Iterator[str]:
    """Every target in the layer where its precision is highest, beside chance and the pixels."""
    for one in neighbours_found(rows):
        best = one.best
        nearest = "the nearest image" if best["k"] == 1 else f"the {best['k']} nearest images"
        pixels = f", pixels {_percent(one.pixels)}" if one.pixels is not None else ""
        yield (f"{best['target']}: of {nearest} by {best['distance']} distance, {_percent(best)} have the same label "
               f"in {best['layer']}, where it is most (chance {100 * best['chance']:.1f} %{pixels}); their majority is "
               f"right for {_percent(one.vote)} (chance {100 * one.vote['chance']:.1f} %). Above chance in {one.sure} "
               f"of {one.layers} layers, corrected.")  # fmt: skip


def neighbour_excerpts(rows: Rows) -> Iterator[Excerpt]:
    """Every target in its best layer, precision by layer of every distance, and classes there."""
    found = neighbours_found(rows)
    k = found[0].best["k"]
    columns = (Column("target"), Column("distance"), Column("layer"), Column("same label, %", "percent"),
               Column("chance, %", "percent"), Column("pixels, %", "percent"), Column("majority right, %", "percent"),
               Column("chance of it, %", "percent"), Column("p, max-T", "p"))  # fmt: skip
    body = tuple((one.best["target"], one.best["distance"], one.best["layer"], _estimate(one.best), one.best["chance"],
                  None if one.pixels is None else _estimate(one.pixels), _estimate(one.vote), one.vote["chance"],
                  one.best["p_max_t"]) for one in found)  # fmt: skip
    note = f"Of the {k} nearest, mean over classes, in the layer where the share with the same label is largest."
    yield Excerpt("neighbours-summary", "Whether neighbours have the same label", columns, body, note, keys=2,
                  table="neighbours", compared=("same label, %", "majority right, %"))  # fmt: skip
    own = [r for r in rows if (r["k"], r["group"], r["measure"]) == (k, EVERYONE, PRECISION)]
    for distance in dict.fromkeys(row["distance"] for row in own):
        yield _by_layer([row for row in own if row["distance"] == distance], distance)
    yield _classes(rows, found)


def _by_layer(own: Rows, distance: str) -> Excerpt:
    layers, targets = (list(dict.fromkeys(row[key] for row in own)) for key in ("layer", "target"))
    cells = {(row["layer"], row["target"]): _estimate(row) for row in own}
    chance = {t: float(np.mean([row["chance"] for row in own if row["target"] == t])) for t in targets}
    body = tuple((layer, *(cells[layer, target] for target in targets)) for layer in layers)
    note = f"Of the {own[0]['k']} nearest by {distance} distance, mean over classes, from the first layer to the last; "
    note += "chance is the mean over layers under shuffled labels."
    columns = (Column("layer"), *(Column(target, "percent") for target in targets))
    return Excerpt(f"neighbours-{distance}", f"Neighbours with the same label by layer, {distance}, %", columns,
                   (*body, ("chance", *chance.values())), note, table="neighbours", compared=tuple(targets),
                   curves=True, reference=chance)  # fmt: skip


def _classes(rows: Rows, found: list[Found]) -> Excerpt:
    places = {(one.best["target"], one.best["distance"], one.best["layer"]) for one in found}
    own = [row for row in rows if (row["target"], row["distance"], row["layer"]) in places and row["group"] != EVERYONE
           and (row["k"], row["measure"]) == (found[0].best["k"], PRECISION)]  # fmt: skip
    own.sort(key=lambda row: row["chance"] - row["low"])
    columns = (Column("group"), Column("of"), Column("distance"), Column("layer"), Column("images", "count"),
               Column("same label, %", "percent"), Column("chance, %", "percent"))  # fmt: skip
    body = tuple((r["group"], r["target"], r["distance"], r["layer"], r["images"], _estimate(r), r["chance"])
                 for r in own[:SHOWN])  # fmt: skip
    note = "In the layer of the target above; those first whose interval lies furthest above chance. These have no "
    note += "p-values and are not corrected for the number of groups."
    return Excerpt("neighbours-groups", "Whose neighbours are like them", columns, body, note, keys=3, of=len(own),
                   table="neighbours", compared=("same label, %",))  # fmt: skip


def _estimate(row: Row) -> Estimate:
    return row["value"], row["low"], row["high"]


def _percent(row: Row) -> str:
    value, low, high = (100 * part for part in _estimate(row))
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"
