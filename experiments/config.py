"""Everything that can be chosen about a sweep."""

from dataclasses import dataclass
from typing import Literal

from bias_jax.activations import RULES
from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS
from bias_jax.probes import ProbeConfig
from experiments.command_line import option


@dataclass(frozen=True)
class DataConfig:
    """Which images."""

    data: Literal["calibration", "fairface", "utkface", "table"] = option("calibration", "which images")
    data_dir: str = option("", "folder or zip of the data set; for --data table, of the images (default: the CSV's)")
    table: str = option("", "CSV of images and labels, for --data table")
    image_column: str = option("file", "its column with the images' paths, relative to --data-dir")
    attributes: tuple[str, ...] = option((), "its columns with attributes, 1 to 6; their categories are sorted")
    categories: tuple[str, ...] = option((), "order of an attribute's categories, e.g. age=young|old,size=s|m|l")
    padding: Literal["0.25", "1.25"] = option("0.25", "FairFace crop, where --data-dir holds both")
    splits: Literal["train", "val", "both"] = option("train", "FairFace splits to draw from")
    per_group: int | None = option(None, "images per intersectional group at most (default: 128, calibration: 10)")
    skip_unreadable: bool = option(False, "leave out absent and damaged images and say how many")
    repair_labels: bool = option(False, "accept ages that a spreadsheet turned into dates (Oct-19 for 10-19)")
    seed: int = option(0, "of everything random: sampling, folds, random weights, training, maps and bootstrap")

    def __post_init__(self) -> None:
        require({
            "--per-group must be positive": self.per_group is None or self.per_group > 0,
            f"--data {self.data} needs --data-dir": self.data not in ("fairface", "utkface") or bool(self.data_dir),
            "--data table needs --table": self.data != "table" or bool(self.table),
            "--data table needs 1 to 6 --attributes": self.data != "table" or 1 <= len(set(self.attributes)) <= 6,
        })  # fmt: skip


@dataclass(frozen=True)
class AuditConfig(DataConfig):
    """Which images, network and layers: what every audit of faces begins with."""

    models: tuple[str, ...] = option(("resnet50",), f"networks, of {', '.join(NETWORKS)}")
    weights: tuple[str, ...] = option(("random",), "checkpoint folder of each network, or random (untrained control)")
    layers: tuple[str, ...] = option((), "layers to audit (default: all blocks)")
    pooling: Literal[tuple(RULES)] = option("mean", "; ".join(f"{k}: {v}" for k, v in RULES.items()))  # type: ignore[valid-type]
    precision: Literal["float32", "tf32", "bfloat16"] = option("float32", "arithmetic of the network")
    batch_size: int = option(32, "images per forward pass")
    memory_gib: float | None = option(None, "memory for activations (default: a quarter of the device's)")
    som_epochs: int = option(50, "passes of the self-organizing map over the units")
    out: str = option("", "run directory (default: runs/<model>-<data>)")

    def __post_init__(self) -> None:
        super().__post_init__()
        require({
            "--batch-size must be positive": self.batch_size > 0,
            "--som-epochs must be positive": self.som_epochs > 0,
            "--models must name at least one network": len(self.models) > 0,
            "--weights must be given once per model": len(self.weights) in (1, len(self.models)),
        })  # fmt: skip


@dataclass(frozen=True)
class SweepConfig(AuditConfig):
    """One sweep; every field is an option of the command line."""

    l2: tuple[float, ...] = option(ProbeConfig.l2, "strengths of the probes' L2 penalty to choose from")
    folds: int = option(ProbeConfig.folds, "outer folds, at least 3")
    shuffles: int = option(ProbeConfig.shuffles, "repeats of the shuffled-label control")
    tolerance: float = option(ProbeConfig.tolerance, "certified relative gap at which a probe is solved")
    draws: int = option(ProbeConfig.draws, "bootstrap draws for intervals")
    permutations: int = option(999, "of images, for the p-values and intervals of the variance partition")
    stimuli: str = option("", "folder of association tests, see experiments.ieat; run as a last stage")
    disparity: bool = option(False, "multi-label heads on the attributes' categories, see experiments.disparity; last")

    def __post_init__(self) -> None:
        super().__post_init__()
        require({
            "--folds must be at least 3": self.folds >= 3,
            "--l2 must be positive numbers": len(self.l2) > 0 and all(0 < v < float("inf") for v in self.l2),
            "--shuffles must not be negative": self.shuffles >= 0,
            "--tolerance must be positive": self.tolerance > 0,
            "--draws must be at least 100": self.draws >= 100,
            "--permutations must be at least 99": self.permutations >= 99,
        })  # fmt: skip

    @property
    def probes(self) -> ProbeConfig:
        return ProbeConfig(self.l2, self.folds, self.shuffles, self.tolerance, draws=self.draws)


def require(checks: dict[str, bool]) -> None:
    """Refuse a configuration: sentence -> whether it is fulfilled.

    Raises:
        InputError: the first that is not.
    """
    for problem, fine in checks.items():
        if not fine:
            raise InputError(problem, remedy="see --help")
