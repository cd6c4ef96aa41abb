"""What probes say of themselves in a report."""

from collections.abc import Iterator, Mapping, Sequence

from bias_jax.audit import PIXELS, Rows, Stored
from bias_jax.instruments.probes.findings import (
    COMPARABLE,
    Scores,
    best_layer,
    most_pronounced,
    pick,
    shuffled_score,
)
from bias_jax.instruments.probes.stored import scores_by_layer
from bias_jax.probes import HELD_OUT, Score
from bias_jax.report.account import Account, Cell, Column, Estimate, Excerpt

BITS = "information_bits"
SHOWN = 30  # gaps at most
LISTED = 12  # confusions at most

ACCOUNT = Account(
    title="Accuracy by layer: linear probes",
    question="Can the groups be told apart by a weighted sum of a layer's activations, and which of them are confused?",
    reads=(
        "A probe is trained on some of the images and asked about others; its strength is chosen on inner folds, so "
        "nothing is selected on the images that are reported, except that a layer is called the best.",
        "Compare a number with its controls: chance, the same probe on shuffled labels, and the pixels without a "
        "network. What the pixels show need not have been learned.",
        "Balanced accuracies of attributes with different numbers of categories are not comparable; the scale from "
        "chance (0) to perfect (1) is.",
    ),
    limits=(
        "A probe shows what can be read off a layer, not what the network uses.",
        "What is told apart best need not be what lies furthest apart: that is asked by the variance partition.",
        "The best layer is the best on these images; its value is a little too good; its neighbours may be as good.",
        "A low recall says that a group is confused with others here, not that a product treats it worse.",
    ),
    figures={
        "accuracy_by_layer": "Balanced accuracy of every target over the layers, with 95 % intervals, beside shuffled "
        "labels and chance.",
        "comparison_by_layer": "All targets over the layers on one scale, from chance (0) to perfect (1).",
        "confusion_groups": "Which group is taken for which, in the layer that tells the groups apart best; each row "
        "adds up to one.",
        "confusion_attributes": "Which category is taken for which, attribute by attribute, in the same layer.",
    },
    tables={
        "probes": "a metric of a probe in a layer, held out or in training, with its control",
        "recalls": "recall of a class in a layer",
        "mistake_types": "how often a probe is wrong in exactly these attributes",
        "frequent_mistakes": "a frequent confusion",
        "differences": "a paired difference between two layers, or two attributes",
    },
    place=10,
)


def probe_excerpts(stored: Stored, tables: Mapping[str, Rows], gaps: Rows) -> Iterator[Excerpt]:
    """What each attribute comes to, accuracies by layer, attributes compared, gaps and mistakes."""
    scores, targets = scores_by_layer(tables["probes"]), stored.facts["targets"]
    order, groups = most_pronounced(scores, targets), stored.facts["groups"]
    yield _summary(scores, [*order, *(target for target in targets if target not in order)])
    yield _by_layer(scores, list(targets))
    if len(order) > 1:
        yield _attributes(tables["differences"], best_layer(scores, order[0]))
    if gaps:
        yield _gaps(gaps)
    if "mistake_types" in tables:
        yield _mistakes(tables["mistake_types"], groups, best_layer(scores, groups))
        yield _confusions(tables["frequent_mistakes"], groups, best_layer(scores, groups))


def _summary(scores: Scores, targets: Sequence[str]) -> Excerpt:
    columns = (Column("target"), Column("best layer"), Column("balanced accuracy, %", "percent"),
               Column("chance, %", "percent"), Column("shuffled labels, %", "percent"), Column("pixels, %", "percent"),
               Column("chance 0 to perfect 1", "number"), Column("bits", "number"))  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for target in targets:
        layer = best_layer(scores, target)
        own = pick(scores[layer], target, "balanced_accuracy")
        shuffled = shuffled_score(scores[layer], target, own.metric)
        pixels = _estimate(pick(scores[PIXELS], target, own.metric)) if PIXELS in scores else None
        rows.append((target, layer, _estimate(own), own.chance,
                     None if shuffled is None else _estimate(shuffled), pixels,
                     *(_estimate(pick(scores[layer], target, m)) for m in (COMPARABLE, BITS))))  # fmt: skip
    note = "Held-out images. Single attributes first, the one told apart best at the top."
    title = "How well each attribute and combination is told apart, in its best layer"
    return Excerpt("probes-summary", title, columns, tuple(rows), note, table="probes",
                   compared=("balanced accuracy, %", "chance 0 to perfect 1"))  # fmt: skip


