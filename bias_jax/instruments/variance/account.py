"""What the variance partition says: sentences, excerpts of its table, and how to read them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bias_jax.audit import PIXELS, Rows
from bias_jax.report.account import Account, Column, Excerpt
from bias_jax.statistics import ALL_GROUPS, LEVELS

ALPHA = 0.05

ACCOUNT = Account(
    title="Variance partition",
    question="How much of the distance between groups in a layer is each attribute, or an interaction of attributes?",
    reads=(
        "A share is omega squared: of the squared distance between images, or between group means, with sampling noise "
        "removed, so it can be slightly negative where there is nothing, or above 100 % where little is certain; "
        "intervals are cut to what is possible, 0 to 100 %.",
        "Most of the distance between images lies within groups; shares between group means add up to one.",
        "Attributes with more categories have more room: shares per degree of freedom are in the whole table.",
    ),
    limits=(
        "A term is large if groups lie far apart in the layer's own units, on whatever axis varies most; a probe can "
        "find what is small here.",
        "Where all groups together do not differ, shares between their means are shares of next to nothing.",
    ),
    figures={"variance_by_layer": "Share of every attribute and interaction over the layers, between images and "
             "between group means; filled where it is significant, corrected for all layers and terms."},
    tables={"variance": "share of a term at a level in a layer, with its interval and p-values"},
    place=20,
)  # fmt: skip


def variance_findings(rows: Rows) -> Iterator[str]:
    """The share of each attribute in the distance between group means, the largest first, with the pixels as control.

    Interactions have a sentence each where they are significant, and one for all where they are not.
    """
    means = [row for row in rows if row["level"] == LEVELS[1]]
    layers, differing = [layer for layer in _layers(means) if layer != PIXELS], _differing(means)
    if len(layers) == 1:
        yield f"In {layers[0]}, the groups {'' if differing else 'do not '}differ more than images drawn at random."
    elif not differing:
        yield f"The groups differ in none of the {len(layers)} layers more than images drawn at random."
    else:
        yield f"The groups differ in {len(differing)} of {len(layers)} layers more than images drawn at random."
    if not differing:
        return
    terms, quiet = dict.fromkeys(row["term"] for row in means if row["term"] != ALL_GROUPS), []
    found = {term: [r for r in means if r["term"] == term and r["layer"] in differing] for term in terms}
    for term in sorted(terms, key=lambda term: -_median(found[term])):
        own = found[term]
        sure = sum(row["p_max_t"] <= ALPHA for row in own)
        if " x " in term and not sure:
            quiet.append(term)
            continue
        best = max(own, key=lambda row: row["omega_squared"])
        pixels = [row for row in means if row["term"] == term and row["layer"] == PIXELS]
        control = f"; in the pixels {_percent(pixels[0])}" if pixels else ""
        if len(own) == 1:
            yield (f"{term} accounts for {_percent(best)} of the distance between group means in {best['layer']}"
                   f"{control}; {'' if sure else 'not '}significant, corrected.")  # fmt: skip
            continue
        yield (f"{term} accounts for {100 * _median(own):.1f} % of the distance between group means (median of these "
               f"layers; most in {best['layer']}, {_percent(best)}{control}), significant in {sure} of {len(own)} "
               f"layers, corrected.")  # fmt: skip
    if quiet:
        yield f"Of the interactions, significant in no layer: {', '.join(quiet)}."


def variance_excerpts(rows: Rows) -> Iterator[Excerpt]:
    """Shares by layer at both levels, the level of group means first."""
    titles = {LEVELS[1]: "Shares of the distance between group means, %",
              LEVELS[0]: "Shares of the distance between images, %"}  # fmt: skip
    for level, title in titles.items():
        own = [row for row in rows if row["level"] == level]
        terms = [t for t in dict.fromkeys(row["term"] for row in own) if t != ALL_GROUPS or level == LEVELS[0]]
        cells = {(row["layer"], row["term"]): row for row in own}
        body = tuple(
            (layer, *(_estimate(cells[layer, term]) for term in terms), cells[layer, ALL_GROUPS]["p_value"])
            for layer in _layers(own)
        )
        columns = (Column("layer"), *(Column(term, "percent") for term in terms), Column("all groups: p", "p"))
        note = "Omega squared with its 95 % interval, from the first layer to the last; p of any difference at all."
        yield Excerpt(f"variance-{level.replace(' ', '-')}", title, columns, body, note, table="variance",
                      compared=tuple(terms), curves=True)  # fmt: skip


def variance_table(rows: Rows) -> str:
    """The median share of each term as text."""
    lines = ["share of the distance between group means, noise removed, % (median of the layers where groups differ)"]
    means = [row for row in rows if row["level"] == LEVELS[1]]
    differing = _differing(means)
    if not differing:
        return lines[0] + "\n  groups differ in no layer"
    for term in dict.fromkeys(row["term"] for row in means if row["term"] != ALL_GROUPS):
        picked = [row for row in means if row["term"] == term and row["layer"] in differing]
        significant = sum(row["p_max_t"] <= ALPHA for row in picked)
        lines.append(
            f"  {term:<24} {100 * _median(picked):6.1f}   significant in {significant} of {len(picked)} layers"
        )
    return "\n".join(lines)


def _layers(rows: Rows) -> Sequence[str]:
    return list(dict.fromkeys(row["layer"] for row in rows))


def _differing(means: Rows) -> set[str]:
    """Layers of the network in which groups differ at all."""
    own = [row for row in means if row["term"] == ALL_GROUPS and row["layer"] != PIXELS]
    return {row["layer"] for row in own if row["p_value"] <= ALPHA}


def _median(rows: Rows) -> float:
    return float(np.median([row["omega_squared"] for row in rows]))


def _estimate(row: Mapping) -> tuple[float, float, float]:
    return row["omega_squared"], row["low"], row["high"]


def _percent(row: Mapping) -> str:
    value, low, high = (100 * part for part in _estimate(row))
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"
