"""Linear probes: this package's solver against scikit-learn's LogisticRegression (lbfgs), to the same objective gap.

Every layer of ResNet50, every target, strength and fold is solved here; scikit-learn, which would need days, solves a
stratified sample: one layer of every width, every target, three strengths, the first fold. It is stopped at the
first iteration whose objective is within the gap of the value reached here, which favours it by that value's own gap.
Both get float32 features and all cores. Compilation counts, shared by the layers of a width. Then the published recipe
against PyTorch, with that benchmark's defaults.
"""

import os
import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.errors import InputError
from bias_jax.probes import ConvexProbes, fit_convex
from bias_jax.probes.axes import principal_axes
from bias_jax.results import device, versions
from experiments.benchmarks.banks import benchmark_bank
from experiments.benchmarks.recipe import RecipeBenchmark, import_torch, run_recipe

STRENGTHS = tuple(float(f"{10.0 ** (5 * k / 7 - 5):.1e}") for k in range(8))  # 1e-5 to 1
PEERS = ("sklearn", "torch")


@dataclass(frozen=True)
class ProbeBenchmark:
    """What is measured."""

    data_dir: str = ""  # FairFace's folder (default: generated features of the same shapes)
    per_group: int = 16  # images per intersectional group at most
    layers: tuple[str, ...] = ()  # layers of ResNet50 (default: all 17)
    l2: tuple[float, ...] = STRENGTHS  # strengths
    folds: int = 5  # folds; each probe is trained on all but one
    tolerance: float = 1e-4  # relative gap of the objective, of both
    peer_seconds: float = 300.0  # scikit-learn is cut off after this time per probe, marked >
    peers: tuple[str, ...] = PEERS  # sklearn for the convex probes, torch for the published recipe

    def __post_init__(self) -> None:
        if self.folds < 2 or self.per_group < 1 or not self.l2 or min(self.l2) <= 0:
            raise InputError("--folds must be at least 2, --per-group and --l2 positive", remedy="see --help")
        if unknown := set(self.peers) - set(PEERS):
            raise InputError(f"unknown peers {sorted(unknown)}", remedy=f"give some of {', '.join(PEERS)}")


class PeerFit(NamedTuple):
    """One probe of scikit-learn's."""

    layer: str
    features: int
    target: str
    l2: float
    iterations: int
    seconds: float
    reached: bool  # the gap; otherwise it was cut off, or float32 rounding ended it


def run_probes(config: ProbeBenchmark) -> int:
    if "torch" in config.peers:
        import_torch()  # their turn comes much later
    if "sklearn" in config.peers and find_spec("sklearn") is None:
        raise InputError("scikit-learn is needed as the peer", remedy="pip install 'bias-jax[layouts]'")
    bank, labels, what = benchmark_bank(config.data_dir, config.per_group, config.layers)
    folds = np.random.default_rng(0).permutation(len(next(iter(labels.values())))) % config.folds
    print(f"{what}; {device()}, {threads()} threads, jax {versions()['jax']}")
    print(
        f"{len(labels)} targets x {len(config.l2)} strengths x {config.folds} folds, relative gap {config.tolerance:g}"
    )
    seconds, fits = solve_all(bank, labels, folds, config)
    print(f"peak memory {peak_memory() / 2**30:.1f} GiB")
    if "sklearn" in config.peers:
        compare(bank, labels, folds, config, seconds, fits)
    return run_recipe(RecipeBenchmark()) if "torch" in config.peers else 0


def product_rate(images: int, width: int, rows: int) -> float:
    """FLOP/s of the solver's larger product at full precision."""
    a, b = jnp.ones((rows, width)), jnp.ones((images, width))
    multiply = jax.jit(lambda a, b: jnp.matmul(a, b.T, precision="highest"))
    jax.block_until_ready(multiply(a, b))
    times = []
    for _ in range(10):
        start = time.perf_counter()
        jax.block_until_ready(multiply(a, b))
        times.append(time.perf_counter() - start)
    return 2.0 * images * width * rows / min(times)


