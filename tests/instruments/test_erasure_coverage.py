"""How often intervals of what erasing changes cover, and p-values where it changes nothing, over 200 drawn data sets.

Intervals take the eraser as given, so the images that it is fitted to stay the same, and the others are drawn anew.
What is to be covered is what these images give on average.
"""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy.stats import binomtest

from bias_jax.instruments.erasure import Erasure
from bias_jax.instruments.erasure.measuring import FIT, HALF, measure_layer
from bias_jax.instruments.erasure.tables import change_rows
from bias_jax.randomness import key_for
from tests.conftest import toy_dataset
from tests.instruments.test_persons import CONTEXT, seen

REPEATS = 200
SMALL = {"erased": ("first",), "l2": (0.1, 1.0), "folds": 3, "draws": 200, "neighbours": 5}
DATASET = toy_dataset([[40, 40], [40, 40]])


def drawn(rng, apart):
    """Features [160, 4]: `first` shifts the first dimension, and `second` the first two."""
    first, second = (DATASET.labels[name][:, None] for name in ("first", "second"))
    shift = first * np.array([[1.0, 0, 0, 0]]) + second * np.array([[0.7, 0.7, 0, 0]])
    return (rng.standard_normal((160, 4)) + apart * shift).astype(np.float32)


def changes(apart, conditional=True):
    """(control, target, probe, metric) -> rows of the table, one for each data set."""
    instrument = Erasure(**SMALL)
    task = instrument.prepare(seen(DATASET), DATASET, {}, CONTEXT)
    stored = SimpleNamespace(facts=task.facts, arrays=task.arrays)
    fit = task.arrays[HALF] == FIT
    rng, found = np.random.default_rng(7), {}
    same = drawn(rng, apart)[fit]
    for repeat in range(REPEATS):
        x = drawn(rng, apart)
        if conditional:
            x[fit] = same
        seed = 0 if conditional else repeat  # of the random subspace and the shuffled labels, which are given, too
        arrays = measure_layer(jax.device_put(x), task, instrument, seed, None)
        for row in change_rows(stored, arrays, instrument.draws, key_for(repeat, "bootstrap")):
            if row["erased"] == "first":
                key = row["control"], row["target"], row["probe"], row["metric"]
                found.setdefault(key, []).append(row)
    return {key: {name: np.array([row[name] for row in rows]) for name in rows[0] if name.startswith(("change", "p_"))}
            for key, rows in found.items()}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("apart", [1.5, 0.0])
def test_intervals_of_changes_cover_what_images_give_on_average(apart):
    """Limits as those of the probes' own intervals."""
    for key, own in changes(apart).items():
        coverage = np.mean((own["change_low"] <= own["change"].mean()) & (own["change"].mean() <= own["change_high"]))
        print(f"{apart} apart, {', '.join(key)}: change {own['change'].mean():+.3f}, covered in {coverage:.1%}")
        assert coverage >= 0.85, (key, coverage)


@pytest.mark.slow
def test_changes_of_what_nobody_holds_are_symmetric_and_rarely_significant():
    """Labels say nothing of the features, erasers are drawn anew: to erase them is to erase shuffled labels."""
    for key, own in changes(0.0, conditional=False).items():
        up, down = int((own["change"] > 1e-9).sum()), int((own["change"] < -1e-9).sum())
        significant = float((own["p_change"] < 0.05).mean())
        symmetric = binomtest(up, up + down).pvalue if up + down else 1.0
        print(f"{', '.join(key)}: {up} up, {down} down (p {symmetric:.2f}), p < 0.05 in {significant:.1%}")
        assert significant <= 0.10 and symmetric > 1e-3, (key, significant, up, down)
