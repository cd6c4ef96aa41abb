"""Tables in which findings are planted."""

import numpy as np

from bias_jax.data.fairface import AGE, GENDER, RACE
from bias_jax.published.krug2025.confusions import GROUPS, confusion_rows

SHAPE = GROUPS.shape


def group(race: int, age: int, gender: int) -> int:
    """Number of a group."""
    return int(np.ravel_multi_index((race, age, gender), SHAPE))


def confusions(pairs):
    """Rows of ((race, age, gender), (race, age, gender), images)."""
    true = np.concatenate([np.full(n, group(*a)) for a, _, n in pairs])
    predicted = np.concatenate([np.full(n, group(*b)) for _, b, n in pairs])
    return confusion_rows(true, predicted, protocol="honest", layer="deep", split="held out")


def profiles(rng, units=40, noise=0.05, step=1.0, strong=3.0, race=0.2, gender=1.0, middle=3.0):
    """Values of units [126, U]: ages along a path of steps, the one from 50-59 to 60-69 as strong as given; races and
    genders apart as given, genders so many times further in the middle ages.
    """
    ages, ends = len(AGE.categories), AGE.categories.index("60-69")
    steps = np.array([0.0] + [strong if a == ends else step for a in range(1, ages)])
    path = np.cumsum(steps[:, None] * rng.standard_normal((ages, units)), axis=0)
    races = race * rng.standard_normal((len(RACE.categories), units))
    genders = gender * rng.standard_normal((len(GENDER.categories), units))
    factor = np.where((np.arange(ages) >= 3) & (np.arange(ages) <= 6), middle, 1.0)
    values = path[None, :, None] + races[:, None, None] + factor[None, :, None, None] * genders[None, None]
    values = values + noise * rng.standard_normal(values.shape)
    return values.reshape(GROUPS.size, units).astype(np.float32)


def shares(age, race, gender, width=0.05, layer="deep"):
    """Rows of the table ``variance``."""
    return [
        {"layer": layer, "level": "group means", "term": term, "omega_squared": x, "low": x - width, "high": x + width}
        for term, x in (("age", age), ("race", race), ("gender", gender))
    ]
