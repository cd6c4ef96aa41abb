"""From logits to labels: comparable scores, thresholds, and the top-k rule of the Inclusive Images solution.

Scores of different losses do not share a threshold: a score of the pairwise softmax is no calibrated probability.
Thresholds that are matched or tuned are chosen on tuning images, for every class and loss of its own.
"""

import numpy as np

BETA = 2.0  # recall counts BETA^2 times as much as precision, as in the Inclusive Images challenge
INDEPENDENT = ("binary_cross_entropy", "zlpr")  # losses whose logits are log-odds on their own


def class_scores(logits: np.ndarray, loss: str) -> np.ndarray:
    """Log-odds of every class, float64 [..., C].

    For `INDEPENDENT` losses the logits. The softmax losses do not change when a constant is added to an image's logits,
    so its classes are scored against each other: ``s_c - log of the sum of exp s over the other classes``.
    """
    s = np.asarray(logits, np.float64)
    if loss in INDEPENDENT or s.shape[-1] == 1:
        return s
    order = np.argsort(s, axis=-1)
    top = np.take_along_axis(s, order[..., -1:], axis=-1)
    e = np.exp(s - top)
    others = top + np.log(np.maximum(e.sum(axis=-1, keepdims=True) - e, 1e-300))
    # For the largest logit that difference cancels; its others are summed without it.
    without = np.where(np.arange(s.shape[-1]) == order[..., -1:], -np.inf, s)
    second = np.take_along_axis(s, order[..., -2:-1], axis=-1)
    rest = second + np.log(np.exp(without - second).sum(axis=-1, keepdims=True))
    return s - np.where(np.isneginf(without), rest, others)


def matched_thresholds(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Per class, the threshold above which as many images lie as have the label; [C].

    Args:
        scores: of the tuning images [n, C].
        labels: 0, 1 or NaN [n, C]; images where a class is unknown do not count for it.
    """
    result = np.full(scores.shape[1], np.inf)
    for c in range(scores.shape[1]):
        known = ~np.isnan(labels[:, c])
        ordered = np.sort(scores[known, c])[::-1]
        positives = int(labels[known, c].sum())
        if positives:
            result[c] = _between(ordered, positives)
    return result


def best_thresholds(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Per class, the threshold with the best F2 on the tuning images, [C]; infinite where no label is present."""
    result = np.full(scores.shape[1], np.inf)
    for c in range(scores.shape[1]):
        known = ~np.isnan(labels[:, c])
        order = np.argsort(-scores[known, c], kind="stable")
        ordered, hits = scores[known, c][order], np.cumsum(labels[known, c][order])
        if len(ordered) and hits[-1]:
            ends = np.append(ordered[1:] < ordered[:-1], True)  # a threshold cannot part equal scores
            f = (1 + BETA**2) * hits / (np.arange(1, len(hits) + 1) + BETA**2 * hits[-1])
            result[c] = _between(ordered, int(np.where(ends, f, -1.0).argmax()) + 1)
    return result


def top_labels(
    logits: np.ndarray, *, pool: int = 150, threshold: float = 0.55, fewest: int = 2, most: int = 5
) -> np.ndarray:
    """The decision rule of the fourth place of Inclusive Images, bool [..., C].

    The `pool` classes of the largest logits are scored ``sigmoid(s - log of the sum of exp s over all other classes)``;
    labels are those with more than `threshold`, at most the `most` best and at least the `fewest` best. The score
    depends on `pool` and on C, so a threshold means nothing for another vocabulary.

    Raises:
        ValueError: not ``fewest <= most <= pool < C``.
    """
    s = np.asarray(logits, np.float64)
    if not 0 <= fewest <= most <= pool < s.shape[-1]:
        raise ValueError(f"need fewest <= most <= pool < classes, got {fewest}, {most}, {pool}, {s.shape[-1]}")
    order = np.argsort(-s, axis=-1, kind="stable")
    ordered = np.take_along_axis(s, order, axis=-1)
    below = ordered[..., pool:]
    rest = below[..., :1] + np.log(np.exp(below - below[..., :1]).sum(axis=-1, keepdims=True))
    odds = np.log(threshold) - np.log1p(-threshold)
    rank = np.arange(s.shape[-1])
    chosen = (rank < fewest) | ((rank < most) & (ordered - rest > odds))
    result = np.zeros(s.shape, bool)
    np.put_along_axis(result, order, chosen, axis=-1)
    return result


def _between(ordered: np.ndarray, count: int) -> float:
    """A threshold that `count` of these descending scores exceed; equal scores stay together, above it."""
    if count == len(ordered):
        return -np.inf
    lower = ordered[ordered < ordered[count - 1]]
    return float((ordered[count - 1] + lower[0]) / 2.0) if len(lower) else -np.inf
