"""Options of every benchmark for `all`: `quick` takes minutes on a GPU, `tiny` only shows that everything runs.

The order is that of the run: what is measured last is what a short budget leaves out.
"""

from collections.abc import Mapping
from typing import Any

from experiments.benchmarks.association import AssociationBenchmark
from experiments.benchmarks.completions import CompletionsBenchmark
from experiments.benchmarks.erasure import ErasureBenchmark
from experiments.benchmarks.extract import ExtractBenchmark
from experiments.benchmarks.growth import GrowthBenchmark
from experiments.benchmarks.heads import HeadsBenchmark
from experiments.benchmarks.jobs import JobsBenchmark
from experiments.benchmarks.loading import LoadingBenchmark
from experiments.benchmarks.probes import ProbeBenchmark
from experiments.benchmarks.recipe import RecipeBenchmark
from experiments.benchmarks.topomaps import TopomapsBenchmark

ONE_PER_WIDTH = ("maxpool", "layer1.0", "layer2.0", "layer3.0", "layer4.0")
CONVEX_PEERS = ("sklearn", "torch-lbfgs")  # the recipe has a benchmark of its own
QUICK: Mapping[str, Any] = {
    "extract": ExtractBenchmark(repeats=2),
    "loading": LoadingBenchmark(images=256, extract=128, repeats=2),
    "probes": ProbeBenchmark(layers=ONE_PER_WIDTH, peer_seconds=0.7, batch_seconds=12.0, peers=CONVEX_PEERS),
    "growth": GrowthBenchmark(images=(500, 2000, 8000), features=(64, 2048), probes=(1, 5, 40), repeats=3),
    "jobs": JobsBenchmark(jobs=(10, 160, 2560), repeats=2),
    "recipe": RecipeBenchmark(epochs=3, repeats=1),
    "topomaps": TopomapsBenchmark(widest=512, numpy_steps=1, repeats=2),
    "association": AssociationBenchmark(numpy_draws=10_000),
    "erasure": ErasureBenchmark(repeats=2, per_group=4),
    "completions": CompletionsBenchmark(pixels=64),
    "heads": HeadsBenchmark(widths=(64, 256, 512, 1024, 2048), epochs=1, repeats=1),
}
TINY: Mapping[str, Any] = {
    "extract": ExtractBenchmark(networks=("resnet50",), batch_size=1, repeats=1),
    "loading": LoadingBenchmark(images=24, extract=6, batch_size=4, repeats=1),
    "probes": ProbeBenchmark(
        layers=("maxpool",), per_group=1, l2=(0.1, 1.0), folds=2, peer_seconds=1.0, batch_seconds=20.0,
        peers=CONVEX_PEERS,
    ),
    "growth": GrowthBenchmark(images=(60,), features=(8,), probes=(3,), usual=(50, 16, 2), classes=3, repeats=1),
    "jobs": JobsBenchmark(jobs=(4,), devices=(1,), shared=4, images=60, features=8, classes=3, strengths=2, repeats=1),
    "recipe": RecipeBenchmark(
        widths=(4,), classes=(2, 3), images=40, l1=1, learning_rates=1, seeds=1, epochs=1, repeats=1
    ),
    "topomaps": TopomapsBenchmark(widest=64, units=50, force_steps=10, numpy_steps=2, repeats=1, minisom_steps=1),
    "association": AssociationBenchmark(layers=2, draws=2000, numpy_draws=500),
    "erasure": ErasureBenchmark(
        images=20, widths=(4,), classes=(2, 3), repeats=1, per_group=1, layers=("maxpool",), l2=(1.0,), folds=2
    ),
    "completions": CompletionsBenchmark(blocks=1, images=2, samples=2, rows=2, pixels=4),
    "heads": HeadsBenchmark(widths=(8, 12), images=40, classes=5, batch_size=8, repeats=1),
}  # fmt: skip
SIZES = {"quick": QUICK, "tiny": TINY}
