"""From the finished layers to tidy tables and figures."""

from collections.abc import Sequence

import jax
import numpy as np

from bias_jax.activations import MemoryPlan
from bias_jax.data import FaceDataset, Target, bayes_accuracy
from bias_jax.data.calibration import NULL, PLANTED, CalibrationConfig
from bias_jax.probes import OutOfFold, Score, class_recalls, confusion, score_probes
from bias_jax.randomness import key_for
from bias_jax.report import (
    accuracy_by_layer,
    attribute_confusions,
    comparison_by_layer,
    group_confusion,
    topomap_figure,
    variance_by_layer,
)
from bias_jax.results import RunDirectory
from bias_jax.topomaps import triangulate
from experiments.analyses import probes_file, topomap_file
from experiments.config import SweepConfig
from experiments.subject import Subject
from experiments.variance_summary import variance_rows, variance_verdict


def summarise(
    directory: RunDirectory, config: SweepConfig, dataset: FaceDataset, subject: Subject, plan: MemoryPlan
) -> None:
    """Write tables and figures, and print the accuracy of every layer."""
    results = {layer.name: OutOfFold(**directory.load_arrays(probes_file(layer.name))) for layer in plan.layers}
    shapes = {t.name: tuple((a.name, len(a.categories)) for a in t.attributes) for t in dataset.targets}
    scores = {
        name: score_probes(
            result, shapes, dataset.group_labels, draws=config.draws, key=key_for(config.seed, "bootstrap")
        )
        for name, result in results.items()
    }
    common = {
        layer.name: {
            "model": subject.model,
            "weights": subject.title,
            "data": dataset.name,
            "layer": layer.name,
            "depth": depth,
            "features": layer.features,
        }
        for depth, layer in enumerate(plan.layers)
    }
    names = [t.name for t in dataset.targets]
    strengths = {
        name: {t: _strengths(result, i, config) for i, t in enumerate(names)} for name, result in results.items()
    }
    directory.save_table(
        "probes.parquet",
        _columns({**common[n], **s._asdict(), **strengths[n][s.probe]} for n, layer in scores.items() for s in layer),
    )
    classes = {t.name: t.classes for t in dataset.targets}
    directory.save_table(
        "recalls.parquet",
        _columns({**common[n], **r._asdict()} for n, result in results.items() for r in class_recalls(result, classes)),
    )
    title = f"{subject.model} ({subject.title}) on {dataset.name}, {len(dataset)} images"
    singles = [t.name for t in dataset.targets if len(t.attributes) == 1]
    with directory.figure("figures/accuracy_by_layer.png") as path:
        accuracy_by_layer(path, scores, names, title)
    with directory.figure("figures/comparison_by_layer.png") as path:
        comparison_by_layer(path, scores, names, title)
    best = max(scores, key=lambda name: _pick(scores[name], dataset.groups.name, "balanced_accuracy").value)
    _confusion_figures(directory, dataset, best, results[best], title)
    errors = []
    for layer in plan.layers:
        stored = directory.load_arrays(topomap_file(layer.name))
        errors.append({**common[layer.name], "units": layer.grid[2],
                       "quantization_error": float(stored["quantization_error"]),
                       "topographic_error": float(stored["topographic_error"])})  # fmt: skip
        name = f"figures/topomap-{layer.name}.png"
        if not directory.has(name):
            images = jax.device_get(triangulate(stored["positions"]).images(jax.device_put(stored["values"])))
            with directory.figure(name) as path:
                attributes = [(a.name, a.categories) for a in dataset.attributes]
                counts = np.bincount(dataset.group_labels, minlength=dataset.groups.size)
                topomap_figure(path, images, attributes, counts, f"{layer.name} of {title}")
    directory.save_table("topomaps.parquet", _columns(errors))
    shares = variance_rows(directory, dataset, common)
    directory.save_table("variance.parquet", _columns(shares))
    with directory.figure("figures/variance_by_layer.png") as path:
        variance_by_layer(path, shares, title)
    print(accuracy_table(scores, names))
    print(variance_verdict(shares))
    if dataset.name == "calibration":
        print(calibration_verdict(scores))
    print(f"best layer for all groups: {best}; single attributes: {', '.join(singles)}")


