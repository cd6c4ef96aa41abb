"""Everything that can be chosen about multi-label heads and who they recognise."""

from dataclasses import dataclass
from typing import Literal

from bias_jax.activations import RULES
from bias_jax.disparity import LOSSES, HeadConfig
from bias_jax.networks import NETWORKS
from experiments.command_line import option
from experiments.config import DataConfig, require


@dataclass(frozen=True)
class DisparityConfig(DataConfig):
    """One run; every field is an option of the command line.

    The data are the images to evaluate on, and their attributes the groups; calibration plants a disparity.
    """

    label_attributes: tuple[str, ...] = option((), "attributes whose categories are the labels (FairFace: age,race)")
    labels: str = option("", "file of labels: Open Images, tuning labels or image,labels; instead of attributes")
    machine_labels: str = option("", "further labels made by a machine, in Open Images' layout")
    machine_confidence: float = option(0.5, "labels of a machine with less confidence are ignored")
    descriptions: str = option("", "CSV of label code and display name")
    images: str = option("", "folder of the images of --labels, to train on (default: --labels describes --data)")
    vocabulary: tuple[str, ...] = option((), "labels to train (default: all)")
    min_images: int = option(10, "a label is trained if it is present in so many images")
    max_labels: int = option(7178, "number of labels at most, the most frequent ones")
    unverified: Literal["negative", "mask"] = option("negative", "a label that nobody verified is absent, or unknown")
    truth: tuple[str, ...] = option((), "labels that are right for a category and wrong for the attribute's others, "
                                        "for --images: female=Woman|Girl,male=Man|Boy")  # fmt: skip
    always: tuple[str, ...] = option((), "labels that are right for every evaluated image, for --images: Person")
    families: tuple[str, ...] = option((), "families of harmful labels: crime=Handcuffs|Prison,animal=Ape|Monkey")
    family_top: int = option(5, "an association is a label of the family among so many best")
    model: str = option("resnet50", f"network, of {', '.join(NETWORKS)}")
    weights: str = option("random", "checkpoint folder, or random (untrained control)")
    layers: tuple[str, ...] = option((), "layers with heads (default: all blocks; calibration: the first four)")
    pooling: Literal[tuple(RULES)] = option("mean", "; ".join(f"{k}: {v}" for k, v in RULES.items()))  # type: ignore[valid-type]
    precision: Literal["float32", "tf32", "bfloat16"] = option("float32", "arithmetic of the network")
    batch_size: int = option(32, "images per forward pass")
    memory_gib: float | None = option(None, "memory for activations (default: a quarter of the device's)")
    losses: tuple[str, ...] = option(HeadConfig.losses, "losses to compare")
    learning_rates: tuple[float, ...] = option(HeadConfig.learning_rates, "chosen per loss on tuning images")
    weight_decays: tuple[float, ...] = option(HeadConfig.weight_decays, "chosen per loss on tuning images")
    epochs: int = option(HeadConfig.epochs, "passes over the training images")
    minibatch: int = option(HeadConfig.batch_size, "training images per step")
    optimiser: Literal["nesterov", "adam"] = option("nesterov", "of the heads; nesterov has momentum 0.9")
    schedule: Literal["cosine", "steps", "constant"] = option("cosine", "of the learning rate")
    seeds: int = option(2, "trainings with other minibatches and initial weights")
    folds: int = option(5, "outer folds, at least 3; one of the others is for tuning. Without effect with --images")
    decision: Literal["matched", "tuned", "fixed", "top"] = option(
        "matched", "matched: per label as many images as have it; tuned: best F2; both on tuning images; "
                   "fixed: --threshold; top: 2 to 5 labels of the --top-pool best, see the Inclusive Images challenge"
    )  # fmt: skip
    threshold: float = option(0.5, "probability above which a label is given, for --decision fixed and top")
    top_pool: int = option(150, "classes that are scored against all others, for --decision top")
    report_layer: str = option("", "layer of tables by group and of figures (default: the best on tuning images)")
    report_labels: tuple[str, ...] = option((), "labels with numbers of their own (default: the 30 most frequent)")
    draws: int = option(1000, "bootstrap draws, and permutations of group labels")
    examples: int = option(4, "images on each contact sheet; 0: no maps")
    attention: int = option(8, "images per group for the average attention")
    cam_layer: str = option("", "layer of Grad-CAM (default: the layer of the head)")
    occlusion: int = option(7, "cells per side of occlusion maps")
    out: str = option("", "run directory (default: runs/<model>-<data>-disparity)")

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [loss for loss in self.losses if loss not in LOSSES]
        rates = (*self.learning_rates, *(1.0 + w for w in self.weight_decays))
        require({
            f"--losses must be of {', '.join(LOSSES)}": not unknown and 0 < len(self.losses) == len(set(self.losses)),
            "--learning-rates must be positive numbers": len(self.learning_rates) > 0 and all(r > 0 for r in rates),
            "--weight-decays must be numbers from 0": len(self.weight_decays) > 0
            and min(self.weight_decays) >= 0,
            "--epochs, --minibatch, --seeds and --batch-size must be positive": min(
                self.epochs, self.minibatch, self.seeds, self.batch_size
            ) > 0,
            "--folds must be at least 3": self.folds >= 3,
            "--threshold must lie between 0 and 1": 0 < self.threshold < 1,
            "--draws must be at least 100": self.draws >= 100,
            "--examples and --attention must not be negative": min(self.examples, self.attention) >= 0,
            "--occlusion must be from 1 to 32": 1 <= self.occlusion <= 32,
            "--min-images, --max-labels and --family-top must be positive": min(
                self.min_images, self.max_labels, self.family_top
            ) > 0,
            "--images needs --labels": not self.images or bool(self.labels),
            "--images needs --truth or --always": not self.images or bool(self.truth or self.always),
            "--truth and --always are for --images": bool(self.images) or not (self.truth or self.always),
            "give --labels or --label-attributes, not both": not (self.labels and self.label_attributes),
            "--data utkface and table need --labels or --label-attributes": self.data in ("calibration", "fairface")
            or bool(self.labels or self.label_attributes),
        })  # fmt: skip

    @property
    def heads(self) -> HeadConfig:
        return HeadConfig(
            self.losses, self.learning_rates, self.weight_decays, self.epochs, self.minibatch, self.optimiser,
            schedule=self.schedule, unverified=self.unverified,
        )  # fmt: skip

    @property
    def judged(self) -> Literal["negative", "mask"]:
        """What an unverified label of an evaluated image is: with --truth, nothing but what it says is known."""
        return "mask" if self.images else self.unverified

    @property
    def planted(self) -> bool:
        """Whether this is the self-test with a planted disparity."""
        return self.data == "calibration" and not self.labels and not self.label_attributes
