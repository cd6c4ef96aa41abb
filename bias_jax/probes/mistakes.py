"""In which attributes an intersectional probe is wrong (Krug & Stober 2025, Table 1), against independent guesses."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from bias_jax.probes.readouts import SPLITS
from bias_jax.probes.recalls import confusion
from bias_jax.probes.validation import OutOfFold
from bias_jax.statistics import effective_trials, wilson_interval


class MistakeType(NamedTuple):
    """How many predictions of one intersectional probe are wrong in exactly these attributes."""

    probe: str
    split: str  # "held out" or "training"
    wrong: str  # attributes, e.g. "race + age"; "none" for correct predictions
    images: int
    share: float  # of all images
    low: float  # 95 % Wilson interval
    high: float
    independent: float  # share if the same predictions were dealt out at random
    shuffled: float  # share in the shuffled-label control; NaN without one


class Mistake(NamedTuple):
    """One frequent confusion of an intersectional probe."""

    probe: str
    split: str
    true: str
    predicted: str
    wrong: str
    images: int
    share: float  # of the images of the true class


def mistake_types(
    result: OutOfFold, shapes: Mapping[str, tuple[tuple[str, int], ...]], people: np.ndarray | None = None
) -> Iterator[MistakeType]:
    """Every pattern of wrong attributes of every intersectional probe.

    Args:
        result: of `cross_validate`.
        shapes: target -> (attribute, number of categories) in mixed-radix order.
        people: person of each image, int [N]: intervals are those of as many images as tell as much. None: all differ.
    """
    for t, (probe, attributes) in enumerate(shapes.items()):
        if len(attributes) < 2:
            continue
        patterns = _patterns(attributes)
        classes = len(patterns)
        true = result.truth[:, t]
        for split, predicted in zip(SPLITS, (result.predicted, result.fitted), strict=True):
            counts = [confusion(a, b, classes) for a, b in zip(true, predicted[:, t], strict=True)]
            total = int(counts[0].sum())
            dealt = np.outer(counts[0].sum(axis=1), counts[0].sum(axis=0)) / total**2
            for wrong in product((False, True), repeat=len(attributes)):
                here = (patterns == np.array(wrong)).all(axis=2)
                images = int(counts[0][here].sum())
                trials = effective_trials(here[true[0], predicted[0, t]], people)
                hits = images if people is None else images / total * trials
                low, high = wilson_interval(np.array(hits), np.array(trials))
                shuffled = float(np.mean([c[here].sum() / total for c in counts[1:]])) if counts[1:] else float("nan")
                yield MistakeType(probe, split, _words(wrong, attributes), images, images / total, float(low),
                                  float(high), float(dealt[here].sum()), shuffled)  # fmt: skip


def frequent_mistakes(
    result: OutOfFold,
    shapes: Mapping[str, tuple[tuple[str, int], ...]],
    class_names: Mapping[str, Sequence[str]],
    count: int = 30,
) -> Iterator[Mistake]:
    """The most frequent confusions of every intersectional probe, in both splits; ties in the order of classes."""
    for t, (probe, attributes) in enumerate(shapes.items()):
        if len(attributes) < 2:
            continue
        names, patterns = class_names[probe], _patterns(attributes)
        for split, predicted in zip(SPLITS, (result.predicted, result.fitted), strict=True):
            counts = confusion(result.truth[0, t], predicted[0, t], len(names))
            sizes = counts.sum(axis=1)
            np.fill_diagonal(counts, 0)
            for cell in np.argsort(-counts, axis=None, kind="stable")[:count]:
                a, b = divmod(int(cell), len(names))
                if counts[a, b]:
                    yield Mistake(probe, split, names[a], names[b], _words(patterns[a, b], attributes),
                                  int(counts[a, b]), float(counts[a, b] / sizes[a]))  # fmt: skip


def _patterns(attributes: Sequence[tuple[str, int]]) -> np.ndarray:
    """Which attributes differ between any two classes, bool [C, C, A]."""
    sizes = [size for _, size in attributes]
    parts = np.stack(np.unravel_index(np.arange(int(np.prod(sizes))), sizes), axis=1)
    return parts[:, None] != parts[None]


def _words(wrong: Sequence[bool] | np.ndarray, attributes: Sequence[tuple[str, int]]) -> str:
    return " + ".join(name for (name, _), off in zip(attributes, wrong, strict=True) if off) or "none"
