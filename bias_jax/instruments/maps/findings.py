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
        yield error_sentence(tables["topomaps"])
    if "layouts" in tables:
        yield from layout_sentences(tables["layouts"])


def error_sentence(rows: Rows) -> str:
    """Median and worst topographic error over layers, and what it means."""
    errors = np.array([row["topographic_error"] for row in rows])
    worst = rows[int(errors.argmax())]["layer"]
    layers = f"median of {len(rows)} layers; most in {worst}, {100 * errors.max():.1f} %"
    return (
        f"Topographic error of the self-organizing maps: {100 * np.median(errors):.1f} % of the units "
        f"({layers if len(rows) > 1 else f'layer {worst}'}); where a unit's two "
        "nearest nodes are not neighbours, the map is torn, and what looks apart may be alike."
    )


def layout_sentences(rows: Rows) -> Iterator[str]:
    """Which layout keeps neighbourhoods best, beside the random one."""
    mean = {
        kind: float(np.mean([r["trustworthiness_10"] for r in rows if (r["layout"], r["force"]) == kind]))
        for kind in dict.fromkeys((row["layout"], row["force"]) for row in rows)
    }
    best = max(mean, key=mean.__getitem__)
    name = best[0] if best[1] == "none" else f"{best[0]} + {best[1]} force"
    control = f"; the random layout: {mean['random', 'none']:.2f}" if ("random", "none") in mean else ""
    yield (f"Of {len(mean)} layouts {name} keeps neighbourhoods best: trustworthiness of 10 neighbours "
           f"{mean[best]:.2f}, mean over layers (0.5 is chance){control}.")  # fmt: skip


def layout_table(rows: Rows) -> str:
    """Means over layers, one line per layout."""
    lines = ["mean over layers; p<=.05: share of groups with order; disparity, resize, blur: less is better"]
    lines.append(f"{'layout':<14}" + "".join(f"{name:>11}" for name in SHOWN.values()))
    for layout, force in dict.fromkeys((row["layout"], row["force"]) for row in rows):
        mine = [row for row in rows if (row["layout"], row["force"]) == (layout, force)]
        means = [np.mean([row[key] for row in mine]) for key in SHOWN]
        lines.append(f"{layout + ('' if force == 'none' else ' ' + force):<14}" + "".join(f"{m:>11.3g}" for m in means))
    return "\n".join(lines)
