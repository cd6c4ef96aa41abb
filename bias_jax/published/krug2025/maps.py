"""Findings 5 to 7: what topographic maps show, as distances between the profiles of groups that colour them.

The paper judges its maps by eye and gives no number; the figure of all groups stands beside these findings. As numbers:
squared distances between profiles, i.e. unit by unit the mean activation of a group less that of all groups, without
sampling noise (see `distances`), in shares of the mean squared distance between two groups as it is, noise included.
Two of them are compared by their difference: a ratio of two numbers that noise can make negative has no honest
interval.
"""

import math
from collections.abc import Iterator

import numpy as np

from bias_jax.audit import PIXELS, Rows
from bias_jax.data.fairface import AGE, ATTRIBUTES
from bias_jax.published.finding import (
    HONEST,
    NOT_DECIDABLE,
    NOT_SUPPORTED,
    SUPPORTED,
    Finding,
    Verdict,
    all_of,
    judged,
)
from bias_jax.published.krug2025.distances import common_square, jackknife, pair_squares
from bias_jax.statistics import LEVELS

SOURCE = "arXiv 2506.03664, Figure 1 and text"
STEP = AGE.categories.index("50-59")  # number of the step to the next age that should be the strongest
MIDDLE = [AGE.categories.index(name) for name in ("20-29", "30-39", "40-49", "50-59")]
UNIT = "share of the mean squared distance between groups"
FEWEST = 4  # cells without which nothing is decided
STEPS = "Maps of adjacent ages look alike; the step from 50-59 to 60-69 is stronger than the others."
GENDERS = "Maps show no clear race difference; female and male are distinct, most in the middle ages."
AGES = "Age differences are more pronounced than those of race and gender."


def by_attributes(values: np.ndarray) -> np.ndarray:
    """Values of units [G, U] as [race, age, gender, U], float64."""
    return np.asarray(values, np.float64).reshape(*(len(one.categories) for one in ATTRIBUTES), -1)


def age_steps(values: np.ndarray, level: float) -> Finding:
    """Finding 5.

    Args:
        values: of the units of one layer for each group, [G, U]; NaN for groups without images.
        level: of the interval.
    """
    profiles = by_attributes(values)
    cells = np.moveaxis(profiles, 2, 1).reshape(-1, profiles.shape[1], profiles.shape[3])  # [race x gender, age, U]
    cells = cells[np.isfinite(cells).all(axis=(1, 2))]
    quantity = f"squared distance from 50-59 to 60-69 less that of its strongest rival among the other steps, {UNIT}"
    if len(cells) < FEWEST:
        return _nothing("5", STEPS, quantity, f"only {len(cells)} groups of race and gender have images of all ages")
    scale, others = _scale(values), [k for k in range(profiles.shape[1] - 1) if k != STEP]
    far = np.triu_indices(profiles.shape[1], 2)

    def statistic(kept: np.ndarray) -> np.ndarray:
        steps = common_square(np.diff(cells[kept], axis=1))
        apart = pair_squares(cells[kept])[far].mean()
        return np.append(steps[STEP] - steps[others], apart - steps.mean()) / scale

    # Of seven rivals the least beaten one decides: its interval is corrected for the choice.
    value, low, high = jackknife(statistic, len(cells), 1.0 - (1.0 - level) / len(others))
    rival = int(value[:-1].argmin())
    if min(low[:-1]) > 0:
        stronger: Verdict = SUPPORTED
    else:
        stronger = NOT_SUPPORTED if min(high[:-1]) < 0 else NOT_DECIDABLE
    alike = judged(float(low[-1]), float(high[-1]), 0.0, "above")
    rivals = f"{AGE.categories[others[rival]]} to {AGE.categories[others[rival] + 1]}"
    why = f"the strongest rival is {rivals}, and the step is the strongest: {stronger}; adjacent ages are nearer than "
    why += f"others by {_in_percent(value[-1], low[-1], high[-1])}: {alike}; {len(cells)} groups of race and gender."
    return Finding("5", STEPS, SOURCE, HONEST, quantity, float(value[rival]), float(low[rival]), float(high[rival]),
                   "percent", all_of((stronger, alike)), why)  # fmt: skip


def genders_and_races(values: np.ndarray, level: float) -> Finding:
    """Finding 6, read as: two races differ less than female and male, who differ more in the middle ages than else."""
    profiles = by_attributes(values)
    quantity = f"squared distance between two races less that between female and male, {UNIT}"
    ages = np.flatnonzero(np.isfinite(profiles).all(axis=(0, 2, 3)))
    middle = np.isin(ages, MIDDLE)
    if len(ages) < FEWEST or middle.all() or not middle.any():
        return _nothing("6", GENDERS, quantity, f"only {len(ages)} ages have images of all races and genders")
    whole, scale = profiles[:, ages], _scale(values)

    def differences(kept: np.ndarray) -> np.ndarray:
        own = whole[kept]
        gender = common_square(own[:, :, 0] - own[:, :, 1])  # of each age
        return np.array([_typical(own, 0) - _typical(own, 2), gender[middle].mean() - gender[~middle].mean()]) / scale

    found = np.stack(jackknife(differences, len(whole), level), axis=1).tolist()  # races are left out in turn
    (value, low, high), (contrast, contrast_low, contrast_high) = found
    less, more = judged(low, high, 0.0, "below"), judged(contrast_low, contrast_high, 0.0, "above")
    why = f"no clear race difference is read as one below that of gender: {less}; female and male are further apart "
    why += f"from 20 to 59 than at other ages by {_in_percent(contrast, contrast_low, contrast_high)}: {more}."
    return Finding("6", GENDERS, SOURCE, HONEST, quantity, value, low, high, "percent", all_of((less, more)), why)


