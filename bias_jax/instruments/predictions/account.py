"""What predictions say of themselves in a report."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from bias_jax.audit import Rows
from bias_jax.instruments.predictions.findings import CAVEAT
from bias_jax.instruments.predictions.views import EVERYONE, FAMILY
from bias_jax.report.account import Account, Column, Excerpt

SHOWN = 30  # differences at most
MOST_GROUPS = 20  # of a view whose confidence is shown

ACCOUNT = Account(
    title="What the network itself says",
    question="How often does the network give each of its own classes to each group, and how confidently?",
    reads=(
        "A rate is the share of a group's images for which a class is the most probable, or among the most probable.",
        "Every group is compared with the mean of the rates of the other groups; p-values are of Fisher's exact test "
        "and corrected for all comparisons.",
    ),
    limits=(CAVEAT,),
    figures={
        "differences": "The surest differences between groups in what the network says, with 95 % intervals.",
        "confidence-": "Mean confidence and mean entropy of groups with intervals; dashed: the mean of all groups.",
    },
    tables={
        "predictions": "how often a class or family is said of a group",
        "prediction_differences": "a group against the mean of the others",
        "confidence": "mean confidence or entropy of a group",
    },
    place=70,
)


def event_name(row: Mapping[str, Any]) -> str:
    """What is said: a class or a family, and among how many."""
    family = "family " if row["kind"] == FAMILY else ""
    return f"{family}{row['label']}" + (f", among the {row['top']} most probable" if row["top"] > 1 else "")


def prediction_excerpts(tables: Mapping[str, Rows]) -> Iterator[Excerpt]:
    """Differences worst first, the most frequent classes, and confidence by attribute."""
    if rows := tables.get("prediction_differences"):
        columns = (Column("what is said"), Column("group"), Column("by"), Column("images", "count"),
                   Column("rate, %", "percent"), Column("others, %", "percent"), Column("points", "points"),
                   Column("p, Holm", "p"), Column("p, Benjamini-Hochberg", "p"))  # fmt: skip
        body = tuple((event_name(r), r["group"], r["view"], r["images"], r["value"], r["others"],
                      (r["difference"], r["low"], r["high"]), r["p_holm"], r["p_benjamini_hochberg"])
                     for r in rows[:SHOWN])  # fmt: skip
        note = "Each group against the mean of the others; surest first, corrected for all comparisons."
        yield Excerpt("predictions-gaps", "Differences between groups, worst first", columns, body, note, keys=3,
                      of=len(rows), table="prediction_differences", compared=("points",))  # fmt: skip
    every = [row for row in tables.get("predictions", ()) if row["view"] == EVERYONE]
    if every:
        rates = tuple((event_name(r), r["hits"], (r["value"], r["low"], r["high"])) for r in every)
        three = (Column("what is said"), Column("images", "count"), Column("rate, %", "percent"))
        yield Excerpt("predictions-rates", "What is said of all images", three, rates, table="predictions",
                      compared=("rate, %",))  # fmt: skip
    yield _confidence(tables["confidence"])


def _confidence(rows: Rows) -> Excerpt:
    own = [r for r in rows if r["measure"] == "confidence"]
    sizes = Counter(r["view"] for r in own)
    shown = tuple((r["view"], r["group"], r["images"], (r["value"], r["low"], r["high"]), r["p_max_t"])
                  for r in own if sizes[r["view"]] <= MOST_GROUPS)  # fmt: skip
    columns = (Column("by"), Column("group"), Column("images", "count"), Column("mean confidence", "number"),
               Column("p, max-T", "p"))  # fmt: skip
    note = "p of the difference from the other groups, corrected for all groups, views and both measures."
    return Excerpt("predictions-confidence", "Confidence by group", columns, shown, note, keys=2, table="confidence",
                   compared=("mean confidence",))  # fmt: skip
