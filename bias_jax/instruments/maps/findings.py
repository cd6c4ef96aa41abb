"""What was found about maps, in words."""

from collections.abc import Iterator, Mapping

import numpy as np

from bias_jax.audit import Rows

# Measures that are shown -> their short names.
SHOWN = {
    "trustworthiness_10": "trust@10", "continuity_10": "contin@10", "distance_correlation": "dist.corr",
    "morans_i": "Moran's I", "groups_with_order": "p<=.05", "disparity_of_seeds": "disparity",
    "resize_area": "resize", "blur_area": "blur",
}  # fmt: skip


def map_findings(tables: Mapping[str, Rows]) -> Iterator[str]:
    """How far maps can be trusted."""
    if "topomaps" in tables:
        yield error_lines(tables["topomaps"])
    if "layouts" in tables:
        yield layout_table(tables["layouts"])


def error_lines(rows: Rows) -> str:
    """Median and worst topographic error over layers, and what it means."""
    errors = np.array([row["topographic_error"] for row in rows])
    worst = rows[int(errors.argmax())]["layer"]
    return (
        f"topographic error of the self-organizing maps: {100 * np.median(errors):.1f} % of the units "
        f"(median of {len(rows)} layers; most in {worst}, {100 * errors.max():.1f} %)\n"
        "  the share of units whose two nearest nodes are not neighbours: there the map is torn, and what looks apart\n"
        "  may be alike"
    )


def layout_table(rows: Rows) -> str:
    """Means over layers, one line per layout."""
    lines = ["mean over layers; p<=.05: share of groups with order; disparity, resize, blur: less is better"]
    lines.append(f"{'layout':<14}" + "".join(f"{name:>11}" for name in SHOWN.values()))
    for layout, force in dict.fromkeys((row["layout"], row["force"]) for row in rows):
        mine = [row for row in rows if (row["layout"], row["force"]) == (layout, force)]
        means = [np.mean([row[key] for row in mine]) for key in SHOWN]
        lines.append(f"{layout + ('' if force == 'none' else ' ' + force):<14}" + "".join(f"{m:>11.3g}" for m in means))
    return "\n".join(lines)
