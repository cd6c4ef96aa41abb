"""What is read off a probe's predictions, and what each image adds to each metric.

Every metric here is a sum over images of a value per image, given the group sizes, or a function of two such sums
(kappa). So one bootstrap of the images serves all of them, and differences are differences of values.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from bias_jax.probes.validation import OutOfFold

HELD_OUT, TRAINING = "held out", "training"
SPLITS = (HELD_OUT, TRAINING)


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


class Metric(NamedTuple):
    """A metric of one readout; it is the sum over images, but for kappa see `score_probes`."""

    name: str
    chance: float  # what guessing attains
    limits: tuple[float, float]  # no value lies beyond, whatever the predictions
    values: np.ndarray  # of each image, [1 + S, N]
    hits: np.ndarray | None = None  # bool [1 + S, N], of rates: whether the image counts for it
    balanced: bool = False  # whether it is a mean of the rates of classes
    scale: float = 1.0  # how far it lies from no hits to nothing but hits


def image_values(readout: Readout, ordinal: bool) -> Iterator[Metric]:
    """All metrics of a readout."""
    images = readout.true.shape[1]
    counts = np.bincount(readout.true[0], minlength=readout.classes)  # shuffling keeps them
    share = counts / images
    occurring = int((counts > 0).sum())
    hits = readout.true == readout.predicted
    correct = hits.astype(np.float64)
    rate = (0.0, 1.0)
    yield Metric("accuracy", float(share.max()), rate, correct / images, hits)
    by_chance = share[readout.predicted] / images
    agreeing = float(by_chance[0].sum())
    yield Metric("kappa", 0.0, (-1.0, 1.0), by_chance, hits, scale=1.0 / max(1.0 - agreeing, 1e-12))
    balanced = correct / (occurring * counts[readout.true])
    yield Metric("balanced_accuracy", 1.0 / occurring, rate, balanced, hits, True)
    if occurring > 1:
        room = 1.0 - 1.0 / occurring
        limits = (-1.0 / (occurring - 1), 1.0)
        adjusted = (balanced - 1.0 / occurring / images) / room
        yield Metric("adjusted_balanced_accuracy", 0.0, limits, adjusted, hits, True, 1.0 / room)
    if ordinal:
        near = np.abs(readout.true - readout.predicted) <= 1
        chance = float(np.convolve(share, np.ones(3), "same").max())
        yield Metric("adjacent_accuracy", chance, rate, near / images, near)
    if readout.log_probability is not None:
        entropy = float(-(share[share > 0] * np.log2(share[share > 0])).sum())
        bits = readout.log_probability / np.log(2.0)
        yield Metric("log_loss_bits", entropy, (0.0, np.inf), -bits / images)
        yield Metric("information_bits", 0.0, (-np.inf, entropy), (entropy + bits) / images)
