"""What zero-shot answers say, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.predictions.views import EVERYONE
from bias_jax.instruments.zeroshot.tables import single_attributes

LISTED = 3
SIGNIFICANT = 0.05
CAVEAT = (
    "Groups are labels that somebody gave to faces, and a prompt is the nearest of those that were asked, however far: "
    "other prompts beside it, and other templates, give other rates. Where the interval over templates is the wider "
    "one, the wording says more than the sample of pictures. Only prompts of categories can be right or wrong."
)


def zeroshot_findings(stored: Stored, tables: Mapping[str, Rows]) -> Iterator[str]:
    """Mistakes, spreads between groups, skews of what is retrieved, and what none of it means; a sentence each."""
    yield from _mistakes(stored, tables["zeroshot"])
    yield from _spreads(tables.get("zeroshot_spread", []))
    yield from _skews(tables.get("zeroshot_max_skew", []))
    yield CAVEAT


def _mistakes(stored: Stored, rows: Rows) -> Iterator[str]:
    model = f"{stored.run['model']} ({stored.run['weights']})"
    mistakes = [row for row in rows if row["measure"] == "misclassification"]
    for overall in [row for row in mistakes if row["view"] == EVERYONE]:
        own = [row for row in single_attributes(stored, mistakes) if row["family"] == overall["family"]]
        worst = max(own, key=lambda row: row["value"])
        yield (f"Asked for {overall['family']}, {model} is wrong for {_rate(overall)} of {overall['images']} images, "
               f"most often for {worst['view']} {worst['group']}, {_rate(worst)}.")  # fmt: skip
    if not mistakes:
        yield f"No family of prompts is tied to an attribute, so nothing that {model} says is right or wrong."


def _spreads(rows: Rows) -> Iterator[str]:
    if not rows:
        yield "Between groups there is nothing to compare."
        return
    sure = sum(row["p_holm"] < SIGNIFICANT for row in rows)
    yield (f"Between groups, {sure} of {len(rows)} spreads of rates have p < {SIGNIFICANT} (shuffled groups, Holm's "
           "correction for all of them).")  # fmt: skip
    for row in rows[:LISTED]:
        yield (f"{row['family']}, {row['prompt'] or 'misclassified'}: {100 * row['smallest']:.1f} % of {row['view']} "
               f"{row['smallest_group']}, {100 * row['largest']:.1f} % of {row['largest_group']}; a spread of "
               f"{100 * row['spread']:.1f} points, shuffled {100 * row['shuffled_spread']:.1f}, p (Holm) "
               f"{row['p_holm']:.2g}.")  # fmt: skip


def _skews(rows: Rows) -> Iterator[str]:
    if not rows:
        yield "Of what prompts retrieve there is nothing to compare."
        return
    sure = sum(row["p_holm"] < SIGNIFICANT for row in rows)
    yield (f"Of the images nearest to a prompt, {sure} of {len(rows)} MaxSkew@{rows[0]['k']} have p < {SIGNIFICANT} "
           "(shuffled groups, Holm's correction for all of them).")  # fmt: skip
    for row in rows[:LISTED]:
        over = "" if np.isnan(row["template_low"]) else (
            f" (over templates [{row['template_low']:.2f}, {row['template_high']:.2f}])")  # fmt: skip
        yield (f"{row['family']}, {row['prompt']}: {row['view']} {row['group']} has "
               f"{np.exp(row['max_skew']):.2f} times its share, a skew of {row['max_skew']:.2f} [{row['low']:.2f}, "
               f"{row['high']:.2f}]{over}, shuffled {row['shuffled']:.2f}, p (Holm) {row['p_holm']:.2g}.")  # fmt: skip


def _rate(row: Mapping[str, Any]) -> str:
    found = f"{100 * row['value']:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    if np.isnan(row["template_low"]):
        return found
    return f"{found} (over templates [{100 * row['template_low']:.1f}, {100 * row['template_high']:.1f}])"
