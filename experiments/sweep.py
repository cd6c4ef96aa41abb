"""Audit every layer of a network: linear probes and topographic activation maps, in one resumable run.

Without arguments it is a self-test: drawn faces with planted attributes go through an untrained ResNet50, the planted
order of strengths should come out, and the null attribute should stay at chance. On real data:

    python -m experiments.sweep --data fairface --data-dir FAIRFACE --weights CHECKPOINT

CHECKPOINT is made by `python -m converters resnet50 --source resnet50-0676ba61.pth --out CHECKPOINT`; without
--weights the network is the untrained control. A run that was interrupted continues when the same command is given.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import jax

from bias_jax.activations import RULES, plan_memory
from bias_jax.data import (
    CalibrationConfig,
    FaceDataset,
    balanced_subset,
    calibration_faces,
    inspect_images,
    read_fairface,
    stratified_folds,
)
from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS
from bias_jax.probes import ProbeConfig
from bias_jax.results import RunDirectory, device, exclusive, versions
from experiments.analyses import analyse_layers
from experiments.command_line import option, parse, run
from experiments.subject import load_subject
from experiments.summary import summarise

DESCRIPTIONS = {
    "calibration": "Self-test on drawn faces with planted attributes: it shows that the tool recovers what was "
    "planted and finds nothing in the null attribute. It says nothing about people.",
    "fairface": "FairFace labels are the perception of annotators, not self-identification.",
}


@dataclass(frozen=True)
class SweepConfig:
    """Everything that can be chosen about a sweep."""

    data: Literal["calibration", "fairface"] = option("calibration", "which images")
    data_dir: str = option("", "folder of the data set, for --data fairface")
    splits: Literal["train", "val", "both"] = option("train", "FairFace splits to draw from")
    per_group: int | None = option(None, "images per intersectional group at most (default: 128, calibration: 10)")
    skip_unreadable: bool = option(False, "leave out absent and damaged images and say how many")
    repair_labels: bool = option(False, "accept ages that a spreadsheet turned into dates (Oct-19 for 10-19)")
    models: tuple[str, ...] = option(("resnet50",), f"networks, of {', '.join(NETWORKS)}")
    weights: tuple[str, ...] = option(("random",), "checkpoint folder of each network, or random (untrained control)")
    layers: tuple[str, ...] = option((), "layers to audit (default: all blocks)")
    pooling: Literal[tuple(RULES)] = option("mean", "; ".join(f"{k}: {v}" for k, v in RULES.items()))  # type: ignore[valid-type]
    precision: Literal["float32", "tf32", "bfloat16"] = option("float32", "arithmetic of the network")
    batch_size: int = option(32, "images per forward pass")
    memory_gib: float | None = option(None, "memory for activations (default: a quarter of the device's)")
    l2: tuple[float, ...] = option(ProbeConfig.l2, "strengths of the probes' L2 penalty to choose from")
    folds: int = option(ProbeConfig.folds, "outer folds, at least 3")
    shuffles: int = option(ProbeConfig.shuffles, "repeats of the shuffled-label control")
    tolerance: float = option(ProbeConfig.tolerance, "certified relative gap at which a probe is solved")
    draws: int = option(ProbeConfig.draws, "bootstrap draws for intervals")
    som_epochs: int = option(50, "passes of the self-organizing map over the units")
    seed: int = option(0, "of sampling, folds, random weights, shuffles, maps and bootstrap")
    out: str = option("", "run directory (default: runs/<model>-<data>)")

    def __post_init__(self) -> None:
        checks = {
            "--folds must be at least 3": self.folds >= 3,
            "--per-group must be positive": self.per_group is None or self.per_group > 0,
            "--batch-size must be positive": self.batch_size > 0,
            "--l2 must be positive numbers": len(self.l2) > 0 and all(0 < v < float("inf") for v in self.l2),
            "--shuffles must not be negative": self.shuffles >= 0,
            "--tolerance must be positive": self.tolerance > 0,
            "--draws must be at least 100": self.draws >= 100,
            "--som-epochs must be positive": self.som_epochs > 0,
            "--models must name at least one network": len(self.models) > 0,
            "--data fairface needs --data-dir": self.data != "fairface" or bool(self.data_dir),
            "--weights must be given once per model": len(self.weights) in (1, len(self.models)),
        }
        for problem, fine in checks.items():
            if not fine:
                raise InputError(problem, remedy="see --help")

    @property
    def probes(self) -> ProbeConfig:
        return ProbeConfig(self.l2, self.folds, self.shuffles, self.tolerance, draws=self.draws)


class Stopwatch:
    """Wall time of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def read_data(config: SweepConfig) -> FaceDataset:
    """The balanced subset that is audited."""
    if config.data == "calibration":
        return calibration_faces(
            CalibrationConfig(per_group=config.per_group or CalibrationConfig.per_group), config.seed
        )
    dataset = read_fairface(
        config.data_dir,
        splits=config.splits,
        skip_unreadable=config.skip_unreadable,
        repair_labels=config.repair_labels,
    )
    return balanced_subset(dataset, config.per_group or 128, config.seed)


def audit(config: SweepConfig, model: str, weights: str, out: Path) -> None:
    """One network from images to figures."""
    watch = Stopwatch()
    with watch("read data"):
        inspection = inspect_images(read_data(config), skip_unreadable=config.skip_unreadable)
        dataset = inspection.dataset
        folds = stratified_folds(dataset, config.folds, config.seed)
    with watch("load weights"):
        subject = load_subject(model, weights, dataset, inspection.image_size, config.seed)
    plan = plan_memory(
        model,
        subject.params,
        images=len(dataset),
        layers=subject.layers(config.layers),
        rule=config.pooling,
        crop=subject.transform.crop,
        budget_gib=config.memory_gib,
    )
    print(f"{dataset.name}: {len(dataset)} images in {dataset.groups.size} groups. {DESCRIPTIONS[config.data]}")
    for note in dataset.notes:
        print(f"  note: {note}")
    print(f"{model}: {subject.title}\n{plan}")
    settings = {k: v for k, v in asdict(config).items() if k not in ("out", "data_dir", "models", "weights")}
    identity = {
        "config": {**settings, "model": model},
        "data_sha256": inspection.sha256,
        "weights_sha256": subject.sha256,
        "versions": versions(),
        "device": device(),
        "waves": [[layer.name for layer in wave] for wave in plan.waves],
    }
    record = {"weights": subject.title, "data_dir": config.data_dir, "images": len(dataset), "notes": dataset.notes}
    directory = RunDirectory(out, identity, record)
    with jax.transfer_guard("disallow"):  # nothing is copied to or from the device by accident
        analyse_layers(directory, config, dataset, inspection.image_size, subject, plan, folds, watch)
        with watch("tables and figures"):
            summarise(directory, config, dataset, subject, plan)
    print("wall time: " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in watch.seconds.items()))
    print(f"results: {out}/ (run.json, probes.parquet, recalls.parquet, topomaps.parquet, figures/)")


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
