"""From the logits of fitted heads to labels that are given, and which layer to tell about."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import csr_array

from bias_jax.disparity import (
    THRESHOLDS,
    FittedHeads,
    Split,
    best_thresholds,
    class_scores,
    dense,
    group_thresholds,
    held_out_slices,
    matched_thresholds,
    replicates,
    top_labels,
)
from bias_jax.instruments.heads.config import HeadsConfig


def decide(
    fitted: FittedHeads, labels: csr_array, splits: Sequence[Split], config: HeadsConfig, j: int,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Decisions bool and scores, both [S, E, C], of one column; thresholds come from each replicate's tuning images.

    Args:
        fitted: heads of one layer.
        labels: of all images [N, C].
        splits: which images serve for what.
        config: how to decide.
        j: number of the column.
        groups: of all images, int [N]; for thresholds of each group.
    """
    loss, mend = config.columns[j]
    scores = class_scores(fitted.test_logits[:, j], loss)
    if config.decision == "top":
        return top_labels(fitted.test_logits[:, j], pool=config.top_pool, threshold=config.threshold), scores
    decided = np.zeros(scores.shape, bool)
    places = held_out_slices(splits)
    for r, (split, seed) in enumerate(replicates(splits, range(config.seeds))):
        mine = places[r % len(splits)]
        threshold: np.ndarray | float = float(np.log(config.threshold / (1.0 - config.threshold)))
        if config.decision != "fixed":
            tuning = class_scores(fitted.tuning_logits[r, j, : len(split.tuning)], loss)
            choose = matched_thresholds if config.decision == "matched" else best_thresholds
            truth = dense(csr_array(labels[split.tuning]), config.unverified)
            if mend == THRESHOLDS:
                assert groups is not None
                threshold = group_thresholds(choose, tuning, truth, groups[split.tuning], groups[split.test])
            else:
                threshold = choose(tuning, truth)
        decided[seed, mine] = scores[seed, mine] > threshold
    return decided, scores


def layer_to_report(fitted: Mapping[str, FittedHeads], config: HeadsConfig) -> str:
    """The layer that is asked for, or the one with the best heads on tuning images, as nothing is mended."""
    if config.report_layer:
        return config.report_layer
    score = {
        name: np.take_along_axis(found.tuning_score, found.chosen[:, : len(config.losses)], axis=1).mean()
        for name, found in fitted.items()
    }
    return max(score, key=lambda name: score[name])
