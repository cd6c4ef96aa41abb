"""What all peers of the probes share: the job, and what this package made of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np

from bias_jax.probes import ConvexProbes


@dataclass(frozen=True)
class Job:
    """Probes to solve."""

    bank: Mapping[str, jax.Array]  # layer -> features [N, D]
    labels: Mapping[str, np.ndarray]  # target -> classes [N]
    folds: np.ndarray  # [N]
    l2: tuple[float, ...]
    tolerance: float  # relative gap of the objective

    @property
    def fold_count(self) -> int:
        """How many folds."""
        return int(self.folds.max()) + 1

    @property
    def count(self) -> int:
        """Probes of one layer."""
        return len(self.labels) * len(self.l2) * self.fold_count

    @property
    def one_per_width(self) -> dict[int, str]:
        """The last layer of every width."""
        return {features.shape[1]: layer for layer, features in self.bank.items()}

    def standardised(self, layer: str) -> np.ndarray:
        """Features as the objective has them, centred and divided by one scalar; float32 [N, D]."""
        x = np.asarray(self.bank[layer], np.float64)
        x -= x.mean(axis=0)
        return (x / np.sqrt(np.square(x).mean())).astype(np.float32)


@dataclass(frozen=True)
class Solved:
    """What this package took and found, by layer."""

    seconds: dict[str, float]  # without compiling
    compiling: dict[str, float]  # seconds; layers of one width share those of compiling for it equally
    probes: dict[str, ConvexProbes]

    def wanted(self, job: Job, layer: str, target: str, l2: float, fold: int) -> float:
        """The value a peer has to reach: within the gap of the value reached here."""
        return (1.0 + job.tolerance) * self.probes[layer].objective(layer, target, l2, fold)
