"""How to read sensitivity, and the excerpt of its tables for a report."""

from collections.abc import Iterator, Mapping

from bias_jax.audit import Rows
from bias_jax.report.account import Account, Column, Excerpt

SHOWN = 20  # rows of the excerpt

ACCOUNT = Account(
    title="Sensitivity",
    question="Do the network's answers change along the directions between groups, or does a layer only hold them?",
    reads=(
        "The direction to a group, from the mean of the others, is added at every position of a layer; a slope is the "
        "derivative of a log-probability, in nats per scale of the layer (the root mean square distance of an image "
        "from the mean), and strength its root mean square over all classes.",
        "Directions between shuffled labels are the control: p-values say how many of them change the answers as much.",
        "Intervals are about other images along the same direction.",
    ),
    limits=(
        "A slope is local: it says which way log-probabilities go as a layer is moved a little, not what a large move "
        "would do.",
        "The direction between two groups holds whatever differs between their photographs, pose and background too.",
        "That no slope is beyond chance does not show that nothing is used: there may be too few images, or another "
        "direction.",
    ),
    figures={"sensitivity_by_layer": "Strength along the direction to each group over the layers, beside shuffled "
             "labels (band) and random directions (dotted)."},
    tables={"sensitivity_strength": "strength along a direction in a layer, with its controls and p-values",
            "sensitivity": "mean slope of a class or family along a direction in a layer, with its interval"},
    place=45,
)  # fmt: skip


def sensitivity_excerpts(tables: Mapping[str, Rows]) -> Iterator[Excerpt]:
    """The directions that are furthest beyond shuffled labels."""
    rows = tables["sensitivity_strength"]
    order = sorted(rows, key=lambda row: (row["p_max_t"], -row["value"] / (row["shuffled"] or 1.0)))
    columns = (Column("layer"), Column("direction"), Column("strength", "number"), Column("shuffled labels", "number"),
               Column("random directions", "number"), Column("p (max-T)", "p"))  # fmt: skip
    body = tuple(
        (row["layer"], f"{row['attribute']}: {row['group']} from {row['against']}", row["value"], row["shuffled"],
         row["random"], row["p_max_t"]) for row in order[:SHOWN]
    )  # fmt: skip
    note = "Furthest beyond shuffled labels (their median) first; p corrected for all layers and groups."
    yield Excerpt("sensitivity", "Strength along directions between groups", columns, body, note, keys=2,
                  of=len(rows) if len(rows) > SHOWN else 0, table="sensitivity_strength")  # fmt: skip
