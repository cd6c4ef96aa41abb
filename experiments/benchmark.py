"""Measure speed: python -m experiments.benchmark NAME [options]; `NAME --help` explains the options of each.

Every benchmark runs its peer in the same process and prints medians or bests with their spread.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Union

import tyro

from experiments.benchmarks import association, extract, growth, heads, loading, probes, recipe, topomaps
from experiments.commands import parse, run

# Configuration, program, and the module whose docstring explains both.
BENCHMARKS: dict[str, tuple[Any, Callable[[Any], int], Any]] = {
    "extract": (extract.ExtractBenchmark, extract.run_extract, extract),
    "loading": (loading.LoadingBenchmark, loading.run_loading, loading),
    "probes": (probes.ProbeBenchmark, probes.run_probes, probes),
    "growth": (growth.GrowthBenchmark, growth.run_growth, growth),
    "recipe": (recipe.RecipeBenchmark, recipe.run_recipe, recipe),
    "topomaps": (topomaps.TopomapsBenchmark, topomaps.run_topomaps, topomaps),
    "association": (association.AssociationBenchmark, association.run_association, association),
    "heads": (heads.HeadsBenchmark, heads.run_heads, heads),
}
CHOICE = Union[tuple(  # type: ignore[valid-type]  # noqa: UP007
    Annotated[config, tyro.conf.subcommand(name, description=module.__doc__, prefix_name=False)]
    for name, (config, _, module) in BENCHMARKS.items()
)]  # fmt: skip


def benchmark(config: Any) -> int:
    """Run the benchmark that a configuration belongs to."""
    program = next(program for kind, program, _ in BENCHMARKS.values() if isinstance(config, kind))
    return program(config)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run(lambda: benchmark(parse(CHOICE, argv, "benchmark", __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
