"""What the published recipe found, in sentences and as text."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bias_jax.audit import PIXELS, Rows
from bias_jax.report.account import Account, Column, Excerpt

CAVEAT = (
    "The held-out images also chose the epoch and the strength, and here the layer: these accuracies are a little too "
    "good. They are of one split, without intervals; the instrument probes gives both."
)

ACCOUNT = Account(
    title="Probes by the published recipe",
    question="What do the probes of Krug & Stober 2025 attain, trained as the paper describes them?",
    reads=(
        "Dropout, an L1 penalty and Adam on mini-batches, of one split; numbers are to be set beside the paper's.",
        "The control is the share of the most frequent class among the held-out images, and the pixels.",
    ),
    limits=(CAVEAT,),
    figures={
        "recipe_by_layer": "Accuracy of every target over the layers, held out solid and in training dashed; the range "
        "of seeds is shaded."
    },
    tables={"recipe": "training and validation numbers of a probe: layer, target, strength, learning rate, seed"},
    place=15,
)


class Best(NamedTuple):
    """A target in its best layer; means over seeds."""

    target: str
    layer: str
    validation: float
    training: float
    l1: float
    pixels: float | None  # of subjects that have any
    most_frequent: float
    images: int


def best_layers(rows: Rows) -> list[Best]:
    """Every target in the layer where its held-out accuracy is highest."""
    chosen = [row for row in rows if row["chosen"]]
    targets, layers = (list(dict.fromkeys(row[key] for row in chosen)) for key in ("target", "layer"))
    found = []
    for target in targets:
        own = {layer: [r for r in chosen if (r["target"], r["layer"]) == (target, layer)] for layer in layers}
        mean = {layer: float(np.mean([r["validation_accuracy"] for r in own[layer]])) for layer in layers}
        best = max((layer for layer in layers if layer != PIXELS), key=mean.__getitem__)
        training = float(np.mean([r["training_accuracy"] for r in own[best]]))
        one = own[best][0]
        found.append(Best(target, best, mean[best], training, one["l1"], mean.get(PIXELS), one["chance"],
                          one["validation_images"]))  # fmt: skip
    return found


def recipe_findings(rows: Rows) -> Iterator[str]:
    """The best layer for every target, beside the pixels and the most frequent class."""
    for best in best_layers(rows):
        yield (f"Published recipe, {best.target}: {100 * best.validation:.1f} % of {best.images} held-out images "
               f"are right in layer {best.layer} ({100 * best.training:.1f} % in training, L1 {best.l1:g}); "
               f"{_pixels(best, 'the pixels give', ' %, ')}the most frequent class "
               f"{'gives ' if best.pixels is None else ''}{100 * best.most_frequent:.1f} %.")  # fmt: skip
    yield CAVEAT


def recipe_excerpts(rows: Rows) -> Iterator[Excerpt]:
    """Every target in its best layer."""
    columns = (Column("target"), Column("best layer"), Column("held out, %", "percent"),
               Column("training, %", "percent"), Column("pixels, %", "percent"),
               Column("most frequent class, %", "percent"), Column("L1", "number"))  # fmt: skip
    found = best_layers(rows)
    body = tuple((b.target, b.layer, b.validation, b.training, b.pixels, b.most_frequent, b.l1) for b in found)
    note = f"Accuracy on {found[0].images} held-out images, mean over seeds, without intervals."
    yield Excerpt("recipe-summary", "Published recipe: every target in its best layer", columns, body, note,
                  table="recipe", compared=("held out, %",))  # fmt: skip


def recipe_table(rows: Rows) -> str:
    """The same as aligned text."""
    found = best_layers(rows)
    width = max(len(best.target) for best in found)
    lines = [f"published recipe: accuracy on {found[0].images} held-out images, % (training in brackets)"]
    for best in found:
        line = f"  {best.target:<{width}}  best layer {best.layer}: {100 * best.validation:.1f} "
        line += f"({100 * best.training:.1f}), L1 {best.l1:g}; {_pixels(best, 'pixels', '; ')}"
        lines.append(f"{line}most frequent class {100 * best.most_frequent:.1f}")
    return "\n".join(lines)


def _pixels(best: Best, words: str, after: str) -> str:
    return "" if best.pixels is None else f"{words} {100 * best.pixels:.1f}{after}"
