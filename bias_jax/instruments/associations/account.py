"""What association tests say: sentences, excerpts of their table, and how to read them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bias_jax.audit import UNTRAINED, Rows
from bias_jax.audit.subjects import MEAN_COLOUR, RAW_PIXELS
from bias_jax.report.account import Account, Column, Estimate, Excerpt

Row = Mapping[str, Any]

ACCOUNT = Account(
    title="Association tests",
    question="Does a layer associate one group of images with one attribute more than another group does?",
    reads=(
        "An effect size d says how well two sets of targets separate along the difference of two sets of attributes, "
        "on a scale that ends at 2 and at -2; positive: x goes with a, and y with b.",
        "Controls stand beside it: raw pixels, the mean colour, and the network without training. Where they reach the "
        "same d, the network need not have learned it.",
        "p (max-T) is corrected for looking at all layers of a test, Holm's p for all tests in a layer.",
    ),
    limits=(
        "An effect size does not say how large a difference is, only how consistent.",
        "A p-value is about relabelling these images; other images of the same kind are what the interval is about.",
        "Sets of fewer than 8 images have intervals that are too narrow.",
    ),
    figures={"effect_by_layer-": "Effect size of every test over the layers with 95 % intervals, beside pixels, colour "
             "and the untrained network; filled where it is significant over all layers."},
    tables={"associations": "effect size of a test in a layer of a source, for a kind of cosine"},
    place=50,
)  # fmt: skip


class Found(NamedTuple):
    """One test in the audited network, with its controls in the same layer."""

    test: str
    last: Row  # the last layer
    best: Row  # the layer of the largest effect
    pixels: float | None  # None: there are no pixels
    colour: float | None
    untrained: float | None  # None: nothing like the network is known without training


def tests_found(rows: Rows, source: str) -> list[Found]:
    """Every test for raw cosines, the surest first."""
    found = []
    for name in dict.fromkeys(row["test"] for row in rows):
        mine = {(r["source"], r["layer"]): r for r in rows if (r["test"], r["cosine"]) == (name, "raw")}
        layers = [row for (origin, _), row in mine.items() if origin == source]
        best = max(layers, key=lambda row: (not np.isnan(row["effect_size"]), abs(row["effect_size"])))
        keys = (RAW_PIXELS, RAW_PIXELS), (MEAN_COLOUR, MEAN_COLOUR), (UNTRAINED, best["layer"])
        found.append(
            Found(name, layers[-1], best, *(mine[key]["effect_size"] if key in mine else None for key in keys))
        )
    return sorted(found, key=lambda one: (one.best["p_max_t"], -abs(one.best["effect_size"])))


def association_findings(rows: Rows, source: str) -> Iterator[str]:
    """Every test in the layer of its largest effect, beside its controls."""
    for one in tests_found(rows, source):
        best = one.best
        sets = f"{best['x']} with {best['a']}, {best['y']} with {best['b']}; {best['images_x']} and {best['images_y']}"
        yield (f"{one.test}: largest effect in layer {best['layer']}, d {_interval(best)} ({sets} images), "
               f"p {best['p_max_t']:.2g} corrected for all layers; {_controls(one)}.")  # fmt: skip
    if any(row["few_images"] for row in rows):
        yield "Some sets have fewer than 8 target images: their intervals are too narrow (column few_images)."


def association_excerpts(rows: Rows, source: str) -> Iterator[Excerpt]:
    """All tests in their strongest layers, and every test by layer."""
    columns = (Column("test"), Column("strongest layer"), Column("d", "number"), Column("p, max-T", "p"),
               Column("last layer: d", "number"), Column("p, Holm", "p"), Column("raw pixels", "number"),
               Column("mean colour", "number"), Column("untrained, same layer", "number"))  # fmt: skip
    found = tests_found(rows, source)
    body = tuple((one.test, one.best["layer"], _estimate(one.best), one.best["p_max_t"], _estimate(one.last),
                  one.last["p_holm"], one.pixels, one.colour, one.untrained) for one in found)  # fmt: skip
    note = f"Of {source}, raw cosines; the surest first. p max-T is corrected for all layers, Holm's for all tests."
    yield Excerpt("associations-summary", "Association tests", columns, body, note, table="associations",
                  compared=("d", "last layer: d"))  # fmt: skip
    tests = [one.test for one in found]
    own = {(r["layer"], r["test"]): r for r in rows if (r["source"], r["cosine"]) == (source, "raw")}
    layers = list(dict.fromkeys(layer for layer, _ in own))
    by_layer = tuple((layer, *(_estimate(own[layer, test]) for test in tests)) for layer in layers)
    yield Excerpt("associations-by-layer", "Effect size d by layer", (Column("layer"), *_numbers(tests)), by_layer,
                  "Raw cosines, 95 % intervals, from the first layer to the last.", table="associations",
                  compared=tuple(tests), curves=True)  # fmt: skip


def _controls(one: Found) -> str:
    found = {RAW_PIXELS: one.pixels, MEAN_COLOUR: one.colour, UNTRAINED: one.untrained}
    return ", ".join(f"{name} {value:.2f}" for name, value in found.items() if value is not None) or "without control"


def _numbers(names: Sequence[str]) -> Iterator[Column]:
    return (Column(name, "number") for name in names)


def _estimate(row: Row) -> Estimate:
    return row["effect_size"], row["low"], row["high"]


def _interval(row: Row) -> str:
    return f"{row['effect_size']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
