"""Many softmax losses on the same images, in PyTorch: rows of logits in, losses and residuals out."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch


class Target(NamedTuple):
    """Probes of one target: one per fold."""

    labels: Any  # class of each image, int64 [N]; any class where it has no weight
    weights: Any  # of each image in each probe's mean, float32 [F, N], rows sum to 1
    classes: int


@dataclass(frozen=True)
class Batch:
    """Probes that are still minimised, target by target; R rows are their classes, P is their number."""

    targets: tuple[Target, ...]

    @cached_property
    def owner(self) -> Any:
        """The probe of each row, int64 [R]."""
        sizes = torch.tensor([t.classes for t in self.targets for _ in t.weights])
        return torch.repeat_interleave(torch.arange(len(sizes)), sizes).to(self.targets[0].weights.device)

    @property
    def size(self) -> int:
        """How many probes, P."""
        return sum(len(t.weights) for t in self.targets)

    def only(self, kept: Any) -> "Batch":
        """The probes of a mask [P]."""
        parts = zip(self.targets, kept.split([len(t.weights) for t in self.targets]), strict=True)
        return Batch(tuple(t._replace(weights=t.weights[mask]) for t, mask in parts if mask.any()))

    def _blocks(self, rows: Any) -> list[tuple[Target, Any]]:
        """Rows [R, N] as one view [F, C, N] per target."""
        parts = rows.split([len(t.weights) * t.classes for t in self.targets])
        return [(t, part.view(len(t.weights), t.classes, -1)) for t, part in zip(self.targets, parts, strict=True)]

    def loss(self, logits: Any) -> Any:
        """Cross-entropy of every probe, float64 [P], of logits [R, N]."""
        found = []
        for target, z in self._blocks(logits):
            true = z.gather(1, target.labels.expand(len(z), 1, -1))[:, 0]
            found.append((target.weights * (z.logsumexp(1) - true)).sum(1, dtype=torch.float64))
        return torch.cat(found)

    def residual(self, logits: Any) -> Any:
        """Derivative of the losses by the logits, [R, N]."""
        found = torch.empty_like(logits)
        for (target, z), (_, out) in zip(self._blocks(logits), self._blocks(found), strict=True):
            torch.softmax(z, 1, out=out)
            out *= target.weights[:, None]
            out.scatter_add_(1, target.labels.expand(len(z), 1, -1), -target.weights[:, None])
        return found
