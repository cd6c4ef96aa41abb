"""From the variance partitions of the layers to one table."""

from typing import Any

import numpy as np

from bias_jax.audit import Stored
from bias_jax.instruments.faces import PEOPLE
from bias_jax.statistics import LEVELS, VariancePartition, max_t


def variance_rows(stored: Stored) -> list[dict[str, Any]]:
    """One row per layer, level and term; p-values are also corrected for all layers and terms of a level.

    With persons of several images, the level of images is that of the persons' means.
    """
    common, people = stored.layer_columns(), stored.arrays.get(PEOPLE)
    number = {"images": len(next(iter(stored.arrays.values())))}
    if people is not None:
        number = {"images": int((people >= 0).sum()), "persons": int(people.max()) + 1}
    found = {layer: VariancePartition(**stored.load(layer)) for layer in common}
    ratios = np.stack([result.ratio for result in found.values()])  # [L, 2, T]
    null = np.stack([result.null_ratio for result in found.values()], axis=1)  # [P, L, 2, T]
    corrected = np.full(ratios.shape, np.nan)
    for level in range(len(LEVELS)):
        adjusted = max_t(ratios[:, level].ravel(), null[:, :, level].reshape(len(null), -1))
        corrected[:, level] = adjusted.reshape(len(found), -1)
    rows = []
    for (layer, result), p_max_t in zip(found.items(), corrected, strict=True):
        numbers = {name: array for name, array in vars(result).items() if name not in ("terms", "null_ratio")}
        for level, term in np.ndindex(result.ratio.shape):
            values = {name: array[level, term].item() for name, array in numbers.items()}
            rows.append({
                **common[layer],
                "level": LEVELS[level],
                "term": str(result.terms[term]),
                **values,
                "omega_squared_per_degree": values["omega_squared"] / max(values["degrees_of_freedom"], 1),
                "p_max_t": p_max_t[level, term].item(),
                **number,
                "groups": result.degrees_of_freedom[level, -1].item() + 1,
            })  # fmt: skip
    return rows
