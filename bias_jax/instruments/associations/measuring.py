"""What is kept of a layer: associations and cosines of the images of every test."""

from collections.abc import Sequence

import numpy as np

from bias_jax.association import cosines, image_associations
from bias_jax.data import AssociationStimuli

VARIANTS = {"raw": False, "centred": True}  # cosine -> whether the mean over the test's images is subtracted


def measure_tests(features: np.ndarray, tests: Sequence[AssociationStimuli]) -> dict[str, np.ndarray]:
    """Associations and cosines of all tests in one layer, in float64.

    Args:
        features: [n, D], n as in the rows of the tests.
        tests: T tests.

    Returns:
        For test number t and kind of cosine v, targets being X before Y: ``t.v.s`` [|X| + |Y|], their associations;
        ``t.v.a`` [|X| + |Y|, |A|] and ``t.v.b`` [|X| + |Y|, |B|], their cosines with the attribute images.

    Raises:
        ValueError: features that are not finite.
    """
    found = {}
    for number, test in enumerate(tests):
        for variant, centred in VARIANTS.items():
            x, y, a, b = (features[rows].astype(np.float64) for rows in test.rows)
            if centred:
                mean = np.concatenate([x, y, a, b]).mean(axis=0)
                x, y, a, b = x - mean, y - mean, a - mean, b - mean
            targets = np.concatenate([x, y])
            found[f"{number}.{variant}.s"] = image_associations(targets, a, b)
            found[f"{number}.{variant}.a"] = cosines(targets, a)
            found[f"{number}.{variant}.b"] = cosines(targets, b)
    return found
