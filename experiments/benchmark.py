"""Measure speed: python -m experiments.benchmark {loading} [options].

Every benchmark runs its peer side by side, in alternation, in one process, and prints medians with their spread.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.benchmarks import loading
from experiments.command_line import run

BENCHMARKS = {"loading": loading}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="benchmark", required=True)
    for name, module in BENCHMARKS.items():
        module.add_options(commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0]))
    options = parser.parse_args(argv)
    return run(lambda: BENCHMARKS[options.benchmark].benchmark(options))


if __name__ == "__main__":
    sys.exit(main())
