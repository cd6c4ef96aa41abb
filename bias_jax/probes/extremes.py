"""Intervals of rates that no image contradicts: a probe that hits nothing, or everything.

A bootstrap of images that all say the same says the same again, as if there were no doubt. But nothing hit in n images
is likely enough (0.025) up to the rate 1 - 0.025^(1 / n) (Clopper & Pearson 1934). The bound of a mean of rates of
classes is the largest mean with which nothing is as likely.
"""

import numpy as np

from bias_jax.probes.readouts import HELD_OUT, Metric, Readout


def silent_mean(trials: np.ndarray, level: float = 0.95) -> float:
    """Upper end of an interval for the mean of rates of which no trial was a hit.

    Args:
        trials: of each class, whole numbers [C] above 0.
        level: of the two-sided interval.

    The product of q_c^trials_c, q the shares that miss, is to be (1 - level) / 2 and the sum of q least, none above 1:
    they are proportional to the trials, or 1.

    >>> round(silent_mean(np.array([10])), 3), round(silent_mean(np.array([5, 5])), 3)
    (0.308, 0.308)
    """
    n, rest = np.sort(trials)[::-1].astype(np.float64), np.log((1.0 - level) / 2.0)
    for largest in range(len(n)):  # as many classes miss always
        own = n[largest:]
        scale = np.exp((rest - (own * np.log(own)).sum()) / own.sum())
        if scale * own[0] <= 1.0:
            break
    return float((1.0 - scale * own).sum() / len(n))


def doubt(readout: Readout, metric: Metric, people: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """How far below and above its value each number of a metric may lie though no image says so, [1 + S] each.

    0 where images do differ, for metrics that are no rates, and on training images, of which probes are to hit all.
    Persons with several images count once in a class.
    """
    nothing = np.zeros(len(metric.values))
    if metric.hits is None or readout.split != HELD_OUT:
        return nothing, nothing
    classes = readout.true[0] if metric.balanced else np.zeros(readout.true.shape[1], np.int64)
    each = np.arange(len(classes)) if people is None else people
    pairs = np.unique(np.stack([classes, each]), axis=1)
    trials = np.bincount(pairs[0])
    most = metric.scale * silent_mean(trials[trials > 0])
    return np.where(metric.hits.all(axis=1), most, 0.0), np.where(metric.hits.any(axis=1), 0.0, most)
