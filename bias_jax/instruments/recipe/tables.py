"""One tidy table of everything that was trained."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bias_jax.audit import Stored
from bias_jax.probes import RecipeConfig, RecipeNumbers

PREDICTED = "predicted"  # beside the numbers of a layer: classes by the chosen settings, int32 [T, S, N]


def recipe_rows(stored: Stored, config: RecipeConfig) -> list[dict[str, Any]]:
    """One row per layer, target, strength, learning rate and seed.

    `chance` is the share of the most frequent class among the held-out images. `chosen` are the strength and learning
    rate with the lowest mean validation loss over the seeds, for each layer and target.
    """
    held_out, common = stored.arrays["held out"], stored.layer_columns()
    images = {"training_images": int((~held_out).sum()), "validation_images": int(held_out.sum())}
    chance = {
        target: float(np.bincount(stored.arrays[f"labels of {target}"][held_out]).max() / held_out.sum())
        for target in stored.facts["targets"]
    }
    rows = []
    for layer in common:
        numbers = stored.load(layer)
        chosen = chosen_settings(numbers)
        for t, target in enumerate(chance):
            for r, e, s in np.ndindex(numbers["epochs"].shape[1:]):
                rows.append({
                    **common[layer],
                    "target": target,
                    "l1": config.l1[r],
                    "learning_rate": config.learning_rates[e],
                    "seed": s,
                    **{name: numbers[name][t, r, e, s].item() for name in RecipeNumbers.__dataclass_fields__},
                    "chance": chance[target],
                    "chosen": chosen[t] == (r, e),
                    **images,
                })  # fmt: skip
    return rows


def chosen_settings(numbers: Mapping[str, np.ndarray]) -> list[tuple[int, int]]:
    """Numbers of the strength and learning rate with the lowest mean validation loss, for each target."""
    loss = numbers["validation_loss"].mean(axis=-1)  # [T, R, learning rates]
    finite = np.where(np.isnan(loss), np.inf, loss)
    best = finite.reshape(len(finite), -1).argmin(axis=1)
    return [(int(i) // loss.shape[2], int(i) % loss.shape[2]) for i in best]
