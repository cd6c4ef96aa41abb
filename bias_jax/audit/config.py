"""The options of a run that all instruments share."""

from dataclasses import dataclass
from typing import Literal

from bias_jax.activations import RULES, Rule
from bias_jax.audit.images import NearDuplicates
from bias_jax.errors import InputError
from bias_jax.results.drawings import FORMATS


@dataclass(frozen=True)
class RunConfig:
    """How activations are made, and the seed of a run."""

    layers: tuple[str, ...] = ()  # layers to audit (default: all blocks of the network)
    # reduction of feature maps: mean (a feature a channel), grid (at most 8 x 8, as published), window and subsample
    # (its other readings), equal (about 8192 features in every layer), none (every position)
    pooling: Rule = "mean"
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"  # arithmetic of the network
    batch_size: int = 32  # images per forward pass
    # how activations lie in memory: bfloat16 takes half of it, and rounds them to 8 bits; all that is computed from
    # them is as exact as before
    storage: Literal["float32", "bfloat16"] = "float32"
    memory_gib: float | None = None  # memory for activations (default: a quarter of the device's)
    devices: int | None = None  # number of devices to use (default: all there are); the numbers do not depend on it
    skip_unreadable: bool = False  # leave out absent and damaged images and say how many
    drop_contradictory: bool = False  # leave out pictures that are there twice with different labels
    # pictures that look alike, such as resized copies: report their number, join them so that they stay in one fold and
    # count as one person, or ignore them
    near_duplicates: NearDuplicates = "report"
    formats: tuple[str, ...] = ("png", "svg")  # of figures, of png, svg and pdf; a report shows svg
    seed: int = 0  # of everything random: sampling, folds, random weights, training, maps and bootstrap

    def __post_init__(self) -> None:
        if self.pooling not in RULES:
            raise InputError(f"unknown pooling {self.pooling!r}", remedy=f"choose one of {', '.join(RULES)}")
        if unknown := [kind for kind in self.formats if kind not in FORMATS]:
            raise InputError(f"unknown format {unknown[0]!r} of figures", remedy=f"choose of {', '.join(FORMATS)}")
        if self.batch_size < 1:
            raise InputError("batch size must be positive", remedy="give the number of images per forward pass")
