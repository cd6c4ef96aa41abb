"""Numbers from a probe's predictions: accuracies, agreement and bits, with intervals and controls."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from bias_jax.probes.between_folds import VALUES
from bias_jax.probes.choice import redraw_choice
from bias_jax.probes.extremes import doubt
from bias_jax.probes.readouts import HELD_OUT, Metric, Readout, image_values, inner_readouts, readouts
from bias_jax.probes.validation import OutOfFold
from bias_jax.statistics import (
    Exchange,
    by_person,
    cross_validated_spread,
    home_groups,
    percentile_interval,
    stratified_bootstrap,
)


class Score(NamedTuple):
    """One number about one probe."""

    probe: str  # target the probe was trained for
    target: str  # what is read off its prediction: the probe's own target, or one of its attributes
    split: str  # "held out"; or "training", on images that the probe was trained on
    metric: str
    control: str  # "none", "shuffled labels", or "selectivity" (none minus shuffled)
    value: float
    # 95 % interval, bootstrap over images; if held out, with what images teach each other and the choice. It ends where
    # the metric does.
    low: float
    high: float
    chance: float  # what guessing attains
    images: int


def score_probes(
    result: OutOfFold,
    shapes: Mapping[str, tuple[tuple[str, int], ...]],
    groups: np.ndarray,
    *,
    ordinal: Collection[str] = (),
    draws: int,
    key: jax.Array,
    people: np.ndarray | None = None,
) -> list[Score]:
    """All scores of one layer.

    Metrics: ``accuracy``; ``kappa``, Cohen's: accuracy on a scale from 0 (agreement of independent label and guess
    with these frequencies) to 1; ``balanced_accuracy``, the mean recall of the classes that occur;
    ``adjusted_balanced_accuracy``, the same on a scale from 0 (chance) to 1, comparable between targets;
    ``adjacent_accuracy``, at most one category off, for ordinal attributes; ``log_loss_bits``, the mean of minus the
    binary logarithm of the true class's probability; and ``information_bits``, label entropy minus log-loss: what the
    probe knows about the label (negative if it is worse than knowing the frequencies only).

    Args:
        result: of `cross_validate`.
        shapes: target -> (attribute, number of categories) in mixed-radix order.
        groups: intersectional group of each image, int [N]; the bootstrap keeps their sizes.
        ordinal: attributes whose categories are ordered.
        draws: bootstrap draws.
        key: random key.
        people: person of each image, int [N]: persons are drawn; None: all differ.
    """
    rows = [(readout, metric) for readout in readouts(result, shapes)
            for metric in image_values(readout, readout.target in ordinal)]  # fmt: skip
    stacked = np.stack([metric.values for _, metric in rows])  # [M, 1 + S, N]
    flat = stacked.reshape(-1, stacked.shape[-1])
    drawn = stratified_bootstrap(*by_person(flat, groups, people), draws=draws, key=key).reshape(
        draws, *stacked.shape[:2]
    )
    # The value, then its draws; real labels first, then the shuffled ones: [M, 1 + S, 1 + P].
    numbers = np.concatenate([stacked.sum(axis=2, dtype=np.float64)[None], drawn]).transpose(1, 2, 0)
    changes = np.zeros_like(numbers[:, 0, 1:])  # by choosing strengths again; only what is held out depends on it
    changes[: len(rows) // 2] = np.concatenate(
        [_rechosen(result, t, *item, groups, people, ordinal, draws, key) for t, item in enumerate(shapes.items())]
    )
    spreads = _spreads(result, list(shapes), rows, groups, people)
    found = []
    for i, (readout, metric) in enumerate(rows):
        own, change = numbers[i], changes[i]
        if metric.name == "kappa":  # its sum is the agreement by chance; the accuracy comes just before it
            again = _kappa(numbers[i - 1][0, 1:] + changes[i - 1], own[0, 1:] + change)
            own = _kappa(numbers[i - 1], own)
            change = again - own[0, 1:]
        below, above = _doubts(readout, metric, people)
        factor = VALUES[metric.name.endswith("_bits")]  # all rates of recognition of a probe share one
        for control, column in _controls(own):
            wider = spreads.get((readout.probe, factor, control), 1.0) if readout.split == HELD_OUT else 1.0
            # At other strengths than those the real labels choose nothing is known of shuffled ones.
            rechosen = 0.0 if control == "shuffled labels" else change
            draws_of = column[0] + wider * (column[1:] - column[0]) + rechosen
            low, high = (float(end[0]) for end in percentile_interval(draws_of[:, None]))
            low, high = low - below[control], high + above[control]
            least, most = metric.limits  # widened draws go beyond
            guess = metric.chance
            if control == "selectivity":
                least, most, guess = least - most, most - least, 0.0
            found.append(
                Score(readout.probe, readout.target, readout.split, metric.name, control,
                      float(column[0]), max(low, least), min(high, most), guess, len(groups))
            )  # fmt: skip
    return found


def _spreads(
    result: OutOfFold,
    targets: list[str],
    rows: list[tuple[Readout, Metric]],
    groups: np.ndarray,
    people: np.ndarray | None,
) -> dict[tuple[str, str, str], float]:
    """`cross_validated_spread` by probe, metric of `VALUES` and control."""
    spreads, strata = {}, groups if people is None else home_groups(groups, people)
    for readout, metric in rows:
        if readout.split == HELD_OUT and readout.target == readout.probe and metric.name in VALUES:
            exchange = result.exchange(targets.index(readout.probe), VALUES.index(metric.name))
            for controlled in zip(*map(_controls, (metric.values, *exchange)), strict=True):
                each, *mutual = (by_person(own, groups, people)[0] for _, own in controlled)
                spread = cross_validated_spread(each, Exchange(*mutual), strata)
                spreads[readout.probe, metric.name, controlled[0][0]] = float(spread)
    return spreads


def _rechosen(
    result: OutOfFold,
    t: int,
    name: str,
    attributes: tuple[tuple[str, int], ...],
    groups: np.ndarray,
    people: np.ndarray | None,
    ordinal: Collection[str],
    draws: int,
    key: jax.Array,
) -> np.ndarray:
    """`redraw_choice` of all metrics of target t, [M, B]."""
    log_probability = result.inner_log_probability[t]
    values = [
        metric.values.reshape(log_probability.shape).mean(axis=1)
        for readout in inner_readouts(result, t, name, attributes)
        for metric in image_values(readout, readout.target in ordinal)
    ]
    return redraw_choice(log_probability, np.stack(values), result.folds, groups, draws=draws, key=key, people=people)


def _kappa(accuracy: np.ndarray, by_chance: np.ndarray) -> np.ndarray:
    return (accuracy - by_chance) / np.maximum(1.0 - by_chance, 1e-12)


def _doubts(readout: Readout, metric: Metric, people: np.ndarray | None) -> tuple[dict[str, float], dict[str, float]]:
    """`doubt` below and above the value of each control."""
    below, above = doubt(readout, metric, people)
    if len(below) == 1:
        return {"none": below[0]}, {"none": above[0]}
    shuffled = below[1:].mean(), above[1:].mean()
    return (
        {"none": below[0], "shuffled labels": shuffled[0], "selectivity": below[0] + shuffled[1]},
        {"none": above[0], "shuffled labels": shuffled[1], "selectivity": above[0] + shuffled[0]},
    )


def _controls(values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Of values [1 + S, ...] of the real labels and the shuffled ones, those of each control [...]."""
    yield "none", values[0]
    if len(values) > 1:
        shuffled = values[1:].mean(axis=0)
        yield "shuffled labels", shuffled
        yield "selectivity", values[0] - shuffled