def _by_layer(scores: Scores, targets: Sequence[str]) -> Excerpt:
    chance = {t: pick(next(iter(scores.values())), t, "balanced_accuracy").chance for t in targets}
    rows: list[tuple[Cell, ...]] = [
        (name, *(_estimate(pick(own, t, "balanced_accuracy")) for t in targets)) for name, own in scores.items()
    ]
    columns = (Column("layer"), *(Column(target, "percent") for target in targets))
    return Excerpt("probes-by-layer", "Balanced accuracy by layer, %", columns, (*rows, ("chance", *chance.values())),
                   "Held-out images, from the first layer to the last.", table="probes", compared=tuple(targets),
                   curves=True, reference=chance)  # fmt: skip


def _attributes(differences: Rows, layer: str) -> Excerpt:
    own = [row for row in differences if row["compared"] == "attributes" and row["layer"] == layer]
    rows = tuple((f"{row['target']} minus {row['versus_target']}", (row["value"], row["low"], row["high"]),
                  row["p_holm"], row["p_benjamini_hochberg"])
                 for row in sorted(own, key=lambda row: row["p_value"]))  # fmt: skip
    columns = (Column("attributes"), Column("difference", "number"), Column("p, Holm", "p"),
               Column("p, Benjamini-Hochberg", "p"))  # fmt: skip
    note = f"On the scale from chance (0) to perfect (1), in layer {layer}, paired by image. Corrected for all layers."
    title = "Which attribute is told apart better"
    return Excerpt("probes-attributes", title, columns, rows, note, table="differences", compared=("difference",))


def _gaps(gaps: Rows) -> Excerpt:
    columns = (Column("group"), Column("of"), Column("layer"), Column("images", "count"), 
               Column("recall, %", "percent"), Column("points from the others", "points"), Column("p, Holm", "p"),
               Column("p, Benjamini-Hochberg", "p"))  # fmt: skip
    rows = tuple((row["group"], row["target"], row["layer"], row["images"],
                  (row["recall"], row["recall_low"], row["recall_high"]),
                  (row["difference"], row["low"], row["high"]), row["p_holm"], row["p_benjamini_hochberg"])
                 for row in gaps[:SHOWN])  # fmt: skip
    note = "Recall of a class minus the mean recall of the other classes, in the target's best layer; surest first. "
    note += "p of Fisher's test against all other images, corrected for all gaps; images are taken to be independent."
    if gaps[0]["p_holm"] is None:
        note = "Recall of a class minus the mean of the other classes, largest first. Persons have several images, so "
        note += "there are no p-values."
    return Excerpt("probes-gaps", "Gaps between groups, surest first", columns, rows, note, keys=2, of=len(gaps),
                   table="recalls", compared=("recall, %",))  # fmt: skip


def _mistakes(types: Rows, groups: str, layer: str) -> Excerpt:
    own = [r for r in types if (r["layer"], r["probe"], r["split"]) == (layer, groups, HELD_OUT)]
    columns = (Column("wrong in"), Column("images", "count"), Column("share, %", "percent"),
               Column("independent guesses, %", "percent"), Column("shuffled labels, %", "percent"))  # fmt: skip
    rows = tuple((r["wrong"], r["images"], (r["share"], r["low"], r["high"]), r["independent"], r["shuffled"])
                 for r in sorted(own, key=lambda r: -r["share"]))  # fmt: skip
    note = (
        f"Predictions of the probe for {groups} in layer {layer}, held out, beside what the same predictions give if "
    )
    note += "they are dealt out at random."
    return Excerpt("probes-mistakes", "Mistakes: which attributes are wrong together", columns, rows, note,
                   table="mistake_types", compared=("share, %",))  # fmt: skip


def _confusions(mistakes: Rows, groups: str, layer: str) -> Excerpt:
    own = [r for r in mistakes if (r["layer"], r["probe"], r["split"]) == (layer, groups, HELD_OUT)]
    columns = (Column("true"), Column("taken for"), Column("wrong in"), Column("images", "count"),
               Column("share of the true group, %", "percent"))  # fmt: skip
    rows = tuple((r["true"], r["predicted"], r["wrong"], r["images"], r["share"]) for r in own[:LISTED])
    note = f"Probe for {groups} in layer {layer}, held out; the most frequent first."
    return Excerpt("probes-confusions", "Mistakes: frequent confusions", columns, rows, note, keys=2, of=len(own),
                   table="frequent_mistakes")  # fmt: skip


def _estimate(score: Score) -> Estimate:
    return score.value, score.low, score.high
