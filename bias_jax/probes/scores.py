"""Numbers from a probe's predictions: accuracies, agreement and bits, with intervals and controls.

Every metric here is a sum over images of a value per image, given the group sizes, or a function of two such sums
(kappa). So one bootstrap of the images serves all of them, and differences are differences of values.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from bias_jax.probes.between_folds import VALUES
from bias_jax.probes.choice import redraw_choice
from bias_jax.probes.validation import OutOfFold
from bias_jax.statistics import (
    Exchange,
    cross_validated_spread,
    percentile_interval,
    stratified_bootstrap,
    wilson_interval,
)

HELD_OUT, TRAINING = "held out", "training"
SPLITS = (HELD_OUT, TRAINING)


class Score(NamedTuple):
    """One number about one probe."""

    probe: str  # target the probe was trained for
    target: str  # what is read off its prediction: the probe's own target, or one of its attributes
    split: str  # "held out"; or "training", on images that the probe was trained on
    metric: str
    control: str  # "none", "shuffled labels", or "selectivity" (none minus shuffled)
    value: float
    low: float  # 95 % interval, bootstrap over images; of the held-out split with `cross_validated_spread`
    high: float
    chance: float  # what guessing attains
    images: int


class Readout(NamedTuple):
    """A way to judge a probe: true and predicted classes of its target or of one attribute of it."""

    probe: str
    target: str
    split: str
    classes: int
    true: np.ndarray  # [1 + S, N]
    predicted: np.ndarray  # [1 + S, N]
    log_probability: np.ndarray | None  # of the true class, nats [1 + S, N]; only of the probe's own target


def readouts(result: OutOfFold, shapes: Mapping[str, tuple[tuple[str, int], ...]]) -> Iterator[Readout]:
    """For both splits, every probe's own target, then each attribute of an intersectional probe.

    Args:
        result: of `cross_validate`.
        shapes: target -> (attribute, number of categories) in mixed-radix order.
    """
    predictions = ((result.predicted, result.log_probability), (result.fitted, result.fitted_log_probability))
    for split, (predicted, log_probability) in zip(SPLITS, predictions, strict=True):
        for t, (name, attributes) in enumerate(shapes.items()):
            yield from _read(name, attributes, split, result.truth[:, t], predicted[:, t], log_probability[:, t])


def inner_readouts(result: OutOfFold, t: int, name: str, attributes: tuple[tuple[str, int], ...]) -> Iterator[Readout]:
    """Of target t, as `readouts` does of the held-out split; axis 0 are the inner predictions, [2 R, N]."""
    flat = (-1, result.truth.shape[-1])
    inner = result.inner_predicted[t].reshape(flat), result.inner_log_probability[t].reshape(flat)
    return _read(name, attributes, HELD_OUT, result.truth[:1, t], *inner)


def _read(
    name: str,
    attributes: tuple[tuple[str, int], ...],
    split: str,
    true: np.ndarray,
    guess: np.ndarray,
    log_probability: np.ndarray,
) -> Iterator[Readout]:
    sizes = tuple(size for _, size in attributes)
    yield Readout(name, name, split, int(np.prod(sizes)), true, guess, log_probability)
    if len(sizes) > 1:
        parts = zip(attributes, np.unravel_index(true, sizes), np.unravel_index(guess, sizes), strict=True)
        for (attribute, size), a, b in parts:
            yield Readout(name, attribute, split, size, a, b, None)


def score_probes(
    result: OutOfFold,
    shapes: Mapping[str, tuple[tuple[str, int], ...]],
    groups: np.ndarray,
    *,
    ordinal: Collection[str] = (),
    draws: int,
    key: jax.Array,
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
    """
    heads, rows = [], []
    for readout in readouts(result, shapes):
        for metric, chance, values in image_values(readout, readout.target in ordinal):
            heads.append((readout, metric, chance))
            rows.append(values)
    stacked = np.stack(rows)  # [M, 1 + S, N]
    flat = stacked.reshape(-1, stacked.shape[-1])
    drawn = stratified_bootstrap(flat, groups, draws=draws, key=key).reshape(draws, *stacked.shape[:2])
    # The value, then its draws; real labels first, then the shuffled ones: [M, 1 + S, 1 + P].
    numbers = np.concatenate([stacked.sum(axis=2, dtype=np.float64)[None], drawn]).transpose(1, 2, 0)
    changes = np.zeros_like(numbers[:, 0, 1:])  # by choosing strengths again; only what is held out depends on it
    changes[: len(heads) // 2] = np.concatenate(
        [_rechosen(result, t, *item, groups, ordinal, draws, key) for t, item in enumerate(shapes.items())]
    )
    spreads: dict[tuple[str, str, str], float] = {}
    for (readout, metric, _), values in zip(heads, stacked, strict=True):
        if readout.split == HELD_OUT and readout.target == readout.probe and metric in VALUES:
            t, v = list(shapes).index(readout.probe), VALUES.index(metric)
            for rows in zip(*map(_controls, (values, *result.exchange(t, v))), strict=True):
                each, *mutual = (own for _, own in rows)
                spread = cross_validated_spread(each, Exchange(*mutual), groups)
                spreads[readout.probe, metric, rows[0][0]] = float(spread)
    found = []
    for i, (readout, metric, chance) in enumerate(heads):
        own, change = numbers[i], changes[i]
        if metric == "kappa":  # its sum is the agreement by chance; the accuracy comes just before it
            again = _kappa(numbers[i - 1][0, 1:] + changes[i - 1], own[0, 1:] + change)
            own = _kappa(numbers[i - 1], own)
            change = again - own[0, 1:]
        factor = VALUES[metric.endswith("_bits")]  # all rates of recognition of a probe share one
        for control, column in _controls(own):
            wider = spreads.get((readout.probe, factor, control), 1.0) if readout.split == HELD_OUT else 1.0
            rechosen = 0.0 if control == "shuffled labels" else change  # they follow the choice of the real ones
            low, high = percentile_interval((column[0] + wider * (column[1:] - column[0]) + rechosen)[:, None])
            guess = 0.0 if control == "selectivity" else chance
            found.append(
                Score(readout.probe, readout.target, readout.split, metric, control,
                      float(column[0]), float(low[0]), float(high[0]), guess, len(groups))
            )  # fmt: skip
    return found


