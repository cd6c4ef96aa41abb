"""Training of multi-label heads: all losses and learning rates of every layer, against a sequential PyTorch loop.

The peer trains one head after the other with torch.nn.Linear and torch.optim.SGD, on the same minibatches from the same
initial weights, both on the cores or the accelerator of this machine. Features and labels are random; the cost does not
depend on them. The default widths are those of ResNet50's 17 blocks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import jax
import numpy as np
from scipy.sparse import csr_array

from bias_jax.disparity.heads import HeadConfig, Heads, initial_weights, minibatches, train_heads
from bias_jax.errors import InputError
from bias_jax.results import device, versions
from experiments.benchmarks.peers import check_names, require, torch_in_words, use_torch
from experiments.benchmarks.report import Column, Line, Table
from experiments.benchmarks.timing import alternate, rates, ratio

WIDTHS = (64, *3 * (256,), *4 * (512,), *6 * (1024,), *3 * (2048,))
SEED = 0


@dataclass(frozen=True)
class HeadsBenchmark:
    """What is measured."""

    widths: tuple[int, ...] = WIDTHS  # features of each layer
    images: int = 2000  # training images
    classes: int = 16  # labels per head
    epochs: int = 2  # passes over the images
    batch_size: int = 32  # images per step
    learning_rates: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)  # one head per loss and rate
    repeats: int = 3  # rounds, in alternation; medians, best ratio and ranges are printed
    peers: tuple[str, ...] = ("torch",)  # torch; --peers alone measures this package only

    def __post_init__(self) -> None:
        check_names(self.peers, ("torch",))
        if min(*self.widths, self.images, self.classes, self.epochs, self.batch_size, self.repeats) < 1:
            raise InputError("all numbers must be positive", remedy="see --help")


def run_heads(config: HeadsBenchmark) -> Iterator[Line]:
    """Rates, their ratio and how far the trained weights are apart."""
    require(config.peers)
    rng = np.random.default_rng(0)
    banks = [rng.standard_normal((config.images, width)).astype(np.float32) for width in sorted(config.widths)]
    banks = [(x - x.mean(axis=0)) / x.std(axis=0) for x in banks]
    present = rng.random((config.images, config.classes)) < 2.0 / config.classes
    labels = np.where(present, 1, -1).astype(np.int8)
    training = HeadConfig(
        learning_rates=config.learning_rates, weight_decays=(1e-4,), epochs=config.epochs,
        minibatch=config.batch_size, schedule="constant",
    )  # fmt: skip
    steps = config.epochs * (config.images // config.batch_size)
    heads = len(training.heads) * len(banks)
    yield f"{device()}, jax {versions()['jax']}"
    grid = f"{len(banks)} layers x {len(training.losses)} losses x {len(config.learning_rates)} learning rates"
    yield f"{grid} = {heads} heads of {config.classes} labels; {steps} steps of {config.batch_size} images"
    programs: dict[str, Callable[[], list]] = {"bias-jax": jax_program(banks, labels, training)}
    if config.peers:
        torch, place = use_torch()
        programs["torch"] = torch_program(banks, labels, training, torch, place)
        yield torch_in_words(torch, place)
        apart = difference(programs["bias-jax"](), programs["torch"](), training)
        if apart:
            yield "largest relative difference of the weights, at rates up to 0.01: {:.1e} ({})".format(*apart)
    seconds = alternate(programs, config.repeats)
    examples = heads * steps * config.batch_size
    flops = 4 * config.batch_size * sum(config.widths) * len(training.heads) * config.classes * steps
    yield Table(
        "Multi-label heads",
        (
            Column("program", width=10),
            Column("rate", "million examples x heads/s", ".2f"),
            Column("at best", "GFLOP/s", ".1f"),
            Column("bias-jax faster by", form=".1f", width=20),
        ),
    )
    for name, values in seconds.items():
        faster = None if name == "bias-jax" else ratio(seconds["bias-jax"], values)
        yield name, rates(values, examples / 1e6), flops / 1e9 / min(values), faster


def difference(ours: list[Heads], theirs: list[list[np.ndarray]], training: HeadConfig) -> tuple[float, str] | None:
    """Largest relative difference of the weights, and of which loss; None if all rates are large: errors grow there."""
    places = [(heads, layer) for heads in ours for layer in range(len(heads.weights))]
    found = []
    for (heads, layer), expected in zip(places, theirs, strict=True):
        for head, (name, rate, _) in enumerate(training.heads):
            if rate <= 0.01:
                w = np.asarray(heads.weights)[layer, 0, :-1, head]
                found.append((float(np.abs(w - expected[head]).max() / np.abs(expected[head]).max()), name))
    return max(found, default=None)


def jax_program(banks: list[np.ndarray], labels: np.ndarray, config: HeadConfig) -> Callable[[], list[Heads]]:
    """All heads of a layer at once, layers of one width together; one result per width."""
    sparse, rows = csr_array(labels), np.arange(len(labels))
    groups = [jax.device_put(np.stack([x for x in banks if x.shape[1] == width])) for width in _widths(banks)]
    return lambda: jax.block_until_ready([train_heads(bank, sparse, [(rows, SEED)], config) for bank in groups])


def torch_program(
    banks: list[np.ndarray], labels: np.ndarray, config: HeadConfig, torch: Any, place: str
) -> Callable[[], list[list[np.ndarray]]]:
    """One head after the other; weights [D, C] of every layer and head."""
    losses = torch_losses(torch)
    targets = torch.from_numpy((labels > 0).astype(np.float32)).to(place)
    tensors = [torch.from_numpy(x).to(place) for x in banks]
    steps = len(labels) // config.minibatch

    def train(features: Any, loss: Callable, rate: float, decay: float) -> np.ndarray:
        start = np.array(initial_weights(SEED, features.shape[1], labels.shape[1])).T
        head = torch.nn.Linear(*start.shape[::-1], device=place)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(start))
            head.bias.zero_()
        groups = [{"params": [head.weight], "weight_decay": decay}, {"params": [head.bias]}]
        optimiser = torch.optim.SGD(groups, lr=rate, momentum=config.momentum, nesterov=True)
        for order in islice(minibatches(np.arange(len(labels)), SEED, steps, config.minibatch), config.epochs):
            for rows in torch.from_numpy(order).to(place):
                optimiser.zero_grad()
                loss(head(features[rows]), targets[rows]).backward()
                optimiser.step()
        return head.weight.detach().cpu().numpy().T

    return lambda: [
        [train(features, losses[name], rate, decay) for name, rate, decay in config.heads] for features in tensors
    ]


def torch_losses(torch: Any) -> dict[str, Callable]:
    """The losses as one writes them in PyTorch, for labels that are all known."""
    softplus, infinity = torch.nn.functional.softplus, float("-inf")

    def pairwise_softmax(s: Any, y: Any) -> Any:
        negatives = torch.logsumexp(s.masked_fill(y == 1, infinity), 1, keepdim=True)
        return (softplus(negatives - s) * y).sum() / y.sum()

    def target_softmax(s: Any, y: Any) -> Any:
        return torch.nn.functional.cross_entropy(s, y / y.sum(1, keepdim=True).clamp(min=1))

    def zlpr(s: Any, y: Any) -> Any:
        zero = torch.zeros_like(s[:, :1])
        absent = torch.logsumexp(torch.cat([s.masked_fill(y == 1, infinity), zero], 1), 1)
        present = torch.logsumexp(torch.cat([(-s).masked_fill(y == 0, infinity), zero], 1), 1)
        return (absent + present).mean()

    return {
        "pairwise_softmax": pairwise_softmax,
        "target_softmax": target_softmax,
        "binary_cross_entropy": torch.nn.functional.binary_cross_entropy_with_logits,
        "zlpr": zlpr,
    }


def _widths(banks: list[np.ndarray]) -> list[int]:
    return sorted({x.shape[1] for x in banks})
