"""What association tests found, as aligned text."""

import numpy as np

from bias_jax.audit import UNTRAINED, Rows
from bias_jax.audit.subjects import MEAN_COLOUR, RAW_PIXELS


def effect_table(rows: Rows, source: str) -> str:
    """Per test: the last layer, the strongest layer, and the baselines, for raw cosines.

    Args:
        rows: of the table `associations`.
        source: what is audited.
    """
    names = list(dict.fromkeys(row["test"] for row in rows))
    width = max(10, *(len(name) for name in names))
    lines = [
        f"effect size d of {source}, raw cosines [95 % BCa interval, targets resampled], p and corrections",
        f"{'test':<{width}}  {'images':>7}  {'last layer: d':>20}  {'p':>8}  {'Holm':>6}  {'BH':>6}"
        f"  {'strongest layer, p (max-T)':>34}  {'pixels':>6}  {'colour':>6}  {'untrained':>9}",
    ]
    for name in names:
        mine = [row for row in rows if row["test"] == name and row["cosine"] == "raw"]
        layers = [row for row in mine if row["source"] == source]
        last = layers[-1]
        best = max(layers, key=lambda row: (not np.isnan(row["effect_size"]), abs(row["effect_size"])))
        found = {(row["source"], row["layer"]): f"{row['effect_size']:.2f}" for row in mine}
        pixels, colour, untrained = (
            found.get(key, "-")  # of one's own network there may be no untrained one
            for key in ((RAW_PIXELS, RAW_PIXELS), (MEAN_COLOUR, MEAN_COLOUR), (UNTRAINED, last["layer"]))
        )
        lines.append(
            f"{name:<{width}}  {last['images_x']:>3}/{last['images_y']:<3}"
            f"  {last['effect_size']:5.2f} [{last['low']:5.2f}, {last['high']:5.2f}]  {last['p_value']:8.2g}"
            f"  {last['p_holm']:6.2g}  {last['p_benjamini_hochberg']:6.2g}"
            f"  {best['layer']:>14} {best['effect_size']:6.2f}, {best['p_max_t']:8.2g}"
            f"  {pixels:>6}  {colour:>6}  {untrained:>9}"
        )
    if any(row["few_images"] for row in rows):
        lines.append("fewer than 8 target images in a set: their intervals are too narrow, see `few_images`")
    return "\n".join(lines)
