"""What the published recipe found, in words."""

from collections.abc import Iterator

import numpy as np

from bias_jax.audit import PIXELS, Rows

CAVEAT = (
    "The held-out images also chose the epoch and the strength, and here the layer: these accuracies are a little too "
    "good. They are of one split, without intervals; the instrument probes gives both."
)


def recipe_findings(rows: Rows) -> Iterator[str]:
    """The best layer for every target, beside the pixels, if there are any, and the most frequent class."""
    chosen = [row for row in rows if row["chosen"]]
    targets, layers = (list(dict.fromkeys(row[key] for row in chosen)) for key in ("target", "layer"))
    width = max(map(len, targets))
    images = chosen[0]["validation_images"]
    lines = [f"published recipe: accuracy on {images} held-out images, % (training in brackets)"]
    for target in targets:
        own = {layer: [r for r in chosen if (r["target"], r["layer"]) == (target, layer)] for layer in layers}
        mean = {layer: float(np.mean([r["validation_accuracy"] for r in own[layer]])) for layer in layers}
        best = max((layer for layer in layers if layer != PIXELS), key=mean.__getitem__)
        training = np.mean([r["training_accuracy"] for r in own[best]])
        line = f"  {target:<{width}}  best layer {best}: {100 * mean[best]:.1f} ({100 * training:.1f}), "
        line += f"L1 {own[best][0]['l1']:g}; "
        if PIXELS in mean:
            line += f"pixels {100 * mean[PIXELS]:.1f}; "
        lines.append(f"{line}most frequent class {100 * own[best][0]['chance']:.1f}")
    yield "\n".join(lines)
    yield CAVEAT
