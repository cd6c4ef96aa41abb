"""All probes of a layer by batched L-BFGS in PyTorch, beside this package's."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.benchmarks.peers import torch_in_words, use_torch
from experiments.benchmarks.report import Column, Line, Table
from experiments.benchmarks.solved import Job, Solved

if TYPE_CHECKING:
    from experiments.benchmarks.torch_lbfgs import Minimum

COLUMNS = (
    Column("layer", width=10),
    Column("features", form="d"),
    Column("probes", form="d"),
    Column("reached", form="d"),
    Column("steps of a probe", form=".0f"),
    Column("torch-lbfgs", "s", ".2f"),
    Column("bias-jax", "s", ".2f", 9),
    Column("ratio", form=".2f", width=7),
    Column("compiling", "s", ".2f"),
    Column("ratio with it", form=".2f"),
)


class LayerFit(NamedTuple):
    """One layer's probes, strongest strength first; those whose turn did not come are absent."""

    minima: list["Minimum"]
    seconds: float

    @property
    def reached(self) -> int:
        """Probes that came down to the value wanted."""
        return sum(int(minimum.reached.sum()) for minimum in self.minima)

    @property
    def steps(self) -> float:
        """Mean over probes."""
        return float(np.mean(np.concatenate([minimum.steps.cpu().numpy() for minimum in self.minima])))


def compare_lbfgs(job: Job, solved: Solved, limit: float) -> Iterator[Line]:
    """One layer of every width; where not all probes were reached in time, the ratio is a lower bound."""
    torch, place = use_torch()
    yield f"{torch_in_words(torch, place)}: all probes of a strength at once, cut off after {limit:g} s a layer"
    yield Table("Batched L-BFGS in PyTorch, all probes of a layer", COLUMNS)
    strengths = sorted(set(job.l2), reverse=True)
    for width, layer in job.one_per_width.items():
        wanted = [
            [solved.wanted(job, layer, target, l2, fold) for target in job.labels for fold in range(job.fold_count)]
            for l2 in strengths
        ]
        x = job.standardised(layer)
        fit_layer(x, job.labels, job.folds, strengths, wanted, place, limit, longest=1)  # kernels are loaded
        fit = fit_layer(x, job.labels, job.folds, strengths, wanted, place, limit)
        ours, compiling = solved.seconds[layer], solved.compiling[layer]
        yield (layer, width, job.count, fit.reached, fit.steps, fit.seconds, ours, fit.seconds / ours, compiling,
               fit.seconds / (ours + compiling))  # fmt: skip


def fit_layer(
    x: np.ndarray,
    labels: dict[str, np.ndarray] | Any,
    folds: np.ndarray,
    strengths: Sequence[float],
    wanted: Sequence[Sequence[float]],
    place: str,
    limit: float,
    longest: int = 10_000,
) -> LayerFit:
    """Solve from the strongest to the weakest strength, each from where the last two point, as this package does.

    Args:
        x: standardised features, float32 [N, D].
        labels: target -> classes [N], all known.
        folds: fold of each image, [N]; the probes of a fold are trained on all others.
        strengths: the strongest first.
        wanted: values at which the probes of a strength end, target by target and fold by fold.
        place: torch's device.
        limit: seconds in all.
        longest: number of steps of a strength at most.
    """
    import torch

    from experiments.benchmarks.torch_lbfgs import minimise
    from experiments.benchmarks.torch_losses import Batch, Target

    features = torch.from_numpy(np.concatenate([x, np.ones((len(x), 1), np.float32)], axis=1)).to(place)
    training = (folds[None] != np.unique(folds)[:, None]).astype(np.float32)
    weights = torch.from_numpy(training / training.sum(axis=1, keepdims=True)).to(place)
    targets, biases = [], []
    for y in labels.values():
        classes = int(y.max()) + 1
        targets.append(Target(torch.from_numpy(y.astype(np.int64)).to(place), weights, classes))
        frequency = np.stack([np.bincount(y[mask > 0], minlength=classes) for mask in training])
        # The optimum without weights; a class that is not among the training images is out of the question.
        biases.append(np.log(np.maximum(frequency / frequency.sum(axis=1, keepdims=True), np.exp(-40.0))).ravel())
    start = torch.zeros(sum(map(len, biases)), features.shape[1], device=place)
    start[:, -1] = torch.from_numpy(np.concatenate(biases)).float().to(place)
    batch, minima, begin = Batch(tuple(targets)), [], time.perf_counter()
    for k, (l2, values) in enumerate(zip(strengths, wanted, strict=True)):
        left = limit - (time.perf_counter() - begin)
        if left <= 0:
            break
        value = torch.tensor(values, dtype=torch.float64, device=place)
        minima.append(minimise(batch, features, start, l2, value, left, longest))
        start = minima[-1].coefficients
        if k and k + 1 < len(strengths):
            ratio = np.log(l2 / strengths[k + 1]) / np.log(strengths[k - 1] / l2)
            start = start + min(float(ratio), 2.0) * (start - minima[-2].coefficients)
    if place == "cuda":
        torch.cuda.synchronize()
    return LayerFit(minima, time.perf_counter() - begin)
