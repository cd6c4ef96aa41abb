"""What erasure says: sentences, excerpts of its tables, and how to read them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bias_jax.audit import PIXELS, Rows
from bias_jax.instruments.erasure.answer_account import answer_excerpts, answer_findings
from bias_jax.instruments.erasure.conditions import ERASED, NOTHING, RANDOM, SHUFFLED
from bias_jax.instruments.erasure.listing import CAVEAT, at_most
from bias_jax.instruments.erasure.tables import ACCURACY, LINEAR, NEIGHBOURS
from bias_jax.report.account import Account, Cell, Column, Estimate, Excerpt

ALPHA = 0.05
SHOWN = 30  # losses of others at most
Row = Mapping[str, Any]

ACCOUNT = Account(
    title="Erasure",
    question="What is left of an attribute when it is erased from a layer by the least change, and what else is lost?",
    reads=(
        "Erasers are fitted to one half of the images; everything is measured on the other half, by probes that are "
        "trained anew: linear ones, and the vote of the nearest neighbours. 0 is chance, 1 is perfect.",
        "Compare with the controls: a random subspace as large, and an eraser of shuffled labels. What they take away, "
        "any change of that size takes away.",
        "Losses of other attributes are paired by image, and their p-values are corrected (Holm) for all of them.",
        "An erased layer is also sent on through the rest of the network: the network's answers to images that the "
        "eraser was not fitted to are compared with those to the layer as it is.",
    ),
    limits=(
        *CAVEAT,
        "Intervals take erasers as given: they are about other images to be measured, not to fit erasers to.",
        "A layer may hold more than its pooled activations, and so what an eraser of these leaves in it may reach the "
        "answers.",
    ),
    figures={
        "erasure_by_layer": "What probes find of every erased attribute over the layers, before and after, beside "
        "a random subspace and shuffled labels, with 95 % intervals.",
        "erasure_answers_by_layer": "How much probability goes to other classes when a layer is erased and sent on, "
        "and how many images keep their class, beside both controls, with 95 % intervals.",
        "erasure_answers_by_group": "Mean probability of the answer that differs most between the groups of what is "
        "erased, after erasing each layer; dashed: before.",
    },
    tables={
        "erasure": "what a probe finds of a target in a layer after something was erased, and the change from before",
        "erasers": "an eraser: rank, share of the variance it takes, and what a probe can still know where it was "
        "fitted",
        "erasure_answers": "how far the network's answers move when a layer is erased, and how many stay",
        "erasure_answers_by_group": "what the network says of a group before and after a layer is erased",
    },
    place=25,
)  # fmt: skip


class Found(NamedTuple):
    """One erased attribute in the layer that shows it best before; the first of `near` is before, the second after."""

    name: str
    layer: str
    linear: tuple[Row, Row]
    near: tuple[Row, Row]
    controls: tuple[Row, Row]  # random subspace, shuffled labels
    covered: tuple[int, int]  # layers in which the interval after erasing covers chance, of how many
    eraser: Row


def erased_found(erased: Sequence[str], tables: Mapping[str, Rows]) -> list[Found]:
    """Every erased attribute that could be measured; of layers, pixels count only where there is nothing else."""
    rows = [row for row in tables["erasure"] if row["metric"] == ACCURACY]
    found = []
    for name in erased:
        own = {(r["layer"], r["erased"], r["control"], r["probe"]): r for r in rows if r["target"] == name}
        there = dict.fromkeys(layer for layer, *_ in own)
        layers = [layer for layer in there if layer != PIXELS] or list(there)
        if not layers:
            continue
        best = max(layers, key=lambda layer: own[layer, NOTHING, ERASED, LINEAR]["value"])
        after = [own[layer, name, ERASED, LINEAR] for layer in layers]
        linear, near = ((own[best, NOTHING, ERASED, probe], own[best, name, ERASED, probe])
                        for probe in (LINEAR, NEIGHBOURS))  # fmt: skip
        controls = own[best, name, RANDOM, LINEAR], own[best, name, SHUFFLED, LINEAR]
        covered = sum(row["low"] <= 0.0 <= row["high"] for row in after), len(after)
        (eraser,) = (r for r in tables["erasers"] if (r["layer"], r["erased"], r["control"]) == (best, name, ERASED))
        found.append(Found(name, best, linear, near, controls, covered, eraser))
    return found


def erasure_findings(erased: Sequence[str], tables: Mapping[str, Rows]) -> Iterator[str]:
    """Of every erased attribute what is left, beside its controls, and what the others lose."""
    found = {one.name: one for one in erased_found(erased, tables)}
    for name in erased:
        if name not in found:
            yield f"{name}: nothing to measure on the images that no eraser was fitted to."
            continue
        one = found[name]
        random, shuffled = one.controls
        yield (f"{name} erased from {one.layer}, which shows it best: linear probes find {_number(one.linear[1])} of "
               f"{_number(one.linear[0])} before (random subspace {_number(random)}, shuffled labels "
               f"{_number(shuffled)}); neighbours {_number(one.near[1])} of {_number(one.near[0])}. After erasing, the "
               f"interval of linear probes covers chance in {one.covered[0]} of {one.covered[1]} layers.")  # fmt: skip
        yield (f"Erasing {name} takes {100 * one.eraser['removed_held_out']:.1f} % of the variance of {one.layer} "
               f"(rank {one.eraser['rank']}); where the eraser was fitted, what a linear probe knows beyond the "
               f"frequencies is certified to be below {at_most(one.eraser['gain_bits'])} bits, of "
               f"{one.eraser['gain_bits_before']:.2g} before.")  # fmt: skip
        if losses := [row for row in _losses(tables) if row["erased"] == name]:
            sure = sum(_sure(row) for row in losses)
            worst = min(losses, key=lambda row: row["change"])
            change = (worst["change"], worst["change_low"], worst["change_high"])
            yield (f"Of the {len(losses)} other attributes in layers, {sure} lose by it (p, Holm, at most {ALPHA:g}); "
                   f"most {worst['target']} in {worst['layer']}, {_text(change, '+.2f')}.")  # fmt: skip
    yield from answer_findings(erased, tables)


def erasure_excerpts(erased: Sequence[str], tables: Mapping[str, Rows]) -> Iterator[Excerpt]:
    """Every erased attribute in its best layer, what is left by layer, what others lose, and the erasers."""
    found = erased_found(erased, tables)
    columns = (Column("erased"), Column("layer"), Column("linear, before", "number"),
               Column("linear, erased", "number"), Column("random subspace", "number"),
               Column("shuffled labels", "number"),
               Column("neighbours, before", "number"), Column("neighbours, erased", "number"))  # fmt: skip
    body: tuple[tuple[Cell, ...], ...] = tuple(
        (one.name, one.layer, *(_estimate(row) for row in (*one.linear, *one.controls, *one.near))) for one in found
    )
    note = "Adjusted balanced accuracy (0 is chance, 1 is perfect), held out, in the layer where linear probes find "
    note += "the attribute best before it is erased. The controls are linear probes after another erasure."
    yield Excerpt("erasure-summary", "What is left of what was erased", columns, body, note, table="erasure",
                  compared=("linear, before", "linear, erased"))  # fmt: skip
    names = [one.name for one in found]
    own = {(r["layer"], r["target"]): r for r in tables["erasure"] if r["metric"] == ACCURACY and r["probe"] == LINEAR
           and r["erased"] == r["target"] and r["control"] == ERASED}  # fmt: skip
    layers = dict.fromkeys(layer for layer, _ in own)
    by_layer = tuple((layer, *(_estimate(own[layer, name]) for name in names)) for layer in layers)
    yield Excerpt("erasure-by-layer", "What linear probes find of what was erased, by layer",
                  (Column("layer"), *(Column(name, "number") for name in names)), by_layer,
                  "Adjusted balanced accuracy, held out, from the first layer to the last.", table="erasure",
                  compared=tuple(names), curves=True, reference=dict.fromkeys(names, 0.0))  # fmt: skip
    yield _costs(tables)
    yield _erasers(found)
    yield from answer_excerpts(tables)


def _costs(tables: Mapping[str, Rows]) -> Excerpt:
    losses = sorted(_losses(tables), key=lambda row: (row["p_change_holm"], row["change"]))
    columns = (Column("erased"), Column("found"), Column("layer"), Column("before", "number"),
               Column("change", "number"), Column("p, Holm", "p"))  # fmt: skip
    body = tuple((r["erased"], r["target"], r["layer"], r["before"],
                  (r["change"], r["change_low"], r["change_high"]), r["p_change_holm"])
                 for r in losses[:SHOWN])  # fmt: skip
    note = "Attributes that have nothing in common with what was erased; linear probes, paired by image, surest first."
    return Excerpt("erasure-costs", "What else changes", columns, body, note, keys=3, of=len(losses), table="erasure",
                   compared=("change",))  # fmt: skip


def _erasers(found: Sequence[Found]) -> Excerpt:
    columns = (Column("erased"), Column("layer"), Column("rank", "count"),
               Column("variance taken, fitted, %", "percent"),
               Column("variance taken, held out, %", "percent"), Column("known before, bits", "number"),
               Column("known at most after, bits", "number"))  # fmt: skip
    body = tuple((one.name, one.layer, one.eraser["rank"], one.eraser["removed"], one.eraser["removed_held_out"],
                  one.eraser["gain_bits_before"], one.eraser["gain_bits"]) for one in found)  # fmt: skip
    note = "Bits are what the best linear probe can know beyond the frequencies on the images the eraser was fitted to."
    return Excerpt("erasure-erasers", "The erasers", columns, body, note, table="erasers")


def _losses(tables: Mapping[str, Rows]) -> list[Row]:
    """Linear probes of attributes that have no part in common with what was erased."""
    return [row for row in tables["erasure"] if row["metric"] == ACCURACY and row["probe"] == LINEAR
            and row["erased"] != NOTHING and row["control"] == ERASED
            and not set(row["target"].split(" x ")) & set(row["erased"].split(" x "))]  # fmt: skip


def _sure(row: Row) -> bool:
    return row["change"] < 0 and row["p_change_holm"] <= ALPHA


def _estimate(row: Row) -> Estimate:
    return row["value"], row["low"], row["high"]


def _number(row: Row) -> str:
    return _text(_estimate(row), ".2f")


def _text(estimate: Estimate, form: str) -> str:
    value, low, high = (format(part, form) for part in estimate)
    return f"{value} [{low}, {high}]"
