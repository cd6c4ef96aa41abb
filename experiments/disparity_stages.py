"""What is computed for multi-label heads: training layer by layer, then rates by group. One file per finished layer."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import csr_array
from tqdm import tqdm

from bias_jax.activations import LayerPlan, MemoryPlan, extract_bank
from bias_jax.data import Target
from bias_jax.disparity import (
    FittedHeads,
    GroupRates,
    Split,
    best_thresholds,
    class_scores,
    dense,
    fit_layer,
    group_rates,
    held_out_slices,
    image_events,
    matched_thresholds,
    mean_average_precision,
    replicates,
    resampling,
    top_associations,
    top_labels,
    train_heads,
)
from bias_jax.randomness import key_for
from bias_jax.results import RunDirectory
from experiments.disparity_config import DisparityConfig
from experiments.disparity_task import Task
from experiments.subject import Subject

EVERYONE = "all images"


def heads_file(layer: str) -> str:
    return f"heads/{layer}.npz"


def load_heads(directory: RunDirectory, layer: str) -> FittedHeads:
    return FittedHeads(**directory.load_arrays(heads_file(layer)))


def train_layers(
    directory: RunDirectory, config: DisparityConfig, task: Task, subject: Subject, plan: MemoryPlan
) -> None:
    """Extract wave by wave, and train the heads of all layers of one width together; finished waves are skipped.

    A wave is always extracted, and a width always trained, as a whole, so that a resumed run gives the same numbers.
    """
    training = [(split.training, seed) for split, seed in replicates(task.splits, range(config.seeds))]
    seeds = [(rows, config.seed * config.seeds + seed) for rows, seed in training]
    for wave in plan.waves:
        if all(directory.has(heads_file(layer.name)) for layer in wave):
            continue
        bank = extract_bank(
            task.images, task.image_size, subject.model, subject.params, subject.transform, wave,
            rule=config.pooling, batch_size=config.batch_size, precision=config.precision,
        )  # fmt: skip
        widths = list(dict.fromkeys(layer.features for layer in wave))
        with tqdm(total=config.epochs * len(widths), desc="train heads", unit="epoch") as progress:
            for width in widths:
                layers = [layer for layer in wave if layer.features == width]
                if all(directory.has(heads_file(layer.name)) for layer in layers):
                    progress.update(config.epochs)
                    continue
                features = _stack([bank.pop(layer.name) for layer in layers])
                heads = train_heads(features, task.labels, seeds, config.heads, progress.update)
                for number, layer in enumerate(layers):
                    fitted = fit_layer(features, heads, number, task.labels, task.splits, config.heads)
                    directory.save_arrays(heads_file(layer.name), vars(fitted))


@jax.jit
def _stack(features: list[jax.Array]) -> jax.Array:
    return jnp.stack(features)


def head_rows(fitted: FittedHeads, task: Task, config: DisparityConfig) -> Iterator[dict[str, Any]]:
    """One row per loss, seed and split: what was chosen, and how good it is on tuning and on test images."""
    places = held_out_slices(task.splits)
    edges = min(config.learning_rates), max(config.learning_rates)
    for r, (split, seed) in enumerate(replicates(task.splits, range(config.seeds))):
        number = r % len(task.splits)
        truth = dense(csr_array(task.labels[split.test]), config.judged)
        for j, loss in enumerate(config.losses):
            _, rate, decay = config.heads.heads[fitted.chosen[r, j]]
            logits = fitted.test_logits[seed, j, places[number]]
            yield {
                "loss": loss,
                "seed": seed,
                "split": number,
                "learning_rate": rate,
                "weight_decay": decay,
                "learning_rate_at_edge": rate in edges,
                "tuning_average_precision": float(fitted.tuning_score[r, fitted.chosen[r, j]]),
                "test_average_precision": mean_average_precision(class_scores(logits, loss), truth),
                "chance_average_precision": float(np.nanmean(truth)),
                "training_images": len(split.training),
                "tuning_images": len(split.tuning),
                "test_images": len(split.test),
            }


def decide(
    fitted: FittedHeads, labels: csr_array, splits: Sequence[Split], config: DisparityConfig, j: int
) -> tuple[np.ndarray, np.ndarray]:
    """Decisions bool and scores, both [S, E, C], of one loss; thresholds come from each replicate's tuning images."""
    loss = config.losses[j]
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
            threshold = choose(tuning, dense(csr_array(labels[split.tuning]), config.unverified))
        decided[seed, mine] = scores[seed, mine] > threshold
    return decided, scores


def views(task: Task) -> dict[str, tuple[np.ndarray, tuple[str, ...]]]:
    """Ways to part the evaluated images: not at all, by each attribute, by all together. Name -> groups [E], names."""
    dataset = task.evaluated
    found: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {EVERYONE: (np.zeros(len(dataset), int), (EVERYONE,))}
    targets = [Target((a,)) for a in dataset.attributes]
    if len(dataset.attributes) > 1:
        targets.append(dataset.groups)
    for target in targets:
        found[target.name] = target.encode(dataset.labels), target.classes
    return found


def rates_by_view(
    fitted: FittedHeads, task: Task, config: DisparityConfig
) -> Iterator[tuple[str, np.ndarray, tuple[str, ...], dict[str, GroupRates]]]:
    """For every view: its name, group of each image, group names, and the rates of every loss on the same draws."""
    truth = dense(csr_array(task.labels[task.rows]), config.judged)
    reported = task.reported(config.report_labels)
    judged = {}
    for j, loss in enumerate(config.losses):
        decided, scores = decide(fitted, task.labels, task.splits, config, j)
        families = {
            name: top_associations(scores, members, config.family_top) for name, members in members_of(task, config)
        }
        judged[loss] = image_events(decided, truth, task.classes, reported, families), scores
    for name, (groups, classes) in tqdm(views(task).items(), "rates by group", unit="view"):
        weights = resampling(groups, config.draws, key_for(config.seed, "bootstrap", name))
        found = {
            loss: group_rates(events, scores, truth, task.classes, reported, groups, len(classes), weights)
            for loss, (events, scores) in judged.items()
        }
        yield name, groups, classes, found


def members_of(task: Task, config: DisparityConfig) -> Iterator[tuple[str, np.ndarray]]:
    """Families of labels and the numbers of those that are trained."""
    for entry in config.families:
        name, _, labels = entry.partition("=")
        yield name, np.array([c for c, label in enumerate(task.classes) if label in labels.split("|")], int)


def best_layer(directory: RunDirectory, layers: tuple[LayerPlan, ...], config: DisparityConfig) -> str:
    """The layer to report: the asked one, or the one with the best heads on tuning images."""
    if config.report_layer:
        return config.report_layer
    found = {layer.name: load_heads(directory, layer.name) for layer in layers}
    score = {
        name: np.take_along_axis(fitted.tuning_score, fitted.chosen, axis=1).mean() for name, fitted in found.items()
    }
    return max(score, key=lambda name: score[name])
