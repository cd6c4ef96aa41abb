"""What zero-shot answers say of themselves in a report."""

from collections.abc import Iterator, Mapping

from bias_jax.audit import Rows
from bias_jax.instruments.zeroshot.findings import CAVEAT
from bias_jax.report.account import Account, Column, Excerpt

SHOWN = 30  # rows at most

ACCOUNT = Account(
    title="Asked by prompts",
    question="Which prompt is nearest to the images of each group, and whom do the images nearest to a prompt show?",
    reads=(
        "A rate is the share of a group's images to which a prompt is the nearest of its family.",
        "Intervals over templates are those of other templates before the same images (jackknife).",
        "MaxSkew@k is the logarithm of how many times its share of all images a group has among the k nearest, of the "
        "group for which this is most; shuffled groups have one above 0, too.",
    ),
    limits=(CAVEAT,),
    figures={"rates-": "Rates of prompts by group, with intervals over images and over templates; grey: the range in "
                       "which 95 % of shuffled groups lie."},
    tables={
        "zeroshot": "how often a prompt is the nearest in a group",
        "zeroshot_differences": "a group against the mean of the others",
        "zeroshot_spread": "the largest and the smallest rate of the groups of a view",
        "zeroshot_skew": "a group among the images that are nearest to a prompt",
        "zeroshot_max_skew": "the group with the largest skew of a prompt",
        "zeroshot_nearest": "an image near to a prompt",
    },
    place=72,
)  # fmt: skip


def zeroshot_excerpts(tables: Mapping[str, Rows]) -> Iterator[Excerpt]:
    """Spreads and largest skews, the surest first."""
    if rows := tables.get("zeroshot_spread"):
        yield _spreads(rows)
    if rows := tables.get("zeroshot_max_skew"):
        yield _skews(rows)


def _spreads(rows: Rows) -> Excerpt:
    columns = (Column("family"), Column("prompt"), Column("by"), Column("least"), Column("rate, %", "percent"),
               Column("most"), Column("its rate, %", "percent"), Column("shuffled spread, %", "percent"),
               Column("p, Holm", "p"), Column("p, Benjamini-Hochberg", "p"))  # fmt: skip
    body = tuple((r["family"], r["prompt"] or "misclassified", r["view"], r["smallest_group"], r["smallest"],
                  r["largest_group"], r["largest"], r["shuffled_spread"], r["p_holm"], r["p_benjamini_hochberg"])
                 for r in rows[:SHOWN])  # fmt: skip
    note = "Against shuffled groups; surest first, corrected for all comparisons."
    return Excerpt("zeroshot-spreads", "Groups of which prompts are said least and most", columns, body, note, keys=3,
                   of=len(rows), table="zeroshot_spread")  # fmt: skip


def _skews(rows: Rows) -> Excerpt:
    columns = (Column("family"), Column("prompt"), Column("by"), Column("group"), Column("MaxSkew@k", "number"),
               Column("over templates", "number"), Column("shuffled", "number"), Column("p, Holm", "p"))  # fmt: skip
    body = tuple((r["family"], r["prompt"], r["view"], r["group"], (r["max_skew"], r["low"], r["high"]),
                  (r["max_skew"], r["template_low"], r["template_high"]), r["shuffled"], r["p_holm"])
                 for r in rows[:SHOWN])  # fmt: skip
    title = f"Whom the {rows[0]['k']} images nearest to a prompt show"
    return Excerpt("zeroshot-skews", title, columns, body, "Against shuffled groups; surest first.", keys=3,
                   of=len(rows), table="zeroshot_max_skew", compared=("MaxSkew@k",))  # fmt: skip
