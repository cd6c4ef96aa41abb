"""From the finished layers to tidy tables and figures."""

from collections.abc import Sequence

import jax
import numpy as np

from bias_jax.activations import PIXELS, MemoryPlan
from bias_jax.data import FaceDataset, Target, bayes_accuracy
from bias_jax.data.calibration import NULL, PLANTED, CalibrationConfig
from bias_jax.probes import HELD_OUT, OutOfFold, Score, confusion
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
from experiments.probe_tables import columns, probe_tables
from experiments.subject import Subject
from experiments.variance_summary import variance_rows, variance_verdict


def summarise(
    directory: RunDirectory, config: SweepConfig, dataset: FaceDataset, subject: Subject, plan: MemoryPlan
) -> None:
    """Write tables and figures, and print the accuracy of every layer."""
    results = {layer.name: OutOfFold(**directory.load_arrays(probes_file(layer.name))) for layer in plan.layers}
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
    scores = probe_tables(directory, config, dataset, results, common)
    title = f"{subject.model} ({subject.title}) on {dataset.name}, {len(dataset)} images"
    singles = [t.name for t in dataset.targets if len(t.attributes) == 1]
    with directory.figure("figures/accuracy_by_layer.png") as path:
        accuracy_by_layer(path, scores, names, title)
    with directory.figure("figures/comparison_by_layer.png") as path:
        comparison_by_layer(path, scores, names, title)
    network_layers = [name for name in scores if name != PIXELS]
    best = max(network_layers, key=lambda name: _pick(scores[name], dataset.groups.name, "balanced_accuracy").value)
    _confusion_figures(directory, dataset, best, results[best], title)
    errors = []
    for layer in (layer for layer in plan.layers if layer.name != PIXELS):
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
    directory.save_table("topomaps.parquet", columns(errors))
    shares = variance_rows(directory, dataset, common)
    directory.save_table("variance.parquet", columns(shares))
    with directory.figure("figures/variance_by_layer.png") as path:
        variance_by_layer(path, shares, title)
    print(accuracy_table(scores, names))
    print(variance_verdict(shares))
    if dataset.name == "calibration":
        print(calibration_verdict(scores))
    print(f"best layer for all groups: {best}; single attributes: {', '.join(singles)}")


def _pick(scores: Sequence[Score], target: str, metric: str, control: str = "none") -> Score:
    """The score of a target's own probe."""
    wanted = (target, target, HELD_OUT, metric, control)
    return next(s for s in scores if (s.probe, s.target, s.split, s.metric, s.control) == wanted)


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
        found = [_pick(s, attribute.name, "adjusted_balanced_accuracy") for n, s in scores.items() if n != PIXELS]
        best = max(found, key=lambda s: s.value)
        lines.append(
            f"  {attribute.name:<7} {bayes:.2f} possible, {best.value:.2f} [{best.low:.2f}, {best.high:.2f}] found"
        )
    null = [_pick(layer, NULL.name, "balanced_accuracy") for name, layer in scores.items() if name != PIXELS]
    covered = sum(s.low <= s.chance <= s.high for s in null)
    lines.append(f"  {NULL.name:<7} 0.00 possible; interval covers chance at {covered} of {len(null)} layers")
    return "\n".join(lines)
