"""Topographic maps: self-organizing maps of all layers against MiniSom, and the force layout against NumPy.

The layers are drawn profiles of the shapes of ResNet50's 17 layers with 126 groups, or those of an untrained ResNet50
that sees photographs (--data-dir). Ours are trained as audits train them, by `default_som`. MiniSom trains as the
published maps do (online, 10 steps per unit, sigma 1, rate 0.5, from drawn samples) and by its batch rule; time,
quantization and topographic error of every width are printed. The first round compiles, unless a cache holds the
programs.
"""

import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
from tqdm import tqdm

from bias_jax.compilation import counted_programs
from bias_jax.errors import InputError
from bias_jax.results import device, versions
from bias_jax.topomaps import FittedMap, default_som, force_layout, group_profiles, unit_profiles
from experiments.benchmarks.banks import benchmark_bank
from experiments.benchmarks.timing import ratio

WIDTHS = {64: 1, 256: 3, 512: 4, 1024: 6, 2048: 3}  # units of ResNet50's default layers
GROUPS = 126
GROUP_TARGET = "race x age x gender"


@dataclass(frozen=True)
class TopomapsBenchmark:
    """What is measured."""

    data_dir: str = ""  # folder of FairFace, for profiles of an untrained ResNet50 (default: drawn profiles)
    per_group: int = 2  # photographs per group at most
    widest: int = 2048  # leave out layers with more units
    minisom_steps: int = 10  # online steps per unit, and batch epochs, of MiniSom
    units: int = 2048  # units of the force layout
    force_steps: int = 1000  # steps of the force layout
    numpy_steps: int = 4  # steps of the NumPy force layout, which are scaled up to --force-steps
    repeats: int = 3  # rounds of ours
    seed: int = 0  # of maps and drawn profiles

    def __post_init__(self) -> None:
        counts = (self.per_group, self.widest, self.minisom_steps, self.units, self.force_steps, self.numpy_steps)
        if min(*counts, self.repeats) < 1:
            raise InputError("all numbers must be positive", remedy="see --help")


def run_topomaps(config: TopomapsBenchmark) -> int:
    """Print both comparisons."""
    print(f"{device()}, jax {versions()['jax']}, numpy {versions()['numpy']}")
    compare_maps(config)
    compare_force(config)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process, both programs and all data: {peak:.2f} GiB")
    return 0


def read_layers(config: TopomapsBenchmark) -> tuple[dict[str, np.ndarray], str]:
    """Units [U, D] of every layer, narrow ones first, and what they are, in words."""
    found = {}
    source = "drawn profiles"
    if config.data_dir:
        bank, labels, source = benchmark_bank(config.data_dir, config.per_group, ())
        groups = labels[GROUP_TARGET].astype(np.int32)
        for layer, features in bank.items():
            profiles = group_profiles(features, jax.device_put(groups), GROUPS)
            found[layer], _ = unit_profiles(profiles, np.unique(groups), (1, 1, features.shape[1]))
    else:
        rng = np.random.default_rng(config.seed)
        for units, layers in WIDTHS.items():
            for number in range(layers):  # some ten directions carry most of the profiles, as in real layers
                strengths = np.exp(-np.arange(GROUPS) / 8.0) + 0.02
                turn = np.linalg.qr(rng.normal(size=(GROUPS, GROUPS)))[0]
                found[f"{units}.{number}"] = (rng.standard_normal((units, GROUPS)) * strengths @ turn).astype(
                    np.float32
                )
    by_width = sorted(found.items(), key=lambda item: len(item[1]))
    return {layer: units for layer, units in by_width if len(units) <= config.widest}, source


def train_all(layers: Mapping[str, np.ndarray], seed: int) -> dict[str, FittedMap]:
    """The map of every layer, as audits train it."""
    return {layer: default_som(len(units)).fit(units, seed=seed) for layer, units in layers.items()}


