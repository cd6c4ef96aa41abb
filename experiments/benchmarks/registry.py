"""All benchmarks by name, and what a run of one gives."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from experiments.benchmarks import (
    association,
    completions,
    erasure,
    extract,
    growth,
    heads,
    jobs,
    loading,
    probes,
    recipe,
    topomaps,
)  # fmt: skip
from experiments.benchmarks.report import Line


class Benchmark(NamedTuple):
    """One benchmark."""

    config: type[Any]  # frozen dataclass of its options
    lines: Callable[[Any], Iterator[Line]]  # runs it
    module: ModuleType  # whose docstring explains it


BENCHMARKS = {
    "extract": Benchmark(extract.ExtractBenchmark, extract.run_extract, extract),
    "loading": Benchmark(loading.LoadingBenchmark, loading.run_loading, loading),
    "probes": Benchmark(probes.ProbeBenchmark, probes.run_probes, probes),
    "growth": Benchmark(growth.GrowthBenchmark, growth.run_growth, growth),
    "jobs": Benchmark(jobs.JobsBenchmark, jobs.run_jobs, jobs),
    "recipe": Benchmark(recipe.RecipeBenchmark, recipe.run_recipe, recipe),
    "topomaps": Benchmark(topomaps.TopomapsBenchmark, topomaps.run_topomaps, topomaps),
    "association": Benchmark(association.AssociationBenchmark, association.run_association, association),
    "erasure": Benchmark(erasure.ErasureBenchmark, erasure.run_erasure, erasure),
    "completions": Benchmark(completions.CompletionsBenchmark, completions.run_completions, completions),
    "heads": Benchmark(heads.HeadsBenchmark, heads.run_heads, heads),
}