def _rechosen(
    result: OutOfFold,
    t: int,
    name: str,
    attributes: tuple[tuple[str, int], ...],
    groups: np.ndarray,
    ordinal: Collection[str],
    draws: int,
    key: jax.Array,
) -> np.ndarray:
    """`redraw_choice` of all metrics of target t, [M, B]."""
    log_probability = result.inner_log_probability[t]
    values = [
        values.reshape(log_probability.shape).mean(axis=1)
        for readout in inner_readouts(result, t, name, attributes)
        for _, _, values in image_values(readout, readout.target in ordinal)
    ]
    return redraw_choice(log_probability, np.stack(values), result.folds, groups, draws=draws, key=key)


def _kappa(accuracy: np.ndarray, by_chance: np.ndarray) -> np.ndarray:
    return (accuracy - by_chance) / np.maximum(1.0 - by_chance, 1e-12)


def _controls(values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Of values [1 + S, ...] of the real labels and the shuffled ones, those of each control [...]."""
    yield "none", values[0]
    if len(values) > 1:
        shuffled = values[1:].mean(axis=0)
        yield "shuffled labels", shuffled
        yield "selectivity", values[0] - shuffled


def image_values(readout: Readout, ordinal: bool) -> Iterator[tuple[str, float, np.ndarray]]:
    """(metric, chance, values [1 + S, N]); the metric is the sum over images, but for kappa see `score_probes`."""
    images = readout.true.shape[1]
    counts = np.bincount(readout.true[0], minlength=readout.classes)  # shuffling keeps them
    share = counts / images
    occurring = int((counts > 0).sum())
    correct = (readout.true == readout.predicted).astype(np.float64)
    yield "accuracy", float(share.max()), correct / images
    yield "kappa", 0.0, share[readout.predicted] / images
    balanced = correct / (occurring * counts[readout.true])
    yield "balanced_accuracy", 1.0 / occurring, balanced
    if occurring > 1:
        room = 1.0 - 1.0 / occurring
        yield "adjusted_balanced_accuracy", 0.0, (balanced - 1.0 / occurring / images) / room
    if ordinal:
        near = (np.abs(readout.true - readout.predicted) <= 1).astype(np.float64)
        yield "adjacent_accuracy", float(np.convolve(share, np.ones(3), "same").max()), near / images
    if readout.log_probability is not None:
        entropy = -(share[share > 0] * np.log2(share[share > 0])).sum()
        bits = readout.log_probability / np.log(2.0)
        yield "log_loss_bits", float(entropy), -bits / images
        yield "information_bits", 0.0, (entropy + bits) / images


class Recall(NamedTuple):
    """How often the members of one class are recognised as such."""

    probe: str
    group: str  # class of the probe's target
    recall: float
    low: float  # 95 % Wilson interval
    high: float
    images: int


def class_recalls(result: OutOfFold, class_names: Mapping[str, Sequence[str]]) -> list[Recall]:
    """Held-out recall of every class of every target; classes without images stay in, with an undefined recall."""
    found = []
    for t, (name, classes) in enumerate(class_names.items()):
        true, guess = result.truth[0, t], result.predicted[0, t]
        count = np.bincount(true, minlength=len(classes))
        hits = np.bincount(true[true == guess], minlength=len(classes))
        low, high = wilson_interval(hits, count)
        for c, text in enumerate(classes):
            recall = hits[c] / count[c] if count[c] else float("nan")
            found.append(Recall(name, text, float(recall), float(low[c]), float(high[c]), int(count[c])))
    return found


def confusion(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts [C, C]: rows are true, columns predicted classes."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)
