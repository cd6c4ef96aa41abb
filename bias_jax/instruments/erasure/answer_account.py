"""What erasing does to the network's answers, in sentences and excerpts of its tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bias_jax.audit import Rows
from bias_jax.instruments.erasure.answer_tables import AGREEMENT, ANSWERS, BY_GROUP, DISTANCE, EVERYONE, PROBABILITY
from bias_jax.instruments.erasure.conditions import ERASED, RANDOM, SHUFFLED
from bias_jax.instruments.predictions.views import FAMILY
from bias_jax.report.account import Cell, Column, Excerpt

ALPHA = 0.05
SHOWN = 30  # changes of groups at most
NOT_ASKED = ("What erasing does to the network's own answers was not asked: that needs --erasure.answers and a network "
             "of the registry with a classifier.")  # fmt: skip
Row = Mapping[str, Any]


def answer_findings(erased: Sequence[str], tables: Mapping[str, Rows]) -> Iterator[str]:
    """Of every erased attribute how far the answers move, and what becomes of the differences between its groups."""
    if ANSWERS not in tables:
        yield NOT_ASKED
        return
    for name in erased:
        yield _moved(name, tables[ANSWERS])
        if sentence := _between_groups(name, tables.get(BY_GROUP, ())):
            yield sentence
    worst = max(row["reinserted"] for row in tables[ANSWERS])
    yield f"A layer put back unchanged changes no probability by more than {worst:.1g}."


def _moved(name: str, rows: Rows) -> str:
    own = {(r["layer"], r["control"], r["metric"]): r for r in rows if r["erased"] == name}
    layers = list(dict.fromkeys(layer for layer, *_ in own))
    most = max(layers, key=lambda layer: own[layer, ERASED, DISTANCE]["value"])
    moved, kept = (own[most, ERASED, metric] for metric in (DISTANCE, AGREEMENT))
    further = []
    for control in (RANDOM, SHUFFLED):
        mine = [own[layer, control, DISTANCE] for layer in layers]
        sure = sum(row["beyond"] > 0 and row["p_beyond_holm"] < ALPHA for row in mine)
        value = own[most, control, DISTANCE]["value"]
        further.append(f"{control} {value:.2g}, surely less than erasing in {sure} of {len(mine)} layers")
    share = "{:.0f} % [{:.0f}, {:.0f}]".format(*(100 * kept[key] for key in ("value", "low", "high")))
    return (f"{name} erased from {most} moves the network's answers most: {moved['value']:.2g} "
            f"[{moved['low']:.2g}, {moved['high']:.2g}] of the probability goes to other classes "
            f"({'; '.join(further)}; p, Holm, < {ALPHA:g}), and {share} of {kept['images']} held-out images keep "
            "their class.")  # fmt: skip


def _between_groups(name: str, rows: Rows) -> str:
    """The largest difference between groups in a mean probability, and the layer that lessens it most."""
    own = [r for r in rows if r["erased"] == name and r["control"] == ERASED and r["measure"] == PROBABILITY]
    apart = [row for row in own if np.isfinite(row["gap_before"])]
    if not apart:
        return ""
    widest = max(apart, key=lambda row: abs(row["gap_before"]))
    same = [row for row in apart if all(row[key] == widest[key] for key in ("view", "group", "kind", "label"))]
    best = min(same, key=lambda row: abs(row["gap_after"]))
    inside = [row for row in own if row["view"] != EVERYONE]
    sure = sum(row["p_change_holm"] < ALPHA for row in inside)
    interval = f"{best['gap_change']:+.2g} [{best['gap_change_low']:+.2g}, {best['gap_change_high']:+.2g}]"
    return (
        f"Most different is {spoken(widest)} of {widest['group']}: probability {widest['before']:.2g}, "
        f"{widest['gap_before']:+.2g} from the mean of the others; after erasing {name} from {best['layer']}, which "
        f"lessens it most, {best['after']:.2g}, {best['gap_after']:+.2g} (change of the difference {interval}). "
        f"Of {len(inside)} mean probabilities of groups over all layers, {sure} change surely (p, Holm, < {ALPHA:g})."
    )


def spoken(row: Row) -> str:
    """A class or a family."""
    return f"family {row['label']}" if row["kind"] == FAMILY else str(row["label"])


def answer_excerpts(tables: Mapping[str, Rows]) -> Iterator[Excerpt]:
    """How far answers move by layer, and the surest changes of groups."""
    if ANSWERS not in tables:
        return
    rows = {(r["layer"], r["erased"], r["control"], r["metric"]): r for r in tables[ANSWERS]}
    body: list[tuple[Cell, ...]] = []
    for layer, name in dict.fromkeys((layer, name) for layer, name, *_ in rows):
        moved = (rows[layer, name, control, DISTANCE] for control in (ERASED, RANDOM, SHUFFLED))
        kept = rows[layer, name, ERASED, AGREEMENT]
        body.append((name, layer, *((r["value"], r["low"], r["high"]) for r in (*moved, kept))))
    columns = (Column("erased"), Column("layer"), Column("probability moved", "number"),
               Column("random subspace", "number"), Column("shuffled labels", "number"),
               Column("keep their class, %", "percent"))  # fmt: skip
    note = "Share of the probability that goes to other classes (total variation), mean over held-out images, and how "
    note += "many of these images keep their most probable class."
    body.sort(key=lambda row: [name for _, name, *_ in rows].index(row[0]))
    yield Excerpt("erasure-answers", "What the network answers when a layer is erased", columns, tuple(body), note,
                  keys=2, table=ANSWERS, compared=("probability moved",))  # fmt: skip
    own = [r for r in tables.get(BY_GROUP, ()) if r["control"] == ERASED and np.isfinite(r["p_change"])]
    own.sort(key=lambda r: (r["p_change_holm"], r["p_change"], -abs(r["change"])))
    if own:
        shown = tuple((r["erased"], r["layer"], r["group"], spoken(r), r["measure"], r["images"], r["before"],
                       (r["change"], r["change_low"], r["change_high"]), r["gap_before"], r["gap_after"],
                       r["p_change_holm"]) for r in own[:SHOWN])  # fmt: skip
        of_groups = (Column("erased"), Column("layer"), Column("group"), Column("what is said"), Column("measure"),
                   Column("images", "count"), Column("before", "number"), Column("change", "number"),
                   Column("from the others, before", "number"), Column("from the others, after", "number"),
                   Column("p, Holm", "p"))  # fmt: skip
        note = "Rate: share of a group's images for which it is the most probable; probability: its mean. Surest first."
        yield Excerpt("erasure-answers-groups", "What changes in what is said of groups", of_groups, shown, note,
                      keys=5, of=len(own), table=BY_GROUP, compared=("change",))  # fmt: skip
