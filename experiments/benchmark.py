"""Measure throughput: ``python -m experiments.benchmark association --help``."""

import sys
from collections.abc import Callable, Sequence

from bias_jax.errors import InputError
from experiments.association_benchmark import run_association
from experiments.command_line import run

BENCHMARKS: dict[str, Callable[[Sequence[str]], int]] = {"association": run_association}


def main(argv: Sequence[str] | None = None) -> int:
    def program() -> int:
        arguments = list(sys.argv[1:] if argv is None else argv)
        if not arguments or arguments[0] not in BENCHMARKS:
            given = f"unknown benchmark {arguments[0]!r}" if arguments else "which benchmark?"
            raise InputError(given, remedy=f"give one of {', '.join(BENCHMARKS)}")
        return BENCHMARKS[arguments[0]](arguments[1:])

    return run(program)


if __name__ == "__main__":
    sys.exit(main())
