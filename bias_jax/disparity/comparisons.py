"""Between groups and between losses: differences and ratios with paired bootstrap intervals, and how far groups spread.

A group is compared with the mean of the other groups, so two groups give their difference and one large group does not
set the standard. Maximum minus minimum over many small groups is large under no disparity at all; it is reported beside
its mean under permuted group labels.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from bias_jax.disparity.rates import ALL, MEAN, GroupRates, PersonRates
from bias_jax.randomness import stable_hash
from bias_jax.statistics import wilson_interval

PROPORTIONS = (
    "recall", "false_positive_rate", "precision", "predicted_rate", "label_rate", "no_correct_label", "association",
)  # fmt: skip


def from_others(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Difference to and ratio with the mean of the other groups that are defined, both [..., G, M]."""
    defined = ~np.isnan(values)
    total, number = np.where(defined, values, 0.0).sum(axis=-2, keepdims=True), defined.sum(axis=-2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        others = (total - values) / (number - 1)
        ratio = np.where(others > 0, values / others, np.nan)
    return np.where(number > 1, values - others, np.nan), np.where(number > 1, ratio, np.nan)


def interval(draws: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval over axis 0, of the draws in which a value is defined; NaN where fewer than half are."""
    ordered = np.sort(draws, axis=0)  # NaN last
    number = (~np.isnan(ordered)).sum(axis=0)
    tails = []
    for share in ((1.0 - level) / 2.0, (1.0 + level) / 2.0):
        position = share * np.maximum(number - 1, 0)
        below = np.floor(position).astype(int)
        low, high = (
            np.take_along_axis(ordered, np.minimum(i, np.maximum(number - 1, 0))[None], axis=0)[0]
            for i in (below, below + 1)
        )
        tails.append(np.where(2 * number >= len(draws), low + (position - below) * (high - low), np.nan))
    return tails[0], tails[1]


def group_rows(rates: GroupRates, groups: Sequence[str], images: np.ndarray) -> Iterator[dict[str, Any]]:
    """One row per group and value.

    `low` and `high` are Wilson's for the proportion of a single label (of the effective trials, where persons have
    several images), else from the bootstrap; `trials` is what the value is judged on (for recall the images with the
    label), `images` the size of the group. Draws repeat images, which raises the average precision of a handful of
    positives: its intervals then lie high; differences hardly do.
    """
    difference, ratio = from_others(rates.values)
    ends = {name: interval(x[1:]) for name, x in (("", rates.values), ("difference", difference), ("ratio", ratio))}
    with np.errstate(invalid="ignore", divide="ignore"):
        hits = np.where(rates.effective == rates.trials, rates.hits, rates.hits * rates.effective / rates.trials)
    wilson = wilson_interval(hits, rates.effective)
    for i, (metric, label) in enumerate(rates.names):
        single = (metric in PROPORTIONS and label not in (ALL, MEAN)) or metric == "no_correct_label"
        low, high = wilson if single else ends[""]
        for g, group in enumerate(groups):
            value = rates.values[0, g, i]
            undefined = np.isnan(value)
            yield {
                "group": group,
                "metric": metric,
                "label": label,
                "value": float(value),
                "low": float("nan") if undefined else float(low[g, i]),
                "high": float("nan") if undefined else float(high[g, i]),
                "trials": float(rates.trials[g, i]),
                "images": int(images[g]),
                "seed_deviation": float(rates.seed_deviation[g, i]),
                **_ends("difference", difference, ends["difference"], g, i),
                **_ends("ratio", ratio, ends["ratio"], g, i),
            }


def spread_rows(rates: GroupRates, groups: Sequence[str], draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """Largest and smallest group of every value; for proportions of a label, against permuted group labels.

    Permuting the group labels of the images on which a rate is judged makes the hits of the groups multivariate
    hypergeometric, so permutations are drawn as such. Hits are means over seeds, rounded. The p-value is
    (1 + permutations with at least this spread) / (1 + permutations). Persons with several images are permuted with
    all of them, and their spread is that of the groups of most of their images.
    """
    of_persons = None if rates.persons is None else _permuted_persons(rates.persons, draws, seed)
    for i, (metric, label) in enumerate(rates.names):
        values = rates.values[0, :, i]
        defined = np.flatnonzero(~np.isnan(values))
        if len(defined) < 2:
            continue
        worst, best = defined[values[defined].argmin()], defined[values[defined].argmax()]
        spread = float(values[best] - values[worst])
        expected = p_value = float("nan")
        single = metric in PROPORTIONS and label not in (ALL, MEAN)
        if single and of_persons is not None:
            observed, spreads = of_persons[0, i], of_persons[1:, i]
            expected, p_value = float(spreads.mean()), (1 + int((spreads >= observed - 1e-6).sum())) / (1 + draws)
        elif single and not np.isnan(rates.hits[defined, i]).any():
            trials = np.rint(rates.trials[defined, i]).astype(int)
            hits = min(int(np.rint(rates.hits[defined, i].sum())), trials.sum())
            rng = np.random.default_rng(stable_hash(seed, "permuted groups", metric, label))
            drawn = rng.multivariate_hypergeometric(trials, hits, size=draws, method="marginals")
            shares = drawn[:, trials > 0] / trials[trials > 0]
            spreads = shares.max(axis=1) - shares.min(axis=1)
            expected = float(spreads.mean())
            p_value = (1 + int((spreads >= spread - 1e-6).sum())) / (1 + draws)
        yield {
            "metric": metric,
            "label": label,
            "smallest_group": groups[worst],
            "smallest": float(values[worst]),
            "smallest_trials": float(rates.trials[worst, i]),
            "largest_group": groups[best],
            "largest": float(values[best]),
            "largest_trials": float(rates.trials[best, i]),
            "groups": len(defined),
            "spread": spread,
            "ratio": float(values[worst] / values[best]) if values[best] > 0 else float("nan"),
            "permuted_spread": expected,
            "p_value": p_value,
        }


def _permuted_persons(persons: PersonRates, draws: int, seed: int) -> np.ndarray:
    """Largest minus smallest rate of the groups, [1 + P, M]: as they are, then for permuted persons; 0 of none."""
    order, rng = np.argsort(persons.groups, kind="stable"), np.random.default_rng(stable_hash(seed, "permuted persons"))
    starts = np.unique(persons.groups[order], return_index=True)[1]
    found = np.empty((1 + draws, persons.hits.shape[1]))
    for p in range(1 + draws):
        hits, trials = (np.add.reduceat(x[order], starts, axis=0) for x in (persons.hits, persons.trials))
        rate, known = hits / np.maximum(trials, 1e-12), trials > 0
        largest, smallest = np.where(known, rate, -np.inf).max(axis=0), np.where(known, rate, np.inf).min(axis=0)
        found[p] = np.where(known.any(axis=0), largest, 0.0) - np.where(known.any(axis=0), smallest, 0.0)
        order = rng.permutation(order)
    return found


def paired_rows(rates: dict[str, GroupRates], groups: Sequence[str], images: np.ndarray) -> Iterator[dict[str, Any]]:
    """Losses compared on the same images: their difference in every value, and in every group's disparity."""
    disparities = {loss: from_others(found.values)[0] for loss, found in rates.items()}
    for first, second in combinations(rates, 2):
        a, b = rates[first], rates[second]
        found = {
            "value": a.values - b.values,
            "disparity": disparities[first] - disparities[second],
        }
        ends = {name: interval(x[1:]) for name, x in found.items()}
        for i, (metric, label) in enumerate(a.names):
            for g, group in enumerate(groups):
                yield {
                    "loss": first,
                    "minus_loss": second,
                    "group": group,
                    "metric": metric,
                    "label": label,
                    "images": int(images[g]),
                    "trials": float(a.trials[g, i]),
                    "minus_trials": float(b.trials[g, i]),
                    **{k: v for name in found for k, v in _ends(name, found[name], ends[name], g, i).items()},
                }


def _ends(name: str, values: np.ndarray, ends: tuple[np.ndarray, np.ndarray], g: int, i: int) -> dict[str, float]:
    """A value with its interval; all three undefined where the value is."""
    value = float(values[0, g, i])
    low, high = (float("nan"),) * 2 if np.isnan(value) else (float(end[g, i]) for end in ends)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
