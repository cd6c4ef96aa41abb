"""The self-test of disparities: what heads make of the planted problem without a network."""

import jax
import numpy as np
from scipy.sparse import csr_array

from bias_jax.data.planted_labels import LABELS, PlantedConfig, planted_latents
from bias_jax.disparity import fit_layer, replicates, train_heads
from bias_jax.instruments.heads.config import HeadsConfig
from bias_jax.instruments.heads.decisions import decide
from bias_jax.instruments.heads.preparing import tuning_split
from bias_jax.randomness import stable_hash

MANY = 20_000  # faces whose latent values stand for a large sample


def large_sample_gaps(config: HeadsConfig, seed: int) -> dict[str, float]:
    """Recall of ``lined`` among cool minus among warm faces, of heads that are given the latent values of many faces.

    The heads are trained, chosen and thresholded as the audited ones are. For binary cross-entropy the value is known
    in closed form (`data.planted_labels.planted_gap`); for the other losses this is what they do to the same problem
    without the network.

    Args:
        config: of the heads.
        seed: of the latent values, and of the images that are set aside for tuning.

    Returns:
        Loss -> gap, from -1 to 1.
    """
    rng = np.random.default_rng(stable_hash(seed, "large sample"))
    planted = PlantedConfig()
    parts = [planted_latents(MANY, rate, planted.noise, rng) for rate in (planted.base_rate, 0.5)]
    latents, cool, present = (np.concatenate(x) for x in zip(*parts, strict=True))
    labels = csr_array(np.where(present, 1, -1).astype(np.int8))
    rows = np.arange(2 * MANY)
    splits = (tuning_split(rows[:MANY], rows[MANY:], seed),)
    bank = jax.device_put(latents[None, :, :3].astype(np.float32))
    training = [(split.training, own) for split, own in replicates(splits, range(config.seeds))]
    heads = train_heads(bank, labels, training, config.training)
    fitted = fit_layer(bank, heads, 0, labels, splits, config.training)
    lined = present[splits[0].test, LABELS.index("lined")]
    cool = cool[splits[0].test] == 1
    gaps = {}
    for j, loss in enumerate(config.losses):
        decided = decide(fitted, labels, splits, config, j)[0][:, :, LABELS.index("lined")]
        gaps[loss] = float(decided[:, lined & cool].mean() - decided[:, lined & ~cool].mean())
    return gaps