def threads() -> int:
    """Of the processor, for both: as many as this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> float:
    """Bytes: of the accelerator, or of this process where there is none."""
    statistics = jax.devices()[0].memory_stats() or {}
    return statistics.get("peak_bytes_in_use", 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def solve_all(
    bank: Mapping[str, jax.Array],
    labels: Mapping[str, np.ndarray],
    folds: np.ndarray,
    config: ProbeBenchmark,
) -> tuple[dict[str, float], dict[str, ConvexProbes]]:
    """Seconds and probes of every layer; layers of one width share the time of compiling for it equally.

    Compilation and factorisation are timed by themselves: the share of the product rate is that of the solver's loop.
    The rate is measured before and after every layer, because shared machines drift.
    """
    count = len(labels) * len(config.l2) * config.folds
    classes = {t: int(y.max()) + 1 for t, y in labels.items()}
    print(
        "seconds of: compiling (once per width), factorising the layer, the solver's loop; GFLOP/s of its products, and"
    )
    print("of the larger one alone, float32, best of 10 before and after the layer; the share is the loop's")
    print(f"{'layer':<10}{'D':>6}{'probes':>8}{'steps':>7}{'compile':>9}{'factor':>8}{'loop':>8}"
          f"{'GFLOP/s':>9}{'products':>9}{'share':>7}{'worst gap':>11}")  # fmt: skip
    seconds, fits, spent, work, ideal = {}, {}, np.zeros(3), 0.0, 0.0
    rows = max(classes.values()) * config.folds
    compiling: dict[int, float] = {}  # seconds by width

    def solve(layer: str, max_steps: int) -> tuple[float, ConvexProbes, float]:
        start = time.perf_counter()
        fit = fit_convex({layer: bank[layer]}, labels, l2=config.l2, folds=folds, tolerance=config.tolerance,
                         max_steps=max_steps)  # fmt: skip
        worst = max(  # looked up before the clock stops: it waits for the device
            fit.gap(layer, t, l2, f) / fit.objective(layer, t, l2, f)
            for t in labels for l2 in config.l2 for f in range(config.folds)
        )  # fmt: skip
        return time.perf_counter() - start, fit, worst

    for layer, features in bank.items():
        width, compiled = features.shape[1], 0.0
        if width not in compiling:
            once, again = solve(layer, 1)[0], solve(layer, 1)[0]
            compiling[width] = compiled = max(once - again, 0.0)
        start = time.perf_counter()
        jax.block_until_ready(principal_axes(features))
        factor = time.perf_counter() - start
        before = product_rate(len(folds), 2048, rows)
        whole, fits[layer], worst = solve(layer, 2000)
        peak = 0.5 * (before + product_rate(len(folds), 2048, rows))
        parts = np.array([compiled, factor, whole - factor])
        seconds[layer] = whole
        steps = {t: sum(fits[layer].steps(layer, t, l2) for l2 in config.l2) for t in labels}
        products = sum(steps[t] * classes[t] for t in labels)
        flops = 4.0 * products * config.folds * len(folds) * (width + 1)
        spent, work, ideal = spent + parts, work + flops, ideal + flops / peak
        _row(layer, width, count, sum(steps.values()), parts, flops, peak, f"{worst:.1e}")
    _row("all", "", count * len(bank), "", spent, work, work / ideal, "")
    widths = [features.shape[1] for features in bank.values()]
    for layer, features in bank.items():
        seconds[layer] += compiling[features.shape[1]] / widths.count(features.shape[1])
    return seconds, fits


def _row(
    layer: str, width: object, count: int, steps: object, parts: np.ndarray, flops: float, peak: float, gap: str
) -> None:
    rate = flops / parts[2]
    print(f"{layer:<10}{width:>6}{count:>8}{steps:>7}{parts[0]:>9.1f}{parts[1]:>8.1f}{parts[2]:>8.1f}"
          f"{rate / 1e9:>9.0f}{peak / 1e9:>9.0f}{rate / peak:>7.0%}{gap:>11}", flush=True)  # fmt: skip


def compare(
    bank: Mapping[str, jax.Array],
    labels: Mapping[str, np.ndarray],
    folds: np.ndarray,
    config: ProbeBenchmark,
    seconds: Mapping[str, float],
    fits: Mapping[str, ConvexProbes],
) -> None:
    """The sample of scikit-learn's, and the ratio of times per probe."""
    count = len(labels) * len(config.l2) * config.folds
    print(f"\n{'layer':<10}{'D':>6} {'target':<22}{'l2':>8}{'iterations':>11}", end="")
    print(f"{'scikit-learn, s':>16}{'here, s':>9}{'ratio':>8}")
    sums: dict[str, list[float]] = {}
    for peer in sample(bank, labels, folds, config, fits):
        ours = seconds[peer.layer] / count
        mark = "" if peer.reached else " >"
        print(f"{peer.layer:<10}{peer.features:>6} {peer.target:<22}{peer.l2:>8g}{peer.iterations:>11}"
              f"{mark + f'{peer.seconds:.2f}':>16}{ours:>9.4f}{peer.seconds / ours:>8.0f}", flush=True)  # fmt: skip
        for key in (f"D = {peer.features}", "all"):
            total = sums.setdefault(key, [0.0, 0.0])
            total[0] += peer.seconds
            total[1] += ours
    sums["all"] = sums.pop("all")  # last
    for key, (theirs, ours) in sums.items():
        print(
            f"{key:<10} scikit-learn {theirs:8.1f} s, here {ours:7.3f} s for the same number: {theirs / ours:.0f} times"
        )


