"""Which evaluated images to look at: where losses disagree, and where groups differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bias_jax.audit import Rows
from bias_jax.disparity import FittedHeads
from bias_jax.instruments.heads.config import HeadsConfig
from bias_jax.instruments.heads.decisions import decide
from bias_jax.instruments.heads.problem import Problem

PREFERRED = ("pairwise_softmax", "binary_cross_entropy")  # the losses of the paper


@dataclass(frozen=True)
class Example:
    """One evaluated image, and the label to look at."""

    image: int  # number among the E evaluated images
    label: int
    caption: str


def compared(config: HeadsConfig) -> tuple[int, ...]:
    """The two losses that are looked at: the paper's two if there, else the first ones."""
    wanted = [config.losses.index(x) for x in PREFERRED if x in config.losses]
    return tuple((wanted + [j for j in range(len(config.losses)) if j not in wanted])[:2])


def loss_examples(fitted: FittedHeads, problem: Problem, truth: np.ndarray, config: HeadsConfig) -> list[Example]:
    """Images on which the two losses decide differently about a known label, the most differently ranked first.

    Args:
        fitted: heads of the reported layer.
        problem: what they were trained for.
        truth: labels of the evaluated images, 0, 1 or NaN [E, C].
        config: how to decide, and how many examples.
    """
    pair = compared(config)
    if len(pair) < 2:
        return []
    found = [decide(fitted, problem.labels, problem.splits, config, j) for j in pair]
    (first, a), (second, b) = ((decided[0], _ranks(scores[0])) for decided, scores in found)
    distance = np.where((first != second) & ~np.isnan(truth), np.abs(a - b), 0.0)
    examples: list[Example] = []
    for flat in np.argsort(-distance, axis=None, kind="stable"):
        image, label = (int(i) for i in np.unravel_index(flat, distance.shape))
        if distance[image, label] == 0 or len(examples) == config.examples:
            break
        if any(example.image == image for example in examples):
            continue
        given = [config.losses[j] for j, decided in zip(pair, (first, second), strict=True) if decided[image, label]]
        state = "present" if truth[image, label] == 1 else "absent"
        caption = f"{problem.classes[label]}: {state}\ngiven by {given[0]} only"
        examples.append(Example(image, label, caption))
    return examples


def widest_spread(spreads: Rows, problem: Problem, config: HeadsConfig) -> Mapping[str, Any] | None:
    """The recall that differs most between groups beyond chance, of the two losses; None if there is none.

    Args:
        spreads: rows of the table ``spreads``.
        problem: for its attributes: intersections are too small to single one out.
        config: for its losses.
    """
    attributes, shown = [a.name for a in problem.attributes], [config.losses[j] for j in compared(config)]
    candidates = [
        row
        for row in spreads
        if row["view"] in attributes and row["loss"] in shown and row["metric"] == "recall"
        and row["label"] in problem.classes and not np.isnan(row["p_value"])
    ]  # fmt: skip
    return max(candidates, key=lambda row: row["spread"] - row["permuted_spread"]) if candidates else None


def group_examples(
    fitted: FittedHeads, problem: Problem, truth: np.ndarray, config: HeadsConfig, spread: Mapping[str, Any]
) -> list[Example]:
    """For the label whose recall differs most between groups: missed images of the worst group, found ones of the best.

    Args:
        fitted: heads of the reported layer.
        problem: what they were trained for.
        truth: labels of the evaluated images, 0, 1 or NaN [E, C].
        config: how to decide, and how many examples.
        spread: of `widest_spread`.
    """
    groups, names = problem.views()[spread["view"]]
    decided, scores = decide(fitted, problem.labels, problem.splits, config, config.losses.index(spread["loss"]))
    label = problem.classes.index(spread["label"])
    examples = []
    for group, hit in ((spread["smallest_group"], False), (spread["largest_group"], True)):
        rows = np.flatnonzero((groups == names.index(group)) & (truth[:, label] == 1) & (decided[0, :, label] == hit))
        rows = rows[np.argsort(-scores[0, rows, label] if hit else scores[0, rows, label], kind="stable")]
        text = f"{spread['label']}, {group}\n{'recognised' if hit else 'missed'} by {spread['loss']}"
        examples += [Example(int(row), label, text) for row in rows[: -(-config.examples // 2)]]
    return examples


def attention_images(problem: Problem, truth: np.ndarray, per_group: int) -> np.ndarray:
    """The first images of every category of every attribute that have a known label present, numbers int [n]."""
    usable = np.flatnonzero((truth == 1).any(axis=1))
    chosen: set[int] = set()
    for attribute in problem.attributes:
        labels = problem.categories[attribute.name][usable]
        for c in range(len(attribute.categories)):
            chosen.update(usable[labels == c][:per_group].tolist())
    return np.array(sorted(chosen), int)


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Rank of every image's score within its class, 0 to 1."""
    return scores.argsort(axis=0).argsort(axis=0) / max(1, len(scores) - 1)
