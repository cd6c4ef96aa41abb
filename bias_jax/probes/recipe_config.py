"""Settings of the published recipe."""

from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

import numpy as np


@dataclass(frozen=True)
class RecipeConfig:
    """The published recipe (arXiv 2506.03664). It gives dropout, the 90/10 split and that there is an L1 penalty.

    The rest is not published. Where the defaults say Keras, they are what its layers and optimiser do if not told.
    """

    l1: tuple[float, ...] = (1e-3, 1e-4, 1e-5, 1e-6)  # strengths; printed as 1x10^-k with k lost, so all are tried
    learning_rates: tuple[float, ...] = (1e-3,)  # of Adam (Keras)
    seeds: int = 1  # repeats with other initial weights, batches and dropout masks
    dropout: float = 0.25  # share of the features set to 0 in training (published)
    penalty: Literal["proximal", "subgradient"] = "proximal"  # proximal gives exact zeros; subgradient is Keras's way
    batch_size: int = 32  # images (Keras); a mean over the batch, also over the last, smaller one
    epochs: int = 100  # at most
    patience: int = 10  # epochs without a lower validation cross-entropy after which a problem stops
    keep: Literal["best", "last"] = "best"  # weights of the epoch with the lowest validation cross-entropy, or the last
    schedule: Literal["constant", "cosine"] = "constant"  # learning rate; cosine falls to 0 over `epochs`
    held_out: float = 0.1  # share of the images held out for validation (published)
    split: Literal["stratified", "random"] = "stratified"  # by all targets together, or not
    # raw (nothing is published); scaled: centred and divided by one scalar, as in `fit_convex`; standardised: every
    # column to variance 1. Means and scales come from training images only, and the penalty acts on these inputs.
    inputs: Literal["raw", "scaled", "standardised"] = "raw"
    initial: Literal["glorot", "zeros"] = "glorot"  # weights at the start (Keras); biases start at 0

    def __post_init__(self) -> None:
        for name in ("l1", "learning_rates"):
            values = getattr(self, name)
            if not len(values) or len(set(values)) < len(values) or not np.isfinite(values).all() or min(values) < 0:
                raise ValueError(f"{name} must be finite, not negative and without repetition, got {values}")
        for name in ("seeds", "batch_size", "epochs", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name, allowed in (("dropout", 0 <= self.dropout < 1), ("held_out", 0 < self.held_out < 1)):
            if not allowed:
                raise ValueError(f"{name} must be a share below 1, got {getattr(self, name)}")
        for name, kind in get_type_hints(RecipeConfig).items():
            if isinstance(getattr(self, name), str) and getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}")
