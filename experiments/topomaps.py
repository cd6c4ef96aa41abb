"""Topographic activation maps of every layer of a network: every layout, every group, measured.

    python -m experiments.topomaps --data fairface --data-dir FAIRFACE --weights CHECKPOINT --order dendrogram
    python -m experiments.topomaps --compare

Without --data the drawn calibration faces are used, without --weights the untrained network. With --compare no maps
are drawn, but all layouts are measured on all layers beside a random one. A run that was interrupted continues when
the same command is given.
"""

import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bias_jax.activations import plan_memory
from bias_jax.data import inspect_images
from bias_jax.errors import InputError
from bias_jax.report import layout_comparison, topomap_figure, topomap_sequence
from bias_jax.results import RunDirectory, device, exclusive, versions
from bias_jax.topomaps import align, dendrogram_order, rounded, triangulate
from experiments.command_line import parse, run
from experiments.datasets import DESCRIPTIONS, read_dataset
from experiments.stopwatch import Stopwatch
from experiments.subject import load_subject
from experiments.topomap_stages import Grouping, layout_file, load_profiles, measure_layouts, measure_means
from experiments.topomaps_config import TopomapsConfig

# What does not decide the numbers, or is in the identity as something else.
ELSEWHERE = ("out", "data_dir", "table", "models", "weights", "predictions", "order", "round", "align", "memory_gib")
EXTRAS = {"tsne": "sklearn", "umap": "umap"}
SHOWN = {
    "trustworthiness_10": "trust@10", "continuity_10": "contin@10", "distance_correlation": "dist.corr",
    "morans_i": "Moran's I", "groups_with_order": "p<=.05", "disparity_of_seeds": "disparity",
    "resize_area": "resize", "blur_area": "blur",
}  # fmt: skip


def available(config: TopomapsConfig) -> TopomapsConfig:
    """The configuration without layouts whose extra is missing: said aloud when all are compared, refused otherwise."""
    missing = [m for m in config.methods if m in EXTRAS and importlib.util.find_spec(EXTRAS[m]) is None]
    if not missing:
        return config
    remedy = "pip install -e '.[layouts]'"
    if config.layouts:
        raise InputError(f"layout {missing[0]!r} needs {EXTRAS[missing[0]]}", remedy=remedy)
    print(f"note: left out, not installed: {', '.join(missing)} ({remedy})")
    return replace(config, layouts=tuple(m for m in config.methods if m not in missing))


def draw(config: TopomapsConfig, model: str, weights: str, out: Path) -> None:
    """One network from images to figures."""
    watch = Stopwatch()
    with watch("read data"):
        inspection = inspect_images(read_dataset(config), skip_unreadable=config.skip_unreadable)
        dataset = inspection.dataset
    with watch("load weights"):
        subject = load_subject(model, weights, dataset, inspection.image_size, config.seed)
    # A layer takes as much memory as the means of its groups, however many images there are.
    plan = plan_memory(
        model, subject.params, images=1, layers=subject.layers(config.layers), rule=config.pooling,
        crop=subject.transform.crop, budget_gib=config.memory_gib,
    )  # fmt: skip
    grouping = Grouping(config, dataset, plan.layers, inspection.sha256)
    print(f"{dataset.name}: {len(dataset)} images in {grouping.target.size} groups. {DESCRIPTIONS[config.data]}")
    for note in dataset.notes:
        print(f"  note: {note}")
    print(f"{model}: {subject.title}")
    identity = {
        "config": {**{k: v for k, v in asdict(config).items() if k not in ELSEWHERE}, "model": model},
        "data_sha256": inspection.sha256,
        "weights_sha256": subject.sha256,
        "labels": {layer: np.bincount(mine).tolist() for layer, mine in grouping.labels.items()},
        "layers": [layer.name for layer in plan.layers],
        "versions": versions(),
        "device": device(),
    }
    directory = RunDirectory(out, identity, {"weights": subject.title, "notes": dataset.notes})
    layers = [layer.name for layer in plan.layers]
    with jax.transfer_guard("disallow"):
        with watch("group means"):
            measure_means(directory, config, dataset, inspection.image_size, subject, plan, grouping)
        with watch("layouts and measures"):
            measure_layouts(directory, config, layers, grouping.chosen)
        title = f"{model} ({subject.title}) on {dataset.name}, {len(dataset)} images"
        rows = read_measures(
            directory, config, layers, {"model": model, "weights": subject.title, "data": dataset.name}
        )
        directory.save_table("layouts.parquet", {key: [row[key] for row in rows] for key in rows[0]})
        with watch("figures"):
            if config.compare:
                with directory.figure("figures/layouts_by_layer.png") as path:
                    layout_comparison(path, rows, SHOWN, title)
            else:
                draw_maps(directory, config, layers, grouping, title)
    print(table(rows))
    print("wall time: " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in watch.seconds.items()))
    print(f"results: {out}/ (run.json, layouts.parquet, figures/)")