def _strengths(result: OutOfFold, target: int, config: SweepConfig) -> dict[str, float | bool]:
    chosen = result.l2[target]
    edges = (min(config.l2), max(config.l2))
    return {
        "l2": float(np.exp(np.log(chosen).mean())),  # geometric mean over outer folds
        "l2_at_edge": bool(np.isin(chosen, edges).any()),  # a wider grid might do better
        "relative_gap": float(result.relative_gap[target]),
    }


def _columns(rows) -> dict[str, list]:
    rows = list(rows)
    return {key: [row[key] for row in rows] for key in rows[0]}


def _pick(scores: Sequence[Score], target: str, metric: str, control: str = "none") -> Score:
    """The score of a target's own probe."""
    return next(s for s in scores if (s.probe, s.target, s.metric, s.control) == (target, target, metric, control))


def _confusion_figures(
    directory: RunDirectory, dataset: FaceDataset, layer: str, result: OutOfFold, title: str
) -> None:
    groups: Target = dataset.groups
    index = [t.name for t in dataset.targets].index(groups.name)
    true, guess = result.truth[0, index], result.predicted[0, index]
    note = f"{layer} (most accurate for all groups), out-of-fold predictions of the {groups.name} probe\n{title}"
    with directory.figure("figures/confusion_groups.png") as path:
        group_confusion(path, confusion(true, guess, groups.size), [a.categories for a in groups.attributes], note)
    true_parts, guess_parts = groups.decode(true), groups.decode(guess)
    counts = {a.name: confusion(true_parts[a.name], guess_parts[a.name], len(a.categories)) for a in groups.attributes}
    with directory.figure("figures/confusion_attributes.png") as path:
        attribute_confusions(path, counts, {a.name: a.categories for a in groups.attributes}, note)


def accuracy_table(scores: dict[str, list[Score]], targets: Sequence[str]) -> str:
    """Balanced accuracy in percent with its interval, one row per layer."""
    width = max(len(name) for name in scores)
    lines = ["balanced accuracy, % [95 % interval], held out"]
    lines.append(" " * width + "  " + "  ".join(f"{t:>20}" for t in targets))
    for name, layer in scores.items():
        cells = [_pick(layer, t, "balanced_accuracy") for t in targets]
        text = [f"{100 * s.value:5.1f} [{100 * s.low:4.1f}, {100 * s.high:5.1f}]" for s in cells]
        lines.append(f"{name:<{width}}  " + "  ".join(f"{cell:>20}" for cell in text))
    chance = [_pick(next(iter(scores.values())), t, "balanced_accuracy").chance for t in targets]
    lines.append(f"{'chance':<{width}}  " + "  ".join(f"{100 * c:>20.1f}" for c in chance))
    return "\n".join(lines)


def calibration_verdict(scores: dict[str, list[Score]]) -> str:
    """Planted strengths beside what the best layer recovers, and where the null attribute's interval lies."""
    lines = ["planted attribute: best possible accuracy (latent value known) and best layer's, chance = 0, perfect = 1"]
    for attribute in PLANTED:
        size = len(attribute.categories)
        bayes = (bayes_accuracy(CalibrationConfig(), [attribute.name]) - 1 / size) / (1 - 1 / size)
        best = max((_pick(layer, attribute.name, "adjusted_balanced_accuracy") for layer in scores.values()),
                   key=lambda s: s.value)  # fmt: skip
        lines.append(
            f"  {attribute.name:<7} {bayes:.2f} possible, {best.value:.2f} [{best.low:.2f}, {best.high:.2f}] found"
        )
    null = [_pick(layer, NULL.name, "balanced_accuracy") for layer in scores.values()]
    covered = sum(s.low <= s.chance <= s.high for s in null)
    lines.append(f"  {NULL.name:<7} 0.00 possible; interval covers chance at {covered} of {len(null)} layers")
    return "\n".join(lines)
