"""How well every single class is recognised, and what it is taken for."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bias_jax.probes.validation import OutOfFold
from bias_jax.statistics import effective_trials, wilson_interval


class Recall(NamedTuple):
    """How often the members of one class are recognised as such."""

    probe: str
    group: str  # class of the probe's target
    recall: float
    low: float  # 95 % Wilson interval
    high: float
    images: int


def class_recalls(
    result: OutOfFold, class_names: Mapping[str, Sequence[str]], people: np.ndarray | None = None
) -> list[Recall]:
    """Held-out recall of every class of every target; classes without images stay in, with an undefined recall.

    With `people`, the person of each image int [N], intervals are those of as many images as tell as much.
    """
    found = []
    for t, (name, classes) in enumerate(class_names.items()):
        true, guess = result.truth[0, t], result.predicted[0, t]
        count = np.bincount(true, minlength=len(classes))
        hits = np.bincount(true[true == guess], minlength=len(classes))
        trials = np.array(
            [effective_trials(guess[true == c] == c, _of(people, true == c)) for c in range(len(classes))]
        )
        rate = hits / np.maximum(count, 1)
        low, high = wilson_interval(hits if people is None else rate * trials, trials)
        for c, text in enumerate(classes):
            recall = hits[c] / count[c] if count[c] else float("nan")
            found.append(Recall(name, text, float(recall), float(low[c]), float(high[c]), int(count[c])))
    return found


def _of(people: np.ndarray | None, chosen: np.ndarray) -> np.ndarray | None:
    return None if people is None else people[chosen]


def confusion(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts [C, C]: rows are true, columns predicted classes.

    >>> confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), 3).tolist()
    [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    """
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)