def sample(
    bank: Mapping[str, jax.Array],
    labels: Mapping[str, np.ndarray],
    folds: np.ndarray,
    config: ProbeBenchmark,
    fits: Mapping[str, ConvexProbes],
) -> Iterator[PeerFit]:
    """One layer of every width, every target, the middle strength of each third of the strengths, the first fold."""
    strengths = [float(part[len(part) // 2]) for part in np.array_split(sorted(config.l2), 3) if len(part)]
    widths = {features.shape[1]: layer for layer, features in bank.items()}
    for width, layer in widths.items():
        x = np.asarray(bank[layer], np.float64)
        x -= x.mean(axis=0)
        x = (x / np.sqrt(np.square(x).mean())).astype(np.float32)[folds != 0]
        for target, y in labels.items():
            for l2 in strengths:
                threshold = (1.0 + config.tolerance) * fits[layer].objective(layer, target, l2, 0)
                fit = scikit_learn(x, y[folds != 0], l2, threshold, config.peer_seconds)
                yield PeerFit(layer, width, target, l2, *fit)


def scikit_learn(x: np.ndarray, y: np.ndarray, l2: float, threshold: float, limit: float) -> tuple[int, float, bool]:
    """Iterations, seconds, and whether the objective came down to the threshold within the limit."""
    from scipy import optimize
    from sklearn.linear_model import LogisticRegression

    original, start, reached, iterations = optimize.minimize, time.perf_counter(), False, 0

    def stop(intermediate_result) -> None:
        nonlocal reached, iterations
        iterations += 1
        reached = intermediate_result.fun <= threshold
        if reached or time.perf_counter() - start > limit:
            raise StopIteration

    def minimise(*arguments, **options):
        return original(*arguments, **{**options, "callback": stop})

    # Of two classes scikit-learn fits the difference of the weights, whose penalty is half as large.
    strength = (2.0 if len(np.unique(y)) == 2 else 1.0) / (l2 * len(y))
    with patch.object(optimize, "minimize", minimise):
        model = LogisticRegression(C=strength, tol=1e-12, max_iter=100_000)
        # Stopping early is the purpose, so the warning about it says nothing.
        with patch("sklearn.linear_model._logistic._check_optimize_result", lambda *a, **k: iterations):
            model.fit(x, y)
    return iterations, time.perf_counter() - start, reached
