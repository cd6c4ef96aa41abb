"""Linear probes: this package's solver against others, each to the same objective gap.

Every layer of ResNet50, every target, strength and fold is solved here. scikit-learn's LogisticRegression (lbfgs),
which would need days, solves a sample: one layer of every width, every target, three strengths, the first fold. L-BFGS
in PyTorch solves all probes of one layer of every width, those of a strength at once, on the accelerator if there is
one. Both are stopped at the first iteration whose objective is within the gap of the value reached here, which favours
them by that value's own gap. All get float32 features and all cores. Compilation counts, shared by the layers of a
width. Then the published recipe against PyTorch, with that benchmark's defaults.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from bias_jax.errors import InputError
from bias_jax.probes import ConvexProbes, fit_convex
from bias_jax.probes.axes import principal_axes
from bias_jax.results import device, versions
from experiments.benchmarks.banks import benchmark_bank
from experiments.benchmarks.lbfgs_peer import compare_lbfgs
from experiments.benchmarks.machine import peak_memory, product_rate, threads
from experiments.benchmarks.peers import check_names, require
from experiments.benchmarks.recipe import RecipeBenchmark, run_recipe
from experiments.benchmarks.report import Column, Line, Table
from experiments.benchmarks.sklearn_peer import compare_sklearn
from experiments.benchmarks.solved import Job, Solved
from experiments.benchmarks.timing import timed

STRENGTHS = tuple(float(f"{10.0 ** (5 * k / 7 - 5):.1e}") for k in range(8))  # 1e-5 to 1
PEERS = ("sklearn", "torch-lbfgs", "recipe")
SOLVED = (
    Column("layer", width=10),
    Column("features", form="d"),
    Column("probes", form="d"),
    Column("steps", form="d"),
    Column("compiling", "s", ".1f"),
    Column("factorising", "s", ".1f"),
    Column("loop", "s", ".1f", 8),
    Column("rate", "GFLOP/s", ".0f"),
    Column("product alone", "GFLOP/s", ".0f"),
    Column("share", form=".0%"),
    Column("worst gap", form=".1e"),
)


@dataclass(frozen=True)
class ProbeBenchmark:
    """What is measured."""

    data_dir: str = ""  # FairFace's folder (default: generated features of the same shapes)
    per_group: int = 16  # images per intersectional group at most
    layers: tuple[str, ...] = ()  # layers of ResNet50 (default: all 17)
    l2: tuple[float, ...] = STRENGTHS  # strengths
    folds: int = 5  # folds; each probe is trained on all but one
    tolerance: float = 1e-4  # relative gap of the objective, of all
    peer_seconds: float = 300.0  # scikit-learn is cut off after this time per probe
    batch_seconds: float = 900.0  # torch-lbfgs is cut off after this time per layer
    peers: tuple[str, ...] = PEERS  # sklearn, torch-lbfgs: the convex probes; recipe: the published recipe, by PyTorch

    def __post_init__(self) -> None:
        if self.folds < 2 or self.per_group < 1 or not self.l2 or min(self.l2) <= 0:
            raise InputError("--folds must be at least 2, --per-group and --l2 positive", remedy="see --help")
        if min(self.tolerance, self.peer_seconds, self.batch_seconds) <= 0:
            raise InputError("--tolerance and seconds must be positive", remedy="see --help")
        check_names(self.peers, PEERS)


def run_probes(config: ProbeBenchmark) -> Iterator[Line]:
    """Probes of every layer here, then the peers."""
    require(config.peers)  # their turn comes much later
    bank, labels, what = benchmark_bank(config.data_dir, config.per_group, config.layers)
    folds = np.random.default_rng(0).permutation(len(next(iter(labels.values())))) % config.folds
    job = Job(bank, labels, folds, config.l2, config.tolerance)
    yield f"{what}; {device()}, {threads()} threads, jax {versions()['jax']}"
    yield (
        f"{len(labels)} targets x {len(config.l2)} strengths x {config.folds} folds, relative gap {config.tolerance:g}"
    )
    solved = Solved({}, {}, {})
    yield from solve_all(job, solved)
    yield f"peak memory {peak_memory() / 2**30:.1f} GiB"
    if "torch-lbfgs" in config.peers:
        yield from compare_lbfgs(job, solved, config.batch_seconds)
    if "sklearn" in config.peers:
        yield from compare_sklearn(job, solved, config.peer_seconds)
    if "recipe" in config.peers:
        yield from run_recipe(RecipeBenchmark())


def solve_all(job: Job, solved: Solved) -> Iterator[Line]:
    """Solve every layer and put its times and probes into `solved`.

    Compilation and factorisation are timed by themselves: the share of the product rate is that of the solver's loop.
    The rate is measured before and after every layer, because shared machines drift.
    """
    yield "compiling is once per width; rates: of the loop's products, and of the larger one alone, best of 10, float32"
    yield Table("Probes of this package", SOLVED)
    classes = {t: int(y.max()) + 1 for t, y in job.labels.items()}
    spent, work, ideal = np.zeros(3), 0.0, 0.0
    rows = max(classes.values()) * job.fold_count
    compiling: dict[int, float] = {}  # seconds by width
    for layer, features in job.bank.items():
        width, compiled = features.shape[1], 0.0
        if width not in compiling:
            once, again = _solve(job, layer, 1)[0], _solve(job, layer, 1)[0]
            compiling[width] = compiled = max(once - again, 0.0)
        factor = timed(partial(principal_axes, features))
        before = product_rate(len(job.folds), 2048, rows)
        whole, fit, worst = _solve(job, layer, 2000)
        peak = 0.5 * (before + product_rate(len(job.folds), 2048, rows))
        parts = np.array([compiled, factor, whole - factor])
        solved.seconds[layer], solved.probes[layer] = whole, fit
        steps = {t: sum(fit.steps(layer, t, l2) for l2 in job.l2) for t in job.labels}
        products = sum(steps[t] * classes[t] for t in job.labels)
        flops = 4.0 * products * job.fold_count * len(job.folds) * (width + 1)
        spent, work, ideal = spent + parts, work + flops, ideal + flops / peak
        rate = flops / parts[2]
        yield (layer, width, job.count, sum(steps.values()), *parts, rate / 1e9, peak / 1e9, rate / peak, worst)
    rate, peak = work / spent[2], work / ideal
    yield ("all", None, job.count * len(job.bank), None, *spent, rate / 1e9, peak / 1e9, rate / peak, None)
    widths = [features.shape[1] for features in job.bank.values()]
    for layer, features in job.bank.items():
        solved.compiling[layer] = compiling[features.shape[1]] / widths.count(features.shape[1])


def _solve(job: Job, layer: str, max_steps: int) -> tuple[float, ConvexProbes, float]:
    """Seconds, probes and the worst relative gap of one layer."""
    found = []

    def program() -> None:
        fit = fit_convex({layer: job.bank[layer]}, job.labels, l2=job.l2, folds=job.folds, tolerance=job.tolerance,
                         max_steps=max_steps)  # fmt: skip
        worst = max(  # looked up before the clock stops: it waits for the device
            fit.gap(layer, t, l2, f) / fit.objective(layer, t, l2, f)
            for t in job.labels for l2 in job.l2 for f in range(job.fold_count)
        )  # fmt: skip
        found.append((fit, worst))

    return (timed(program), *found[0])
