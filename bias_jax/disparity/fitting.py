"""From trained heads to held-out logits: learning rate and weight decay chosen on tuning images, for each loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import jax
import numpy as np
from scipy.sparse import csr_array

from bias_jax.disparity.decisions import class_scores
from bias_jax.disparity.heads import HeadConfig, Heads, dense, head_logits, head_weights
from bias_jax.disparity.rates import average_precision
from bias_jax.errors import InputError


@dataclass(frozen=True)
class Split:
    """Rows of the bank with which heads are trained, chosen and reported; the three have no image in common."""

    training: np.ndarray
    tuning: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class FittedHeads:
    """One layer's chosen heads for J losses; replicates are seeds times splits, splits running fastest."""

    tuning_score: np.ndarray  # mean average precision of every head on the tuning images, float64 [R, H]
    chosen: np.ndarray  # number of the head with the best one, int64 [R, J]
    tuning_logits: np.ndarray  # float32 [R, J, n, C], padded with NaN
    test_logits: np.ndarray  # float32 [S, J, E, C], images in the order of the concatenated test sets
    weights: np.ndarray  # float32 [R, J, D, C], for features as they are
    bias: np.ndarray  # float32 [R, J, C]


def side_by_side(fitted: Sequence[FittedHeads]) -> FittedHeads:
    """Losses of several fits as one: axis J of all after another."""
    ends = np.cumsum([0, *(one.tuning_score.shape[1] for one in fitted)])
    return FittedHeads(
        np.concatenate([one.tuning_score for one in fitted], axis=1),
        np.concatenate([one.chosen + end for one, end in zip(fitted, ends, strict=False)], axis=1),
        *(np.concatenate([getattr(one, name) for one in fitted], axis=1) for name in
          ("tuning_logits", "test_logits", "weights", "bias")),
    )  # fmt: skip


def replicates(splits: Sequence[Split], seeds: Sequence[int]) -> list[tuple[Split, int]]:
    """Every split with every seed, in the order of `FittedHeads`."""
    return [(split, seed) for seed in seeds for split in splits]


def held_out_slices(splits: Sequence[Split]) -> list[slice]:
    """Where the test images of each split lie on the E axis of `FittedHeads.test_logits`."""
    ends = np.cumsum([0, *(len(split.test) for split in splits)])
    return [slice(int(a), int(b)) for a, b in pairwise(ends)]


def fit_layer(
    bank: jax.Array, heads: Heads, layer: int, labels: csr_array, splits: Sequence[Split], config: HeadConfig
) -> FittedHeads:
    """Choose among the trained heads of one layer.

    Args:
        bank: [L, N, D].
        heads: of `train_heads`, with the replicates of `replicates`.
        layer: number of the layer in the bank.
        labels: [N, C], see `train_heads`.
        splits: F splits; R is a multiple of F.
        config: of the heads.

    Raises:
        InputError: all heads of a loss diverged.
    """
    number, classes = heads.weights.shape[1], labels.shape[1]
    per_loss = len(config.heads) // len(config.losses)
    room = max(max(len(s.tuning), len(s.test)) for s in splits)
    most = max(len(s.tuning) for s in splits)
    score = np.full((number, len(config.heads)), np.nan)
    chosen = np.zeros((number, len(config.losses)), np.int64)
    tuning_logits = np.full((number, len(config.losses), most, classes), np.nan, np.float32)
    test_logits: list[list[np.ndarray]] = []
    truths = [dense(csr_array(labels[s.tuning]), config.unverified) for s in splits]
    weights, biases = [], []
    for r in range(number):
        split, truth = splits[r % len(splits)], truths[r % len(splits)]
        for h, (loss, _, _) in enumerate(config.heads):
            logits = head_logits(bank, heads, (layer, r, h), split.tuning, room)
            score[r, h] = mean_average_precision(class_scores(logits, loss), truth)
        blocks = score[r].reshape(len(config.losses), per_loss)
        for j, loss in enumerate(config.losses):
            if np.isnan(blocks[j]).all():
                problem = f"no head of {loss} can be judged: all diverged, or no tuning image has a label"
                raise InputError(problem, remedy="give lower --learning-rates, or more images")
            chosen[r, j] = j * per_loss + int(np.nanargmax(blocks[j]))
        places = [(layer, r, int(h)) for h in chosen[r]]
        for j, place in enumerate(places):
            tuning_logits[r, j, : len(split.tuning)] = head_logits(bank, heads, place, split.tuning, room)
        test_logits.append([head_logits(bank, heads, place, split.test, room) for place in places])
        pairs = [head_weights(heads, place) for place in places]
        weights.append([w for w, _ in pairs])
        biases.append([b for _, b in pairs])
    folds = len(splits)
    joined = [
        [np.concatenate([test_logits[s * folds + f][j] for f in range(folds)]) for j in range(len(config.losses))]
        for s in range(number // folds)
    ]
    return FittedHeads(
        score, chosen, tuning_logits, np.array(joined), np.array(weights, np.float32), np.array(biases, np.float32)
    )


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes that are present; NaN for scores that are not finite."""
    if not np.isfinite(scores).all():
        return float("nan")
    ones = np.ones((1, len(scores)), np.float32)
    found = [average_precision(scores[:, c], labels[:, c], ones)[0] for c in range(labels.shape[1])]
    return float(np.nanmean(found)) if not np.isnan(found).all() else float("nan")
