"""Topographic maps: self-organizing maps of all layers against MiniSom, and the force layout against NumPy.

The layers are drawn profiles of the shapes of ResNet50's 17 layers with 126 groups, or those of an untrained ResNet50
that sees photographs (--data-dir). Ours are trained as audits train them, by `default_som`. MiniSom trains as the
published maps do (online, 10 steps per unit, sigma 1, rate 0.5, from drawn samples) and by its batch rule; time,
quantization and topographic error of every width are printed. The first round compiles, unless a cache holds the
programs.
"""

import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from tqdm import tqdm

from bias_jax.compilation import counted_programs
from bias_jax.errors import InputError
from bias_jax.results import device, versions
from bias_jax.topomaps import FittedMap, default_som, force_layout, group_profiles, unit_profiles
from experiments.benchmarks.banks import benchmark_bank
from experiments.benchmarks.peers import check_names, require
from experiments.benchmarks.report import Column, Line, Table
from experiments.benchmarks.timing import median, ratio, timed

WIDTHS = {64: 1, 256: 3, 512: 4, 1024: 6, 2048: 3}  # units of ResNet50's default layers
GROUPS = 126
GROUP_TARGET = "race x age x gender"


PROGRAM, TIME = Column("program", width=16), Column("time", "s", ".2f", 20)
FIRST, FASTER = Column("first round", "s", ".2f"), Column("bias-jax faster by", form=".1f", width=20)
COMPILED = Column("with compilation", form=".1f")
ERRORS = (
    Column("units", form=",d"),
    Column("layers", form="d"),
    PROGRAM,
    Column("quantization error", form=".4f"),
    Column("topographic error", form=".4f"),
)
TIMES = (
    *(PROGRAM, TIME, FIRST, FASTER, COMPILED),
    Column("our quantization no worse", "layers", "d"),
    Column("our topography no worse", "layers", "d"),
)
FORCE = (PROGRAM, TIME, FIRST, Column("a step", "ms", ".2f"), FASTER, COMPILED)


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
    peers: tuple[str, ...] = ("minisom",)  # minisom; --peers alone compares nothing but the force layout, with NumPy

    def __post_init__(self) -> None:
        check_names(self.peers, ("minisom",))
        counts = (self.per_group, self.widest, self.minisom_steps, self.units, self.force_steps, self.numpy_steps)
        if min(*counts, self.repeats) < 1:
            raise InputError("all numbers must be positive", remedy="see --help")


def run_topomaps(config: TopomapsBenchmark) -> Iterator[Line]:
    """Both comparisons."""
    require(config.peers)
    yield f"{device()}, jax {versions()['jax']}, numpy {versions()['numpy']}"
    yield from compare_maps(config)
    yield from compare_force(config)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    yield f"peak memory of this process, both programs and all data: {peak:.2f} GiB"


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


def minisom_map(units: np.ndarray, sides: tuple[int, int], rule: str, config: TopomapsBenchmark) -> tuple[float, ...]:
    """Seconds, quantization and topographic error of MiniSom's map of one layer.

    Args:
        units: what is mapped, float64 [U, D].
        sides: of the map.
        rule: ``online`` or ``batch``.
        config: steps and seed.
    """
    from minisom import MiniSom

    som = MiniSom(*sides, units.shape[1], sigma=1.0, learning_rate=0.5, random_seed=config.seed)
    start = time.perf_counter()
    som.random_weights_init(units)
    if rule == "online":
        som.train_random(units, config.minisom_steps * len(units))
    else:
        som.train_batch_offline(units, config.minisom_steps)
    wall = time.perf_counter() - start
    return wall, float(som.quantization_error(units)), float(som.topographic_error(units))


def compare_maps(config: TopomapsBenchmark) -> Iterator[Line]:
    """All layers beside MiniSom's two rules."""
    layers, source = read_layers(config)
    with counted_programs() as programs:
        first = timed(lambda: train_all(layers, config.seed))
    yield f"self-organizing maps of {len(layers)} layers ({source}); MiniSom: one core"
    yield f"first round: {programs}"
    rounds = [timed(lambda: train_all(layers, config.seed)) for _ in range(config.repeats)]
    ours = train_all(layers, config.seed)
    errors = {"bias-jax": {x: (ours[x].quantization_error(u), ours[x].topographic_error(u)) for x, u in layers.items()}}
    seconds = {f"MiniSom, {rule}": 0.0 for rule in ("online", "batch") if config.peers}
    for name in seconds:
        errors[name] = {}
        for layer, units in tqdm(layers.items(), name, unit="layer"):
            sides = ours[layer].weights.shape[:2]
            wall, *found = minisom_map(units.astype(np.float64), sides, name.split()[-1], config)
            seconds[name] += wall
            errors[name][layer] = found[0], found[1]
    yield Table("Errors of maps, mean over layers of a width", ERRORS)
    for width in dict.fromkeys(map(len, layers.values())):
        mine = [layer for layer, units in layers.items() if len(units) == width]
        for name, found_by in errors.items():
            yield (width, len(mine), name, *np.mean([found_by[layer] for layer in mine], axis=0))
    yield Table("Training all maps", TIMES)
    yield ("bias-jax", median(rounds), first, None, None, None, None)
    for name, wall in seconds.items():
        no_worse = [sum(errors["bias-jax"][x][i] <= errors[name][x][i] for x in layers) for i in (0, 1)]
        yield (name, wall, None, wall / min(rounds), wall / first, *no_worse)


def numpy_force(positions: np.ndarray, steps: int, total: int) -> np.ndarray:
    """The first `steps` of `total` steps of the force layout from another layout, in plain NumPy, float64."""
    for x in np.linspace(-3.0, 6.0, total)[:steps]:
        apart = positions[None] - positions[:, None]
        distance = np.maximum(np.linalg.norm(apart, axis=2), 0.01)
        force = (np.tanh(x) + 1.0) / 4.0 * (1.5 / (distance + 1.0) ** 3 - 15.0 * np.exp(-distance / 2.0))
        positions = positions + (force[:, :, None] * apart).mean(axis=1)
    return positions


def compare_force(config: TopomapsBenchmark) -> Iterator[Line]:
    """The force layout of random positions."""
    start = np.random.default_rng(config.seed).uniform(size=(config.units, 2))
    first, *walls = (timed(lambda: force_layout(start, steps=config.force_steps)) for _ in range(config.repeats + 1))
    scale = config.force_steps / config.numpy_steps
    numpy_program = partial(numpy_force, start, config.numpy_steps, config.force_steps)
    peers = [scale * timed(numpy_program) for _ in range(config.repeats)]
    yield f"force layout, {config.units} units, {config.force_steps} steps; NumPy scaled from {config.numpy_steps}"
    yield Table("Force layout", FORCE)
    yield "bias-jax", median(walls), first, 1e3 * min(walls) / config.force_steps, None, None
    step = 1e3 * min(peers) / config.force_steps
    yield "NumPy, one core", median(peers), None, step, ratio(walls, peers), min(peers) / first
