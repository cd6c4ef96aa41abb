"""Numbers from out-of-fold predictions: accuracies, bits and recalls, with intervals and controls.

Every metric here is a sum over images of a value per image, given the group sizes; so one bootstrap of the images
serves all of them, and differences (selectivity) are differences of values.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from bias_jax.probes.validation import OutOfFold
from bias_jax.statistics import percentile_interval, stratified_bootstrap, wilson_interval


class Score(NamedTuple):
    """One number about one probe."""

    probe: str  # target the probe was trained for
    target: str  # what is read off its prediction: the probe's own target, or one of its attributes
    metric: str
    control: str  # "none", "shuffled labels", or "selectivity" (none minus shuffled)
    value: float
    low: float  # 95 % interval, bootstrap over images
    high: float
    chance: float  # what guessing attains
    images: int


class Readout(NamedTuple):
    """A way to judge a probe: true and predicted classes of its target or of one attribute of it."""

    probe: int  # index on the T axis
    name: str
    classes: int
    true: np.ndarray  # [1 + S, N]
    predicted: np.ndarray  # [1 + S, N]


def readouts(result: OutOfFold, shapes: Mapping[str, tuple[tuple[str, int], ...]]) -> list[Readout]:
    """Every probe's own target, then each attribute of an intersectional probe.

    Args:
        result: of `cross_validate`.
        shapes: target -> (attribute, number of categories) in mixed-radix order.
    """
    found = []
    for t, (name, attributes) in enumerate(shapes.items()):
        sizes = tuple(size for _, size in attributes)
        true, guess = result.truth[:, t], result.predicted[:, t]
        found.append(Readout(t, name, int(np.prod(sizes)), true, guess))
        if len(sizes) > 1:
            for (attribute, size), a, b in zip(
                attributes, np.unravel_index(true, sizes), np.unravel_index(guess, sizes), strict=True
            ):
                found.append(Readout(t, attribute, size, a, b))
    return found


def score_probes(
    result: OutOfFold,
    shapes: Mapping[str, tuple[tuple[str, int], ...]],
    groups: np.ndarray,
    *,
    draws: int,
    key: jax.Array,
) -> list[Score]:
    """All scores of one layer.

    Metrics: ``accuracy``; ``balanced_accuracy``, the mean recall of the classes that occur;
    ``adjusted_balanced_accuracy``, the same on a scale from 0 (chance) to 1, comparable between targets; and
    ``information_bits``, label entropy minus held-out log-loss: what the probe knows about the label (negative if it
    is worse than knowing the frequencies only).
    """
    names = list(shapes)
    rows, heads = [], []
    for readout in readouts(result, shapes):
        own = readout.name == names[readout.probe]
        log_p = result.log_probability[:, readout.probe] if own else None
        for metric, chance, values in _image_values(readout, log_p):
            shuffled = values[1:].mean(axis=0) if len(values) > 1 else None
            heads.append((names[readout.probe], readout.name, metric, "none", chance))
            rows.append(values[0])
            if shuffled is not None:
                heads.append((names[readout.probe], readout.name, metric, "shuffled labels", chance))
                heads.append((names[readout.probe], readout.name, metric, "selectivity", 0.0))
                rows += [shuffled, values[0] - shuffled]
    matrix = np.stack(rows)
    low, high = percentile_interval(stratified_bootstrap(matrix, groups, draws=draws, key=key))
    numbers = zip(heads, matrix.sum(axis=1, dtype=np.float64), low, high, strict=True)
    return [Score(*head[:4], float(value), float(a), float(b), head[4], len(groups)) for head, value, a, b in numbers]


def _image_values(readout: Readout, log_p: np.ndarray | None) -> Iterator[tuple[str, float, np.ndarray]]:
    """(metric, chance, values [1 + S, N]) with the metric as the sum of the values over images."""
    images = readout.true.shape[1]
    counts = np.bincount(readout.true[0], minlength=readout.classes)  # shuffling keeps them
    occurring = int((counts > 0).sum())
    correct = (readout.true == readout.predicted).astype(np.float64)
    yield "accuracy", counts.max() / images, correct / images
    balanced = correct / (occurring * counts[readout.true])
    yield "balanced_accuracy", 1.0 / occurring, balanced
    if occurring > 1:
        room = 1.0 - 1.0 / occurring
        yield "adjusted_balanced_accuracy", 0.0, (balanced - 1.0 / occurring / images) / room
    if log_p is not None:
        share = counts[counts > 0] / images
        entropy = -(share * np.log2(share)).sum()
        yield "information_bits", 0.0, (entropy + log_p / np.log(2.0)) / images


class Recall(NamedTuple):
    """How often the members of one class are recognised as such."""

    probe: str
    group: str  # class of the probe's target
    recall: float
    low: float  # 95 % Wilson interval
    high: float
    images: int


def class_recalls(result: OutOfFold, class_names: Mapping[str, Sequence[str]]) -> list[Recall]:
    """Recall of every class of every target; classes without images stay in, with an undefined recall."""
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
