"""Write one page about a finished run, or about several side by side: readable offline, without JavaScript.

    python -m experiments.report runs/resnet50-fairface
    python -m experiments.report runs/trained runs/untrained --out comparison.html

Every sweep writes the page of its own run at its end; it is made of the run directory alone. Pictures of people are
left out unless --with-images is given.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from bias_jax.errors import InputError
from bias_jax.report.page import write_report
from experiments.commands import parse, run


@dataclass(frozen=True)
class ReportConfig:
    """Which runs, and where the page goes."""

    runs: tyro.conf.Positional[tuple[Path, ...]] = ()  # run directories, the --out of sweeps
    out: str = ""  # file to write (default: report.html in the run directory; of several runs, in this folder)
    with_images: bool = False  # show figures with pictures of people, too

    def __post_init__(self) -> None:
        if not self.runs:
            raise InputError("no run directory is given", remedy="python -m experiments.report RUN [RUN ...]")


def report(config: ReportConfig) -> int:
    """Write the page and say where it is."""
    print(f"report: {write_report(config.runs, with_images=config.with_images, out=config.out or None)}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run(lambda: report(parse(ReportConfig, argv, "report", __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
