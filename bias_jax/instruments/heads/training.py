"""Heads of all layers of one width: every loss, and what is mended of one of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import jax

from bias_jax.disparity import (
    BALANCED,
    REWEIGHTED,
    THRESHOLDS,
    FittedHeads,
    HeadConfig,
    Heads,
    balanced_rows,
    fit_layer,
    group_weights,
    replicates,
    side_by_side,
    train_heads,
)
from bias_jax.instruments.heads.config import HeadsConfig
from bias_jax.instruments.heads.problem import Problem

Trained = list[tuple[Heads, HeadConfig]]  # in the order of `HeadsConfig.columns`, but what has thresholds only


def train(
    bank: jax.Array, problem: Problem, config: HeadsConfig, seeds: Sequence[int], progress: Callable[[], object]
) -> Trained:
    """Heads for all columns, trained on the bank [L, N, D]; those that are mended see other batches, or weights."""
    training = [(split.training, seed) for split, seed in replicates(problem.splits, seeds)]
    found = [(train_heads(bank, problem.labels, training, config.training, progress), config.training)]
    own = replace(config.training, losses=(config.mended_loss,))
    for column in config.columns:
        if column.mend == REWEIGHTED:
            assert problem.groups is not None
            weights = [group_weights(problem.groups, rows) for rows, _ in training]
            found.append((train_heads(bank, problem.labels, training, own, progress, weights), own))
        elif column.mend == BALANCED:
            assert problem.groups is not None
            drawn = [(balanced_rows(problem.groups, rows, seed), seed) for rows, seed in training]
            found.append((train_heads(bank, problem.labels, drawn, own, progress), own))
    return found


def trainings(config: HeadsConfig) -> int:
    """How often `train` walks the epochs."""
    return 1 + len({REWEIGHTED, BALANCED} & set(config.mends))


def fit(bank: jax.Array, trained: Trained, layer: int, problem: Problem, config: HeadsConfig) -> FittedHeads:
    """The chosen heads of one layer, J columns; thresholds of groups are for the heads of the loss as they are."""
    found = [fit_layer(bank, heads, layer, problem.labels, problem.splits, own) for heads, own in trained]
    if THRESHOLDS in config.mends:
        found.append(_one(found[0], config.losses.index(config.mended_loss)))
    return side_by_side(found)


def _one(fitted: FittedHeads, j: int) -> FittedHeads:
    """One loss of several."""
    own = fitted.tuning_score.shape[1] // fitted.chosen.shape[1]
    return FittedHeads(
        fitted.tuning_score[:, j * own : (j + 1) * own],
        fitted.chosen[:, j : j + 1] - j * own,
        *(getattr(fitted, name)[:, j : j + 1] for name in ("tuning_logits", "test_logits", "weights", "bias")),
    )
