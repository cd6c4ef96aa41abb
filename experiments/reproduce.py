"""Test what a paper found: python -m experiments.reproduce PAPER [options]; `PAPER --help` explains the rules of each.

The paper's protocol is run as far as it is known, an honest one beside it, by ordinary audits that a killed command
continues. Every published finding becomes a line: the sentence, our number with its interval, and whether it is
supported, not supported, or not decidable with these images, and why; printed, as published/findings.parquet, and on
top of report.html.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union

import tyro

from experiments.commands import parse, run
from experiments.reproductions import krug2025, mahadev2021, steed2021
from experiments.reproductions.krug2025 import Krug2025Config
from experiments.reproductions.mahadev2021 import Mahadev2021Config
from experiments.reproductions.steed2021 import Steed2021Config

PAPERS: Mapping[str, tuple[Any, Any]] = {
    "krug2025": (Krug2025Config, krug2025),
    "steed2021": (Steed2021Config, steed2021),
    "mahadev2021": (Mahadev2021Config, mahadev2021),
}
CHOICE = Union[tuple(  # type: ignore[valid-type]  # noqa: UP007
    Annotated[config, tyro.conf.subcommand(name, description=module.__doc__, prefix_name=False)]
    for name, (config, module) in PAPERS.items()
)]  # fmt: skip


def reproduce(config: Any) -> int:
    """Run the reproduction that a configuration belongs to."""
    return next(module.reproduce(config) for kind, module in PAPERS.values() if isinstance(config, kind))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run(lambda: reproduce(parse(CHOICE, argv, "reproduce", __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
