"""From stored neighbours to one table and a few lines of text."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.faces import PEOPLE
from bias_jax.neighbours import Scores, neighbour_values, retrieval_scores, vote_scores
from bias_jax.probes import centred_signs
from bias_jax.randomness import key_for, stable_hash
from bias_jax.statistics import Exchange, by_person, collapsed_strata, max_t, paired_differences, shuffled_blocks

EVERYONE = "all images"  # the group of rows that do not part them: the mean over classes
PRECISION, VOTE = "precision", "vote"  # measures: share of neighbours with the image's label; majority of them is right
SIGNS = 8
Table = list[dict[str, Any]]


def neighbour_rows(stored: Stored, at: Sequence[int], permutations: int, draws: int) -> Table:
    """One row per layer, distance, target, measure, number of neighbours k and group.

    `value` has a 95 % interval; `chance` is the mean under shuffled labels. Rows of all images have p-values of these
    shuffles, also corrected for all of them together (`p_max_t`): layers, distances, targets, measures and k.
    """
    seed, people = stored.run["seed"], stored.arrays.get(PEOPLE)
    groups = collapsed_strata(stored.arrays[f"labels of {stored.facts['groups']}"], people)
    rng = np.random.default_rng(stable_hash(seed, "neighbours"))
    signs = centred_signs(groups, SIGNS, rng, people)
    # The same shuffles in every layer, so that p-values can be corrected for all of them together.
    orders = [shuffled_blocks(people, rng, len(groups)) for _ in range(permutations)]
    key, rows, tested, null = key_for(seed, "bootstrap"), [], [], []
    for layer, common in stored.layer_columns().items():
        for distance, nearest in stored.load(layer).items():
            for target, classes in stored.facts["targets"].items():
                labels = stored.arrays[f"labels of {target}"]
                for k in sorted(set(at)):
                    for measure in (PRECISION, VOTE):
                        place = {**common, "distance": distance, "target": target, "measure": measure, "k": k}
                        scores = _scores(measure, nearest, labels, k, len(classes))
                        shuffled = [_scores(measure, nearest, labels[o], k, len(classes)).score for o in orders]
                        weights = _weights(labels)
                        # A shuffled label belongs to a class as large, but to other images.
                        chances = np.stack([
                            _by_class(s, labels[o], weights) for s, o in zip(shuffled, orders, strict=True)
                        ])  # fmt: skip
                        found = _intervals(scores, weights, signs, groups, people, draws, key)
                        names = [EVERYONE, *(classes[c] for c in np.unique(labels))]
                        for g, group in enumerate(names):
                            numbers = {name: float(column[g]) for name, column in found.items()}
                            images = len(labels) if g == 0 else int((weights[g] > 0).sum())
                            chance, none = float(chances[:, g].mean()), float("nan")
                            row = {**place, "group": group, **numbers, "chance": chance, "p_value": none}
                            rows.append({**row, "p_max_t": none, "images": images})
                        tested.append(rows[-len(names)])
                        null.append(chances[:, 0])
    _test(tested, np.stack(null, axis=1))
    return rows


def _test(rows: Table, null: np.ndarray) -> None:
    """Fill in the p-values of rows [M], whose values under shuffled labels are [P, M]."""
    values = np.array([row["value"] for row in rows])
    digits = np.round(values, 9), np.round(null, 9)  # sums in another order differ by their rounding
    single = (1 + (digits[1] >= digits[0]).sum(axis=0)) / (1 + len(null))
    for row, p, corrected in zip(rows, single, max_t(*digits), strict=True):
        row["p_value"], row["p_max_t"] = float(p), float(corrected)


def _scores(measure: str, nearest: np.ndarray, labels: np.ndarray, k: int, classes: int) -> Scores:
    return retrieval_scores(nearest, labels, k) if measure == PRECISION else vote_scores(nearest, labels, k, classes)


def _weights(labels: np.ndarray) -> np.ndarray:
    """Weights [1 + C, N] of images in the mean of the classes that occur, and in the mean of each of them."""
    _, number, counts = np.unique(labels, return_inverse=True, return_counts=True)
    own = (number == np.arange(len(counts))[:, None]) / counts[:, None]
    return np.concatenate([own.mean(axis=0, keepdims=True), own])


def _by_class(score: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of the classes' means, then these, [1 + C]."""
    _, number = np.unique(labels, return_inverse=True)
    means = np.bincount(number, score) / np.bincount(number)
    assert len(means) + 1 == len(weights)
    return np.concatenate([[means.mean()], means])


def _intervals(
    scores: Scores, weights: np.ndarray, signs: np.ndarray, groups: np.ndarray, people: np.ndarray | None, draws: int,
    key: jax.Array,
) -> dict[str, np.ndarray]:  # fmt: skip
    found = [neighbour_values(scores, own, signs) for own in weights]
    parts = [
        np.stack([v.values for v in found]),
        *(np.stack(a) for a in zip(*(v.exchange for v in found), strict=True)),
    ]
    strata = by_person(parts[0], groups, people)[1]
    # A last statistic that is 0 for every image: differences from it are the numbers themselves.
    padded = [np.concatenate([a, np.zeros_like(a[:1])]) for a in (by_person(p, groups, people)[0] for p in parts)]
    pairs = np.array([(g, len(weights)) for g in range(len(weights))])
    values = paired_differences(padded[0], pairs, strata, draws=draws, key=key, exchange=Exchange(*padded[1:]))
    return {"value": values.value, "low": np.maximum(values.low, 0.0), "high": np.minimum(values.high, 1.0)}


def neighbour_listing(rows: Rows) -> str:
    """For every target the layer with the highest precision, beside chance."""
    lines = ["precision of the nearest neighbours, % [95 % interval], mean over classes, at the layer where it is best"]
    every = [row for row in rows if row["group"] == EVERYONE and row["measure"] == PRECISION]
    for target in dict.fromkeys(row["target"] for row in every):
        for distance in dict.fromkeys(row["distance"] for row in every):
            own = [row for row in every if (row["target"], row["distance"]) == (target, distance)]
            largest = max(row["k"] for row in own)
            best = max((row for row in own if row["k"] == largest), key=lambda row: row["value"])
            sure = len({row["layer"] for row in own if row["k"] == largest and row["p_max_t"] <= 0.05})
            layers = len({row["layer"] for row in own})
            number = f"{100 * best['value']:.1f} [{100 * best['low']:.1f}, {100 * best['high']:.1f}]"
            lines.append(
                f"  {target}, {distance}, {largest}: {number} in {best['layer']}, chance {100 * best['chance']:.1f}; "
                f"above chance in {sure} of {layers} layers (p, max-T, <= 0.05)"
            )
    return "\n".join(lines)
