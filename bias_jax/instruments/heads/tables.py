"""Tidy tables: how good heads are, and who is recognised by which loss."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from bias_jax.audit import Rows, Stored
from bias_jax.disparity import (
    FittedHeads,
    GroupRates,
    class_scores,
    dense,
    group_rates,
    group_rows,
    held_out_slices,
    image_events,
    mean_average_precision,
    paired_rows,
    replicates,
    resampling,
    spread_rows,
    top_associations,
)
from bias_jax.instruments.heads.config import HeadsConfig
from bias_jax.instruments.heads.decisions import decide, layer_to_report
from bias_jax.instruments.heads.planted import large_sample_gaps
from bias_jax.instruments.heads.problem import Problem, fitted_heads, problem_of
from bias_jax.progress import track
from bias_jax.randomness import key_for


def head_tables(stored: Stored, config: HeadsConfig) -> Iterator[tuple[str, Rows]]:
    """Tables by name: all heads; then of one layer rates by group, their spreads and differences between losses."""
    problem, seed = problem_of(stored.facts, stored.arrays), stored.run["seed"]
    common = {**stored.common, "data": problem.data}
    fitted = {layer.name: fitted_heads(stored, layer.name) for layer in stored.layers}
    yield (
        "heads",
        [
            {**common, "layer": layer, "depth": depth, **row}
            for depth, (layer, found) in enumerate(fitted.items())
            for row in head_rows(found, problem, config)
        ],
    )
    layer = layer_to_report(fitted, config)
    tables: dict[str, list[dict[str, Any]]] = {"rates": [], "spreads": [], "losses": []}
    here = {**common, "layer": layer, "decision": config.decision}
    for view, groups, names, by_loss in rates_by_view(fitted[layer], problem, config, seed):
        counts = np.bincount(groups, minlength=len(names))
        place = {**here, "view": view}
        for loss, found in by_loss.items():
            tables["rates"] += [{**place, "loss": loss, **row} for row in group_rows(found, names, counts)]
            spreads = spread_rows(found, names, config.draws, seed)
            tables["spreads"] += [{**place, "loss": loss, **row} for row in spreads]
        for compared in _compared(config):
            pair = {column: by_loss[column] for column in compared}
            tables["losses"] += [{**place, **row} for row in paired_rows(pair, names, counts)]
    yield from tables.items()
    if config.planted:
        gaps = large_sample_gaps(config, seed)
        yield "planted", [{**common, "loss": loss, "expected_gap": gap} for loss, gap in gaps.items()]


def _compared(config: HeadsConfig) -> list[tuple[str, ...]]:
    """Columns that are compared: all losses with each other, and what is mended of one with the same as it is."""
    return [config.losses, *((column.name, column.loss) for column in config.columns if column.mend)]


def head_rows(fitted: FittedHeads, problem: Problem, config: HeadsConfig) -> Iterator[dict[str, Any]]:
    """One row per loss, seed and split: what was chosen, and how good it is on tuning and on test images."""
    splits, heads = problem.splits, config.training.heads
    places = held_out_slices(splits)
    edges = min(config.learning_rates), max(config.learning_rates)
    for r, (split, seed) in enumerate(replicates(splits, range(config.seeds))):
        number = r % len(splits)
        truth = dense(csr_array(problem.labels[split.test]), config.judged)
        for j, column in enumerate(config.columns):
            loss = column.loss
            _, rate, decay = heads[fitted.chosen[r, j] % (len(heads) // len(config.losses))]
            logits = fitted.test_logits[seed, j, places[number]]
            yield {
                "loss": column.name,
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


def rates_by_view(
    fitted: FittedHeads, problem: Problem, config: HeadsConfig, seed: int
) -> Iterator[tuple[str, np.ndarray, tuple[str, ...], dict[str, GroupRates]]]:
    """For every view: its name, group of each image, group names, and the rates of every loss on the same draws."""
    truth, reported = problem.truth(config.judged), problem.reported(config.report_labels)
    families, judged = problem.members(config.families), {}
    for j, column in enumerate(config.columns):
        decided, scores = decide(fitted, problem.labels, problem.splits, config, j, problem.groups)
        found = {name: top_associations(scores, members, config.family_top) for name, members in families.items()}
        judged[column.name] = image_events(decided, truth, problem.classes, reported, found), scores
    for name, (groups, names) in track(problem.views().items(), "rates by group", unit="view"):
        weights = resampling(groups, config.draws, key_for(seed, "bootstrap", name), problem.people)
        yield (
            name,
            groups,
            names,
            {
                loss: group_rates(
                    events, scores, truth, problem.classes, reported, groups, len(names), weights, problem.people
                )
                for loss, (events, scores) in judged.items()
            },
        )