def compare_maps(config: TopomapsBenchmark) -> None:
    """All layers beside MiniSom's two rules."""
    from minisom import MiniSom

    layers, source = read_layers(config)
    start = time.perf_counter()
    with counted_programs() as programs:
        ours = train_all(layers, config.seed)
    first = time.perf_counter() - start
    rounds = []
    for _ in range(config.repeats):
        start = time.perf_counter()
        train_all(layers, config.seed)
        rounds.append(time.perf_counter() - start)
    seconds = {"online": 0.0, "batch": 0.0}
    errors: dict[str, dict[str, tuple[float, float]]] = {"ours": {}, **{rule: {} for rule in seconds}}
    for layer, units in tqdm(layers.items(), "MiniSom", unit="layer"):
        fitted, x = ours[layer], units.astype(np.float64)
        errors["ours"][layer] = fitted.quantization_error(units), fitted.topographic_error(units)
        for rule in seconds:
            som = MiniSom(*fitted.weights.shape[:2], x.shape[1], sigma=1.0, learning_rate=0.5, random_seed=config.seed)
            start = time.perf_counter()
            som.random_weights_init(x)
            if rule == "online":
                som.train_random(x, config.minisom_steps * len(x))
            else:
                som.train_batch_offline(x, config.minisom_steps)
            seconds[rule] += time.perf_counter() - start
            errors[rule][layer] = float(som.quantization_error(x)), float(som.topographic_error(x))
    widths: dict[int, list[str]] = {}
    for layer, units in layers.items():
        widths.setdefault(len(units), []).append(layer)
    print(f"self-organizing maps of {len(layers)} layers ({source}), mean errors per width; MiniSom: one core")
    print(f"{'units':>6} {'layers':>6}" + "".join(f"{rule + ': q, t':>20}" for rule in errors))
    for units_of, mine in widths.items():
        cells = [np.mean([found[layer] for layer in mine], axis=0) for found in errors.values()]
        print(f"{units_of:>6} {len(mine):>6}" + "".join(f"{q:>12.4f}, {t:.4f}" for q, t in cells))
    print(f"{'bias-jax':<34}{min(rounds):>9.2f} s  (rounds {min(rounds):.2f} to {max(rounds):.2f}; first {first:.2f}, "
          f"{programs})")  # fmt: skip
    for rule, wall in seconds.items():
        no_worse = [sum(errors["ours"][x][i] <= errors[rule][x][i] for x in layers) for i in (0, 1)]
        faster = f"bias-jax is {wall / min(rounds):.0f} times as fast, {wall / first:.1f} times with compilation"
        print(f"{'MiniSom, ' + rule:<34}{wall:>9.2f} s  {faster}; its quantization error is no larger in "
              f"{no_worse[0]} of {len(layers)} layers, its topographic error in {no_worse[1]}")  # fmt: skip


def numpy_force(positions: np.ndarray, steps: int, total: int) -> np.ndarray:
    """The first `steps` of `total` steps of the force layout from another layout, in plain NumPy, float64."""
    for x in np.linspace(-3.0, 6.0, total)[:steps]:
        apart = positions[None] - positions[:, None]
        distance = np.maximum(np.linalg.norm(apart, axis=2), 0.01)
        force = (np.tanh(x) + 1.0) / 4.0 * (1.5 / (distance + 1.0) ** 3 - 15.0 * np.exp(-distance / 2.0))
        positions = positions + (force[:, :, None] * apart).mean(axis=1)
    return positions


def compare_force(config: TopomapsBenchmark) -> None:
    """The force layout of random positions."""
    start = np.random.default_rng(config.seed).uniform(size=(config.units, 2))
    walls = []
    for _ in range(config.repeats + 1):
        begin = time.perf_counter()
        force_layout(start, steps=config.force_steps)
        walls.append(time.perf_counter() - begin)
    peers = []
    for _ in range(config.repeats):
        begin = time.perf_counter()
        numpy_force(start, config.numpy_steps, config.force_steps)
        peers.append((time.perf_counter() - begin) * config.force_steps / config.numpy_steps)
    print(f"force layout, {config.units} units, {config.force_steps} steps; NumPy scaled from {config.numpy_steps}")
    print(f"{'bias-jax, compilation included':<34}{walls[0]:>9.2f} s")
    print(f"{'bias-jax':<34}{min(walls[1:]):>9.2f} s  {1e3 * min(walls[1:]) / config.force_steps:.2f} ms a step")
    print(f"{'NumPy, one core':<34}{min(peers):>9.2f} s  bias-jax is {ratio(walls[1:], peers)}, "
          f"with compilation {min(peers) / walls[0]:.1f}")  # fmt: skip
