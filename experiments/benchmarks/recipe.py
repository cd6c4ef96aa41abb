"""The published recipe: examples x probes per second, against plain PyTorch training one probe after another.

Both do the same: features, split, batches' size, dropout, Adam, L1, a validation pass and the best weights kept after
every epoch. PyTorch trains one grid point of every width and target, this package trains them all; times are per probe
and epoch. Values are random: the cost does not depend on them, and no problem stops before its time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from bias_jax.errors import InputError
from bias_jax.probes import RecipeConfig, fit_recipe
from bias_jax.results import device, versions
from experiments.benchmarks.peers import check_names, require, torch_in_words, use_torch
from experiments.benchmarks.report import Column, Line, Row, Spread, Table
from experiments.benchmarks.timing import alternate, timed


@dataclass(frozen=True)
class RecipeBenchmark:
    """What is measured."""

    widths: tuple[int, ...] = (64, 256, 512, 1024, 2048)  # features of the layers (of ResNet50, pooled)
    classes: tuple[int, ...] = (7, 9, 2, 63, 14, 18, 126)  # classes of the targets
    images: int = 2000  # images, a tenth of which is held out
    l1: int = 4  # strengths
    learning_rates: int = 3  # learning rates
    seeds: int = 2  # seeds
    batch_size: int = 32  # images per step
    epochs: int = 5  # epochs of this package, whose pass over the training images at the end is included
    torch_epochs: int = 1  # epochs of PyTorch
    repeats: int = 3  # rounds, in alternation; medians are printed
    peers: tuple[str, ...] = ("torch",)  # torch; --peers alone measures this package only

    def __post_init__(self) -> None:
        check_names(self.peers, ("torch",))
        sizes = self.l1, self.learning_rates, self.seeds, self.batch_size, self.epochs, self.torch_epochs, self.repeats
        if min(*sizes, *self.widths, *self.classes) < 1 or self.images < 20:
            raise InputError("sizes must be positive and --images at least 20", remedy="see --help")


def torch_probe(
    torch: Any,
    data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    epochs: Sequence[np.ndarray],
    l1: float,
    config: RecipeConfig,
    place: str = "cpu",
) -> tuple[np.ndarray, np.ndarray, float]:
    """One probe as one would write it in PyTorch: the best (W [D, C], b [C]) and its validation cross-entropy.

    Args:
        torch: the package.
        data: features [M, D] and labels [M] of training, and the same of validation.
        epochs: the order of the images in each epoch.
        l1: strength.
        config: the rest; its first learning rate is used, and L1 is done by its subgradient.
        place: device.
    """
    x, y, held_x, held_y = (torch.from_numpy(values).to(place) for values in data)
    functional = torch.nn.functional
    linear = torch.nn.Linear(x.shape[1], int(max(y.max(), held_y.max())) + 1, device=place)
    torch.nn.init.zeros_(linear.bias)
    (torch.nn.init.zeros_ if config.initial == "zeros" else torch.nn.init.xavier_uniform_)(linear.weight)
    dropout = torch.nn.Dropout(config.dropout)
    adam = torch.optim.Adam(linear.parameters(), lr=config.learning_rates[0], eps=1e-7)
    best, kept = float("inf"), {}
    for order in epochs:
        for images in torch.from_numpy(order).to(place).split(config.batch_size):
            loss = functional.cross_entropy(linear(dropout(x[images])), y[images])
            loss = loss + l1 * linear.weight.abs().sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
        with torch.no_grad():
            loss = functional.cross_entropy(linear(held_x), held_y).item()
        if loss < best:
            best, kept = loss, {name: value.clone() for name, value in linear.state_dict().items()}
    return kept["weight"].cpu().numpy().T, kept["bias"].cpu().numpy(), best


def run_recipe(options: RecipeBenchmark) -> Iterator[Line]:
    """One row per width, and their mean."""
    require(options.peers)
    config = RecipeConfig(
        l1=tuple(10.0 ** -(3 + k) for k in range(options.l1)),
        learning_rates=tuple(1e-3 / 3**k for k in range(options.learning_rates)),
        seeds=options.seeds,
        batch_size=options.batch_size,
        penalty="subgradient",
        epochs=options.epochs,
        patience=options.epochs,
    )
    rng = np.random.default_rng(0)
    labels = {f"target {t}": rng.integers(0, size, options.images) for t, size in enumerate(options.classes)}
    held_out = np.arange(options.images) % 10 == 0
    examples = int((~held_out).sum())
    probes = options.l1 * options.learning_rates * options.seeds * len(labels)
    yield f"{device()}, jax {versions()['jax']}"
    torch, place = use_torch() if options.peers else (None, "")
    if options.peers:
        yield f"{torch_in_words(torch, place)}, float32; times by number of classes are its"
    grid = f"{options.l1} strengths, {options.learning_rates} rates, {options.seeds} seeds, {len(labels)} targets"
    yield f"{examples} training images, batches of {options.batch_size}, L1 by subgradient; {grid}"
    yield Table("The published recipe, per probe and epoch", _columns(options))

    def row(name: str, ours: np.ndarray, theirs: np.ndarray, first: float) -> Row:
        """From seconds per probe and epoch, ours [rounds] and theirs [targets, rounds]."""
        own = float(np.median(ours))
        cells: Row = (name, examples / own, 1e3 * own, first)
        if not options.peers:
            return cells
        ratios, by_target = theirs.mean(axis=0) / ours, np.median(theirs, axis=1)
        peer = by_target.mean()
        spread = Spread(peer / own, ratios.min(), ratios.max())
        return (*cells, examples / peer, 1e3 * peer, spread, *(1e3 * by_target))

    rows: list[tuple[np.ndarray, np.ndarray, float]] = []
    for width in options.widths:
        x = rng.standard_normal((options.images, width)).astype(np.float32)
        bank = {"layer": jax.device_put(x)}
        fit = partial(fit_recipe, bank, labels, config=config, seed=0, validation=held_out)
        programs: dict[str, Callable[[], object]] = {"bias-jax": fit}
        for name, y in labels.items() if options.peers else ():
            data = x[~held_out], y[~held_out], x[held_out], y[held_out]
            orders = [rng.permutation(examples) for _ in range(options.torch_epochs)]
            programs[name] = partial(torch_probe, torch, data, orders, config.l1[0], config, place)
        first = timed(fit)
        seconds = {name: np.array(values) for name, values in alternate(programs, options.repeats).items()}
        ours = seconds.pop("bias-jax") / options.epochs / probes
        theirs = np.array(list(seconds.values())) / options.torch_epochs
        rows.append((ours, theirs, first))
        yield row(str(width), *rows[-1])
    all_ours, peers, firsts = zip(*rows, strict=True)  # mean times over widths: as if there were one layer of each
    yield row("all", np.mean(all_ours, axis=0), np.mean(peers, axis=0), sum(firsts))


def _columns(options: RecipeBenchmark) -> tuple[Column, ...]:
    own = (
        Column("width"),
        Column("bias-jax rate", "examples x probes/s", ",.0f"),
        Column("bias-jax", "ms", ".3f"),
        Column("first call", "s", ".1f"),
    )
    peer = (
        Column("PyTorch rate", "examples x probes/s", ",.0f"),
        Column("PyTorch", "ms", ".2f"),
        Column("ratio", form=".1f", width=20),
        *(Column(f"target {t}, {size} classes", "ms", ".1f") for t, size in enumerate(options.classes)),
    )
    return own + peer if options.peers else own
