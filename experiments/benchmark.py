"""Measure speed: python -m experiments.benchmark NAME [options], with --help for the options of each.

Every benchmark runs its peer in the same process and prints medians or bests with their spread.
"""

import sys
from collections.abc import Callable, Sequence

from bias_jax.errors import InputError
from experiments.benchmarks.association import run_association
from experiments.benchmarks.extract import run_extract
from experiments.benchmarks.growth import run_growth
from experiments.benchmarks.heads import run_heads
from experiments.benchmarks.loading import run_loading
from experiments.benchmarks.probes import run_probes
from experiments.benchmarks.recipe import run_recipe
from experiments.benchmarks.topomaps import run_topomaps
from experiments.command_line import run

BENCHMARKS: dict[str, Callable[[Sequence[str]], int]] = {
    "extract": run_extract,
    "loading": run_loading,
    "probes": run_probes,
    "growth": run_growth,
    "association": run_association,
    "topomaps": run_topomaps,
    "heads": run_heads,
    "recipe": run_recipe,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""

    def program() -> int:
        arguments = list(sys.argv[1:] if argv is None else argv)
        if not arguments or arguments[0] not in BENCHMARKS:
            given = f"unknown benchmark {arguments[0]!r}" if arguments else "which benchmark?"
            raise InputError(given, remedy=f"give one of {', '.join(BENCHMARKS)}")
        return BENCHMARKS[arguments[0]](arguments[1:])

    return run(program)


if __name__ == "__main__":
    sys.exit(main())
