"""The self-test of disparities: what was planted, and what was found of it."""

import jax
import numpy as np
from scipy.sparse import csr_array

from bias_jax.data.planted_labels import LABELS, PlantedConfig, planted_gap, planted_latents
from bias_jax.disparity import fit_layer, replicates, train_heads
from bias_jax.randomness import stable_hash
from experiments.disparity_config import DisparityConfig
from experiments.disparity_stages import decide
from experiments.disparity_summary import Rows
from experiments.disparity_task import tuning_split

KEYS = ("view", "group", "metric", "label", "loss")
MANY = 20_000  # faces whose latent values stand for a large sample


def large_sample_gaps(config: DisparityConfig) -> dict[str, float]:
    """Recall of ``lined`` among cool minus among warm faces, of heads that are given the latent values of many faces.

    The heads are trained, chosen and thresholded as the audited ones are. For binary cross-entropy the value is known
    in closed form (`planted_gap`); for the other losses this is what they do to the same problem without the network.
    """
    rng = np.random.default_rng(stable_hash(config.seed, "large sample"))
    planted = PlantedConfig()
    parts = [planted_latents(MANY, rate, planted.noise, rng) for rate in (planted.base_rate, 0.5)]
    latents, cool, present = (np.concatenate(x) for x in zip(*parts, strict=True))
    labels = csr_array(np.where(present, 1, -1).astype(np.int8))
    rows = np.arange(2 * MANY)
    splits = (tuning_split(rows[:MANY], rows[MANY:], config.seed),)
    bank = jax.device_put(latents[None, :, :3].astype(np.float32))
    training = [(split.training, seed) for split, seed in replicates(splits, range(config.seeds))]
    fitted = fit_layer(bank, train_heads(bank, labels, training, config.heads), 0, labels, splits, config.heads)
    lined = present[splits[0].test, LABELS.index("lined")]
    cool = cool[splits[0].test] == 1
    gaps = {}
    for j, loss in enumerate(config.losses):
        decided = decide(fitted, labels, splits, config, j)[0][:, :, LABELS.index("lined")]
        gaps[loss] = float(decided[:, lined & cool].mean() - decided[:, lined & ~cool].mean())
    return gaps


def planted_verdict(config: DisparityConfig, tables: dict[str, Rows]) -> str:
    """What was planted and found: recall of lined cool minus lined warm faces, and how the losses differ in it."""
    expected = large_sample_gaps(config)
    lines = [
        "planted: 80 % of cool and 20 % of warm faces are lined in training, half of both in evaluation. A classifier",
        f"that knows palette and contrast has a gap of {100 * planted_gap(PlantedConfig()):.1f} points in recall",
        f"{'recall of lined: cool minus warm':<34}{'planted, large sample':>22}  found [95 % interval]",
    ]

    def found(view: str, group: str, loss: str) -> dict:
        wanted = (view, group, "recall", "lined", loss)
        return next(r for r in tables["rates"] if tuple(r[k] for k in KEYS) == wanted)

    for loss in config.losses:
        row = found("palette", "cool", loss)
        lines.append(f"  {loss:<32}{100 * expected[loss]:>+22.1f}  {_interval(row, 'difference')}")
    lines.append("recall of lined: heads minus tails of a coin")
    for loss in config.losses:
        lines.append(f"  {loss:<32}{0.0:>+22.1f}  {_interval(found('null', 'heads', loss), 'difference')}")
    lines.append("difference between losses in the gap of the palettes, paired by image")
    for row in tables["losses"]:
        if tuple(row[k] for k in KEYS[:-1]) == ("palette", "cool", "recall", "lined"):
            planted = expected[row["loss"]] - expected[row["minus_loss"]]
            name = f"{row['loss']} - {row['minus_loss']}"
            lines.append(f"  {name:<42}{100 * planted:>+12.1f}  {_interval(row, 'disparity')}")
    return "\n".join(lines)


def _interval(row: dict, name: str) -> str:
    return f"{100 * row[name]:+.1f} [{100 * row[f'{name}_low']:+.1f}, {100 * row[f'{name}_high']:+.1f}]"
