"""What the network uses of groups, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.predictions.views import FAMILY

SIGNIFICANT = 0.05
LISTED = 3  # classes of an attribute


def sensitivity_findings(stored: Stored, tables: Mapping[str, Rows]) -> Iterator[str]:
    """For each attribute how many directions are used, where most, and which classes change most."""
    strengths, classes = tables["sensitivity_strength"], tables["sensitivity"]
    for attribute in dict.fromkeys(row["attribute"] for row in strengths):
        own = [row for row in strengths if row["attribute"] == attribute]
        sure = [row for row in own if row["p_max_t"] < SIGNIFICANT]
        most = max(own, key=lambda row: row["value"] / (row["shuffled"] or 1.0))
        yield (
            f"Of {attribute}, answers change more than along shuffled labels in {len(sure)} of {len(own)} layers and "
            f"groups (p < {SIGNIFICANT}, max-T over all of them); most in {most['layer']}, {_group(most)}: "
            f"{most['value']:.2g} nats per scale of the layer against {most['shuffled']:.2g} (random directions "
            f"{most['random']:.2g}), p {most['p_max_t']:.2g}."
        )
        mine = [row for row in classes if row["attribute"] == attribute]
        found = [row for row in _foremost(mine) if row["p_max_t"] < SIGNIFICANT]
        if found:
            yield f"Most certain of {attribute}: {'; '.join(map(_class, found))} (max-T over all classes)."
        else:
            yield f"Along {attribute}, no class alone changes more (max-T over all classes)."


def _foremost(rows: Rows) -> list[Mapping[str, Any]]:
    """The row of each label that is furthest beyond shuffled labels; of these the first few."""
    best: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["p_max_t"], -abs(row["value"]) / (row["shuffled"] or 1.0))):
        best.setdefault((row["kind"], row["label"]), row)
    return list(best.values())[:LISTED]


def _class(row: Mapping[str, Any]) -> str:
    family = "family " if row["kind"] == FAMILY else ""
    return (f"{family}{row['label']}, {row['layer']}, towards {_group(row)}: {row['value']:+.2g} [{row['low']:+.2g}, "
            f"{row['high']:+.2g}], upwards for {100 * row['positive']:.0f} % of the images, p {row['p_max_t']:.2g}"
            )  # fmt: skip


def _group(row: Mapping[str, Any]) -> str:
    return f"{row['attribute']} {row['group']} (from {row['against']})"
