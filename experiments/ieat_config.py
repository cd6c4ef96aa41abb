"""Everything that can be chosen about association tests."""

from dataclasses import dataclass
from typing import Literal

from bias_jax.activations import RULES
from bias_jax.association.sampled import MOST_DRAWS
from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS
from experiments.command_line import option


@dataclass(frozen=True)
class IeatConfig:
    """One run of association tests; every field is an option of the command line."""

    stimuli: str = option("", "folder of tests, or a download of ryansteed/ieat")
    tests: tuple[str, ...] = option((), "names of the tests (default: all that are complete)")
    data_dir: str = option("", "FairFace, for --x and --y")
    splits: Literal["train", "val", "both"] = option("train", "FairFace splits to draw from")
    x: str = option("", "first group of FairFace, e.g. 'White / 20-29 / Male' or 'White / Male'")
    y: str = option("", "second group of FairFace")
    a: str = option("", "folder of the first attribute's images, for --x and --y")
    b: str = option("", "folder of the second attribute's images")
    per_group: int = option(40, "images of --x and of --y at most")
    skip_unreadable: bool = option(False, "leave out absent and damaged images and say how many")
    model: str = option("resnet50", f"network, of {', '.join(NETWORKS)}")
    weights: str = option("random", "checkpoint folder, or random (only the untrained control)")
    layers: tuple[str, ...] = option((), "layers to test (default: all blocks)")
    pooling: Literal[tuple(RULES)] = option("mean", "; ".join(f"{k}: {v}" for k, v in RULES.items()))  # type: ignore[valid-type]
    precision: Literal["float32", "tf32", "bfloat16"] = option("float32", "arithmetic of the network")
    batch_size: int = option(32, "images per forward pass")
    memory_gib: float | None = option(None, "memory for activations (default: a quarter of the device's)")
    method: Literal["auto", "exact", "bounds", "sampled"] = option(
        "auto", "p-values: exact where feasible, else bounds"
    )
    alternative: Literal["two-sided", "greater"] = option("two-sided", "greater is the published one-sided test")
    draws: int = option(1_000_000, "sampled relabellings, for max-T over layers and --method sampled")
    bootstrap: int = option(4000, "bootstrap draws for intervals of d")
    seed: int = option(0, "of random weights, relabellings and bootstrap")
    out: str = option("", "run directory (default: runs/<model>-ieat)")

    def __post_init__(self) -> None:
        groups = (self.data_dir, self.x, self.y, self.a, self.b)
        checks = {
            "give either --stimuli, or --data-dir with --x, --y, --a and --b": bool(self.stimuli) != any(groups),
            "--data-dir, --x, --y, --a and --b belong together": not any(groups) or all(groups),
            "--per-group must be positive": self.per_group > 0,
            "--batch-size must be positive": self.batch_size > 0,
            f"--draws must be from 1000 to {MOST_DRAWS}": 1000 <= self.draws <= MOST_DRAWS,
            "--bootstrap must be at least 100": self.bootstrap >= 100,
        }
        for problem, fine in checks.items():
            if not fine:
                raise InputError(problem, remedy="see --help")