def read_measures(
    directory: RunDirectory, config: TopomapsConfig, layers: list[str], common: dict[str, str]
) -> list[dict[str, Any]]:
    """One row per layer, layout and force layout."""
    rows = []
    for depth, layer in enumerate(layers):
        for method in config.methods:
            stored = directory.load_arrays(layout_file(layer, method))
            for force in config.spreads:
                measures = json.loads(str(stored[f"{force}.measures"]))
                rows.append({**common, "layer": layer, "depth": depth, "layout": method, "force": force, **measures})
    return rows


def draw_maps(
    directory: RunDirectory, config: TopomapsConfig, layers: list[str], grouping: Grouping, title: str
) -> None:
    """A figure per layer and layout; looks are not part of a run's identity, so figures are always drawn anew."""
    names = [(a.name, a.categories) for a in grouping.attributes]
    for method in config.methods:
        for force in config.spreads:
            first: tuple[np.ndarray, np.ndarray] | None = None
            for layer in layers:
                _, values, counts = load_profiles(directory, layer, grouping.chosen, config.size_weighted)
                positions = directory.load_arrays(layout_file(layer, method))[force]
                if force == "none" and (config.round or config.align):  # a disc can be turned, a square would shrink
                    positions = rounded(positions)
                if config.align:
                    if first is not None:
                        positions = align(first[0], positions, first[1], values)
                    first = first or (positions, values)
                images = jax.device_get(triangulate(positions, 100).images(jax.device_put(values)))
                kind = method if force == "none" else f"{method}-{force}"
                above = f"{layer}, layout {kind}, of {title}"
                with directory.figure(f"figures/topomap-{layer}-{kind}.png") as path:
                    if config.order == "table":
                        topomap_figure(path, images, names, counts, above)
                    else:
                        order = dendrogram_order(values, config.metric)
                        order = order[counts[order] > 0]
                        classes = [grouping.target.classes[g] for g in order]
                        topomap_sequence(path, images[order], classes, counts[order], above)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Means over layers, one line per layout."""
    lines = ["mean over layers; p<=.05: share of groups with order; disparity, resize, blur: less is better"]
    lines.append(f"{'layout':<14}" + "".join(f"{name:>11}" for name in SHOWN.values()))
    for method, force in dict.fromkeys((row["layout"], row["force"]) for row in rows):
        mine = [row for row in rows if (row["layout"], row["force"]) == (method, force)]
        means = [np.mean([row[key] for row in mine]) for key in SHOWN]
        lines.append(f"{method + ('' if force == 'none' else ' ' + force):<14}" + "".join(f"{m:>11.3g}" for m in means))
    return "\n".join(lines)


def topomaps(config: TopomapsConfig) -> int:
    """Maps of every model of the configuration."""
    config = available(config)
    weights = config.weights * len(config.models) if len(config.weights) == 1 else config.weights
    for model, source in zip(config.models, weights, strict=True):
        name = f"{model}-{config.data}-{'layouts' if config.compare else 'topomaps'}"
        out = Path(config.out or "runs") / name if len(config.models) > 1 or not config.out else Path(config.out)
        with exclusive(out):
            draw(config, model, source, out)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run(lambda: topomaps(parse(TopomapsConfig, argv, __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