def pronounced_ages(rows: Rows, values: np.ndarray | None, layer: str, network: str) -> Finding:
    """Finding 7, for one network: both a share of variance and the distance of a typical pair must say so.

    The 95 % intervals of the shares must not overlap, which for equal intervals is a test of their difference at
    0.6 %: about a seventh of 5 %.

    Args:
        rows: of the table ``variance``.
        values: of the units, [G, U].
        layer: the layer.
        network: its name.
    """
    quantity = "share of age in the distance between group means, less the larger one of race and gender"
    shares = {row["term"]: row for row in rows if (row["layer"], row["level"]) == (layer, LEVELS[1])}
    names = [one.name for one in ATTRIBUTES]
    if not set(names) <= shares.keys() or not np.isfinite([shares[name]["omega_squared"] for name in names]).all():
        return _nothing("7", AGES, quantity, f"the variance partition of {layer} is not defined for these images")
    age, rival = shares["age"], max((shares[n] for n in ("race", "gender")), key=lambda row: row["omega_squared"])
    larger = judged(age["low"] - rival["high"], age["high"] - rival["low"], 0.0, "above")
    pairs = None if values is None else _pairs(values)
    agrees = pairs is not None and pairs[1] > max(pairs[0], pairs[2])
    verdict: Verdict = larger
    if (larger == SUPPORTED and not agrees) or (larger == NOT_SUPPORTED and (agrees or pairs is None)):
        verdict = NOT_DECIDABLE
    told = ", ".join(f"{n} {_in_percent(*(shares[n][k] for k in ('omega_squared', 'low', 'high')))}" for n in names)
    why = f"shares with 95 % intervals: {told}: {larger}"
    if pairs is not None:
        typical = ", ".join(f"{name} {100 * x:.1f} %" for name, x in zip(names, pairs, strict=True))
        why += f"; squared distance of a typical pair: {typical}: {'agrees' if agrees else 'does not say so'}"
    else:
        why += "; too few groups for the distance of a typical pair"
    if control := _control(rows):
        why += f"; in the pixels {control}"
    why += f"; layer {layer} of {network} alone, the paper says it of three networks."
    value = age["omega_squared"] - rival["omega_squared"]
    return Finding("7", AGES, f"{SOURCE}, abstract", HONEST, quantity, value, age["low"] - rival["high"],
                   age["high"] - rival["low"], "percent", verdict, why)  # fmt: skip


def map_findings(values: np.ndarray, rows: Rows, layer: str, network: str, level: float) -> Iterator[Finding]:
    """Findings 5 to 7 of one layer."""
    yield age_steps(values, level)
    yield genders_and_races(values, level)
    yield pronounced_ages(rows, values, layer, network)


def _typical(profiles: np.ndarray, attribute: int) -> float:
    """Mean `pair_squares` of two categories of an attribute, of profiles [race, age, gender, U]."""
    moved = np.moveaxis(profiles, attribute, 2)
    cells = moved.reshape(-1, *moved.shape[2:])
    return float(pair_squares(cells)[np.triu_indices(cells.shape[1], 1)].mean())


def _pairs(values: np.ndarray) -> list[float] | None:
    """`_typical` of race, age and gender over `_scale`; None where groups are missing."""
    profiles = by_attributes(values)
    whole = profiles[:, np.isfinite(profiles).all(axis=(0, 2, 3))]
    if whole.shape[1] < FEWEST:
        return None
    return [_typical(whole, number) / _scale(values) for number in range(3)]


def _scale(values: np.ndarray) -> float:
    """Mean squared distance between two groups that have images, noise included."""
    known = np.asarray(values, np.float64)[np.isfinite(values).all(axis=1)]
    return max(2.0 * float(known.var(axis=0, ddof=1).sum()), np.finfo(float).tiny)


def _control(rows: Rows) -> str:
    pixels = {row["term"]: row["omega_squared"] for row in rows if (row["layer"], row["level"]) == (PIXELS, LEVELS[1])}
    named = [(one.name, pixels.get(one.name)) for one in ATTRIBUTES]
    return ", ".join(f"{name} {100 * x:.1f} %" for name, x in named if x is not None and np.isfinite(x))


def _in_percent(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _nothing(name: str, sentence: str, quantity: str, why: str) -> Finding:
    nothing = (math.nan,) * 3
    return Finding(name, sentence, SOURCE, HONEST, quantity, *nothing, "percent", NOT_DECIDABLE, f"{why}.")
