"""Audit every layer of a network: linear probes, topographic maps and variance partition, in one resumable run.

Without arguments it is a self-test: drawn faces with planted attributes go through an untrained ResNet50, the planted
order of strengths should come out, and the null attribute should stay at chance. On real data:

    python -m experiments.sweep --data fairface --data-dir FAIRFACE --weights CHECKPOINT [--stimuli STIMULI]

CHECKPOINT is made by `python -m converters resnet50 --source resnet50-0676ba61.pth --out CHECKPOINT`; without
--weights the network is the untrained control. A run that was interrupted continues when the same command is given.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import jax

from bias_jax.activations import PIXELS, plan_memory
from bias_jax.data import FaceDataset, inspect_images, stratified_folds
from bias_jax.errors import InputError
from bias_jax.results import RunDirectory, device, exclusive, versions
from experiments.analyses import analyse_layers
from experiments.command_line import parse, run
from experiments.config import SweepConfig
from experiments.datasets import DESCRIPTIONS, fold_notes, read_dataset
from experiments.disparity import disparity
from experiments.disparity_config import DisparityConfig
from experiments.ieat import ieat_run
from experiments.ieat_config import IeatConfig
from experiments.stopwatch import Stopwatch
from experiments.subject import load_subject
from experiments.summary import summarise

ELSEWHERE = ("out", "data_dir", "table", "stimuli", "models", "weights")  # not part of a run's identity as text


def audit(config: SweepConfig, model: str, weights: str, out: Path) -> None:
    """One network from images to figures."""
    watch = Stopwatch()
    with watch("read data"):
        inspection = inspect_images(read_dataset(config), skip_unreadable=config.skip_unreadable)
        dataset = inspection.dataset
        if len(dataset) < config.folds:
            problem = f"has {len(dataset)} images, fewer than the {config.folds} folds"
            raise InputError(problem, file=dataset.source, remedy="add images")
        folds = stratified_folds(dataset, config.folds, config.seed)
    with watch("load weights"):
        subject = load_subject(model, weights, dataset, inspection.image_size, config.seed)
    plan = plan_memory(
        model,
        subject.params,
        images=len(dataset),
        layers=(PIXELS, *subject.layers(tuple(x for x in config.layers if x != PIXELS))),
        rule=config.pooling,
        crop=subject.transform.crop,
        budget_gib=config.memory_gib,
    )
    print(f"{dataset.name}: {len(dataset)} images in {dataset.groups.size} groups. {DESCRIPTIONS[config.data]}")
    for note in (*dataset.notes, *fold_notes(dataset, config.folds)):
        print(f"  note: {note}")
    print(f"{model}: {subject.title}\n{plan}")
    settings = {k: v for k, v in asdict(config).items() if k not in ELSEWHERE}
    identity = {
        "config": {**settings, "model": model},
        "data_sha256": inspection.sha256,
        "weights_sha256": subject.sha256,
        "versions": versions(),
        "device": device(),
        "waves": [[layer.name for layer in wave] for wave in plan.waves],
    }
    record = {
        "weights": subject.title,
        "data_dir": config.data_dir or config.table,
        "images": len(dataset),
        "categories": {a.name: a.categories for a in (*dataset.attributes, *dataset.solo_attributes)},
        "targets": {t.name: [(a.name, len(a.categories)) for a in t.attributes] for t in dataset.targets},
        "groups": dataset.groups.name,
        "notes": dataset.notes,
    }
    directory = RunDirectory(out, identity, record)
    with jax.transfer_guard("disallow"):  # nothing is copied to or from the device by accident
        analyse_layers(directory, config, dataset, inspection.image_size, subject, plan, folds, watch)
        with watch("tables and figures"):
            summarise(directory, config, dataset, subject, plan)
    if config.stimuli:
        with watch("association tests"):
            ieat_run(associations(config, model, weights, out))
    if config.disparity:
        with watch("multi-label heads"):
            disparity(multilabel_heads(config, dataset, model, weights, out))
    print("wall time: " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in watch.seconds.items()))
    print(f"results: {out}/ (run.json, probes.parquet, recalls.parquet, topomaps.parquet, variance.parquet, figures/)")


def associations(config: SweepConfig, model: str, weights: str, out: Path) -> IeatConfig:
    """Association tests of the same network, in a run directory of their own below that of the sweep."""
    same = ("layers", "pooling", "precision", "batch_size", "memory_gib", "skip_unreadable", "seed", "stimuli")
    fields = {name: getattr(config, name) for name in same}
    return IeatConfig(**fields, model=model, weights=weights, out=str(out / "associations"))


def multilabel_heads(config: SweepConfig, dataset: FaceDataset, model: str, weights: str, out: Path) -> DisparityConfig:
    """Multi-label heads of the same network, in a run directory of their own below that of the sweep.

    All categories are labels, so groups are told by what the heads predict; maps of images are left to the own command.
    """
    same = ("data", "data_dir", "table", "image_column", "attributes", "categories", "padding", "splits", "per_group",
            "skip_unreadable", "repair_labels", "layers", "pooling", "precision", "batch_size", "memory_gib", "folds",
            "draws", "seed")  # fmt: skip
    fields = {name: getattr(config, name) for name in same}
    labels = tuple(a.name for a in dataset.attributes)
    return DisparityConfig(
        **fields, label_attributes=labels, examples=0, model=model, weights=weights, out=str(out / "disparity")
    )


def sweep(config: SweepConfig) -> int:
    """Audit every model of the configuration."""
    weights = config.weights * len(config.models) if len(config.weights) == 1 else config.weights
    for model, source in zip(config.models, weights, strict=True):
        name = f"{model}-{config.data}"
        out = Path(config.out or "runs") / name if len(config.models) > 1 or not config.out else Path(config.out)
        with exclusive(out):
            audit(config, model, source, out)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run(lambda: sweep(parse(SweepConfig, argv, __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
