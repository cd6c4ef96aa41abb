"""Which classes a probe recognises less or more often than the others, worst first."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bias_jax.audit import Rows
from bias_jax.disparity.rate_differences import difference_from_others, fisher_exact
from bias_jax.instruments.probes.findings import best_layer
from bias_jax.instruments.probes.stored import scores_by_layer
from bias_jax.statistics import benjamini_hochberg, holm


def recall_gaps(tables: Mapping[str, Rows], targets: Sequence[str], of_persons: bool) -> list[dict[str, Any]]:
    """Recall of every class against the mean of the others of its target, in the target's best layer.

    Two classes give one test and one row, of the class with the lower recall. p-values are Fisher's, of a class against
    all other images, and corrected for all rows; images are taken to be independent, so where persons have several
    (`of_persons`) there are no p-values, and no intervals.
    """
    scores, rows = scores_by_layer(tables["probes"]), []
    for target in targets:
        layer = best_layer(scores, target)
        own = [r for r in tables["recalls"] if (r["layer"], r["probe"]) == (layer, target) and r["images"]]
        if len(own) < 2:
            continue
        trials = np.array([r["images"] for r in own])
        hits = np.array([[round(r["recall"] * r["images"])] for r in own])
        difference, low, high = (values[:, 0] for values in difference_from_others(hits, trials))
        p = fisher_exact(hits, trials)[:, 0]
        chosen = range(len(own)) if len(own) > 2 else [int(difference.argmin())]
        for g in chosen:
            rows.append({
                "target": target,
                "layer": layer,
                "group": own[g]["group"],
                "images": own[g]["images"],
                "recall": own[g]["recall"],
                "recall_low": own[g]["low"],
                "recall_high": own[g]["high"],
                "difference": float(difference[g]),
                "low": np.nan if of_persons else float(low[g]),
                "high": np.nan if of_persons else float(high[g]),
                "p_value": float(p[g]),
            })  # fmt: skip
    if of_persons:
        rows = [{**row, "p_value": None, "p_holm": None, "p_benjamini_hochberg": None} for row in rows]
        return sorted(rows, key=lambda row: -abs(row["difference"]))
    values = [row["p_value"] for row in rows]
    corrected = zip(holm(values), benjamini_hochberg(values), strict=True)
    found = [{**r, "p_holm": float(h), "p_benjamini_hochberg": float(b)}
             for r, (h, b) in zip(rows, corrected, strict=True)]  # fmt: skip
    return sorted(found, key=lambda row: (row["p_value"], -abs(row["difference"])))
