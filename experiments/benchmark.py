"""Measure speed: python -m experiments.benchmark NAME [options]; `NAME --help` explains the options of each.

Every benchmark runs its peer in the same process and prints medians or bests with their spread; `all` runs every one.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, Union

import tyro

from experiments.benchmarks import everything
from experiments.benchmarks.everything import AllBenchmarks, run_all
from experiments.benchmarks.registry import BENCHMARKS
from experiments.benchmarks.report import print_lines
from experiments.commands import parse, run

EXPLAINED = {**{name: (b.config, b.module) for name, b in BENCHMARKS.items()}, "all": (AllBenchmarks, everything)}
CHOICE = Union[tuple(  # type: ignore[valid-type]  # noqa: UP007
    Annotated[config, tyro.conf.subcommand(name, description=module.__doc__, prefix_name=False)]
    for name, (config, module) in EXPLAINED.items()
)]  # fmt: skip


def benchmark(config: Any) -> int:
    """Run the benchmark that a configuration belongs to."""
    if isinstance(config, AllBenchmarks):
        return run_all(config)
    print_lines(next(b for b in BENCHMARKS.values() if isinstance(config, b.config)).lines(config))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run(lambda: benchmark(parse(CHOICE, argv, "benchmark", __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
