"""The published recipe: examples x probes per second, against plain PyTorch training one probe after another.

Both do the same: features, split, batches' size, dropout, Adam, L1, a validation pass and the best weights kept after
every epoch. PyTorch trains one grid point of every width and target, this package trains them all; times are per probe
and epoch. Values are random: the cost does not depend on them, and no problem stops before its time.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import numpy as np

from bias_jax.errors import InputError
from bias_jax.probes import RecipeConfig, fit_recipe
from bias_jax.results import device, versions
from experiments.benchmarks.timing import alternate
from experiments.command_line import option, parse


@dataclass(frozen=True)
class RecipeBenchmark:
    """What is measured."""

    widths: tuple[int, ...] = option((64, 256, 512, 1024, 2048), "features of the layers (of ResNet50, pooled)")
    classes: tuple[int, ...] = option((7, 9, 2, 63, 14, 18, 126), "classes of the targets")
    images: int = option(2000, "images, a tenth of which is held out")
    l1: int = option(4, "strengths")
    learning_rates: int = option(3, "learning rates")
    seeds: int = option(2, "seeds")
    batch_size: int = option(32, "images per step")
    penalty: Literal["subgradient", "proximal"] = option("subgradient", "how L1 is done, by both; see RecipeConfig")
    epochs: int = option(3, "epochs of this package")
    torch_epochs: int = option(1, "epochs of PyTorch")
    repeats: int = option(3, "rounds, in alternation; medians are printed")
    threads: int = option(2, "of PyTorch")

    def __post_init__(self) -> None:
        sizes = self.l1, self.learning_rates, self.seeds, self.batch_size, self.epochs, self.torch_epochs, self.repeats
        if min(*sizes, self.threads, *self.widths, *self.classes) < 1 or self.images < 20:
            raise InputError("sizes must be positive and --images at least 20", remedy="see --help")


def import_torch() -> Any:
    """PyTorch, the peer."""
    try:
        import torch
    except ImportError:
        raise InputError("torch is needed as the peer", remedy="pip install 'bias-jax[verify]'") from None
    return torch


def torch_probe(
    torch: Any,
    data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    epochs: Sequence[np.ndarray],
    l1: float,
    config: RecipeConfig,
) -> tuple[np.ndarray, np.ndarray, float]:
    """One probe as one would write it in PyTorch: the best (W [D, C], b [C]) and its validation cross-entropy.

    Args:
        torch: the package.
        data: features [M, D] and labels [M] of training, and the same of validation.
        epochs: the order of the images in each epoch.
        l1: strength.
        config: the rest; its first learning rate is used.
    """
    x, y, held_x, held_y = (torch.from_numpy(values) for values in data)
    functional = torch.nn.functional
    linear = torch.nn.Linear(x.shape[1], int(max(y.max(), held_y.max())) + 1)
    torch.nn.init.zeros_(linear.bias)
    (torch.nn.init.zeros_ if config.initial == "zeros" else torch.nn.init.xavier_uniform_)(linear.weight)
    dropout = torch.nn.Dropout(config.dropout)
    rate = config.learning_rates[0]
    adam = torch.optim.Adam(linear.parameters(), lr=rate, eps=1e-7)
    best, kept = float("inf"), {}
    for order in epochs:
        for images in torch.from_numpy(order).split(config.batch_size):
            loss = functional.cross_entropy(linear(dropout(x[images])), y[images])
            if config.penalty == "subgradient":
                loss = loss + l1 * linear.weight.abs().sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
            if config.penalty == "proximal":
                with torch.no_grad():
                    state = adam.state[linear.weight]
                    root = (state["exp_avg_sq"] / (1 - 0.999 ** int(state["step"]))).sqrt() + 1e-7
                    linear.weight.copy_(functional.relu(linear.weight.abs() - l1 * rate / root) * linear.weight.sign())
        with torch.no_grad():
            loss = functional.cross_entropy(linear(held_x), held_y).item()
        if loss < best:
            best, kept = loss, {name: value.clone() for name, value in linear.state_dict().items()}
    return kept["weight"].numpy().T, kept["bias"].numpy(), best


def run_recipe(argv: Sequence[str] | None) -> int:
    """Print a table with one row per width, and one per target."""
    config = parse(RecipeBenchmark, argv, __doc__ or "")
    for line in recipe_table(config):
        print(line, flush=True)
    return 0


def recipe_table(options: RecipeBenchmark) -> list[str]:
    """Run the benchmark; the lines of its report."""
    torch = import_torch()
    torch.set_num_threads(options.threads)
    config = RecipeConfig(
        l1=tuple(10.0 ** -(3 + k) for k in range(options.l1)),
        learning_rates=tuple(1e-3 / 3**k for k in range(options.learning_rates)),
        seeds=options.seeds,
        batch_size=options.batch_size,
        penalty=options.penalty,
        epochs=options.epochs,
        patience=options.epochs,
    )
    rng = np.random.default_rng(0)
    labels = {f"target {t}": rng.integers(0, size, options.images) for t, size in enumerate(options.classes)}
    held_out = np.arange(options.images) % 10 == 0
    grid = options.l1 * options.learning_rates * options.seeds
    examples = int((~held_out).sum())
    medians = np.zeros((len(options.widths), len(options.classes)))  # PyTorch, seconds per probe and epoch
    ours, first = np.zeros(len(options.widths)), np.zeros(len(options.widths))  # seconds per epoch of all; first call
    for i, width in enumerate(options.widths):
        x = rng.standard_normal((options.images, width)).astype(np.float32)
        bank = {"layer": jax.device_put(x)}
        programs = {"jax": partial(fit_recipe, bank, labels, config=config, seed=0, validation=held_out)}
        for name, y in labels.items():
            data = x[~held_out], y[~held_out], x[held_out], y[held_out]
            orders = [rng.permutation(examples) for _ in range(options.torch_epochs)]
            programs[name] = partial(torch_probe, torch, data, orders, config.l1[0], config)
        start = time.perf_counter()
        programs["jax"]()
        first[i] = time.perf_counter() - start
        seconds = alternate(programs, options.repeats)
        ours[i] = np.median(seconds.pop("jax")) / options.epochs
        medians[i] = [np.median(values) / options.torch_epochs for values in seconds.values()]
    probes = grid * len(labels)
    lines = [
        f"{device()}, jax {versions()['jax']}, torch {torch.__version__}, {options.threads} torch threads, float32",
        f"{examples} training images, batches of {options.batch_size}, L1 by {options.penalty}; {probes} probes a layer "
        f"({options.l1} strengths x {options.learning_rates} learning rates x {options.seeds} seeds x {len(labels)} targets)",
        f"{'width':>6}{'examples x probes / s':>24}{'PyTorch':>10}{'ratio':>8}"
        f"{'ms per probe and epoch':>26}{'PyTorch':>10}{'first call, s':>16}",
    ]
    rows = [(f"{width}", ours[i] / probes, medians[i].mean(), f"{first[i]:.1f}") for i, width in enumerate(options.widths)]
    rows.append(("all", (ours / probes).mean(), medians.mean(), f"{first.sum():.1f}"))
    for name, own, peer, once in rows:
        lines.append(
            f"{name:>6}{examples / own:>24,.0f}{examples / peer:>10,.0f}{peer / own:>8.1f}"
            f"{1e3 * own:>26.3f}{1e3 * peer:>10.2f}{once:>16}"
        )
    lines.append("ms per probe and epoch in PyTorch, by number of classes; this package trains all targets together")
    lines.append(f"{'width':>6}" + "".join(f"{size:>9}" for size in options.classes))
    lines += [f"{w:>6}" + "".join(f"{1e3 * s:>9.1f}" for s in m) for w, m in zip(options.widths, medians, strict=True)]
    return lines
