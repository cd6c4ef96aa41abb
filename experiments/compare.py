"""Compare two finished sweeps on the same images: trained against untrained, or one network against another.

    python -m experiments.compare --first runs/trained --second runs/untrained

For every target it takes the layers that both runs share, and tests the difference of their held-out probes image by
image. Writes comparison.parquet and comparison.png and prints the table. Corrections are for all rows of a metric.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bias_jax.audit import Stored, open_stored
from bias_jax.errors import InputError
from bias_jax.instruments.faces import PEOPLE
from bias_jax.instruments.probes import Shapes, fitting_results, probe_facts, shapes_of
from bias_jax.probes import COMPARED, Difference, OutOfFold, compare_probes, model_pairs, probe_values
from bias_jax.randomness import key_for
from bias_jax.report import difference_by_layer
from bias_jax.results import Folder, RunDirectory
from bias_jax.statistics import collapsed_strata
from experiments.commands import parse, run

RECORD = {"model": str, "weights": str, "seed": int, "identity": {"data_sha256": None}}  # what is read of run.json


@dataclass(frozen=True)
class CompareConfig:
    """Two runs."""

    first: str = ""  # run directory of a sweep
    second: str = ""  # run directory to subtract: another network, other weights, or the untrained control
    out: str = "runs/comparison"  # where table and figure go
    draws: int = 2000  # bootstrap draws for intervals

    def __post_init__(self) -> None:
        if not self.first or not self.second:
            raise InputError("--first and --second must name two run directories", remedy="see --help")
        if self.draws < 100:
            raise InputError("--draws must be at least 100", remedy="see --help")


@dataclass(frozen=True)
class Run:
    """The probes of a finished sweep."""

    path: str
    record: dict  # of run.json
    stored: Stored
    options: dict  # of the probes

    @property
    def name(self) -> str:
        return f"{self.record['model']}, {self.record['weights']}"

    @cached_property
    def shapes(self) -> Shapes:
        """Attributes of every target."""
        return shapes_of(probe_facts(self.stored))

    @cached_property
    def fitting(self) -> tuple[dict[str, OutOfFold], np.ndarray]:
        """See `fitting_results`."""
        return fitting_results(self.stored)

    @property
    def results(self) -> dict[str, OutOfFold]:
        """layer -> predictions."""
        return self.fitting[0]


def read_run(path: str) -> Run:
    """Open the probes of a run.

    Raises:
        InputError: it is no run, it has no probes, or they are not finished.
    """
    directory, _ = RunDirectory.existing(path)
    if not directory.has("probes/instrument.json"):
        raise InputError("holds no probes", file=path, remedy="give the --out of a sweep with probes")
    stored = open_stored(directory.path / "probes")
    if not stored.folder.has("tables.json"):
        raise InputError("is not finished", file=path, remedy="run the same sweep again: it continues")
    about = stored.folder.load_json("instrument.json", {"identity": {"options": {"folds": int}}})
    return Run(path, directory.load_json("run.json", RECORD), stored, about["identity"]["options"])


def check_same_images(first: Run, second: Run) -> None:
    """Paired differences need the same images in the same folds.

    Raises:
        InputError: what differs.
    """
    a, b = first.record["identity"], second.record["identity"]
    if a["data_sha256"] != b["data_sha256"]:
        raise InputError("other images than in the first run", file=second.path, remedy="compare runs on the same data")
    settings = {"--seed": [run.record["seed"] for run in (first, second)],
                "--probes.folds": [run.options["folds"] for run in (first, second)]}  # fmt: skip
    for name, (mine, theirs) in settings.items():
        if mine != theirs:
            problem = f"has {name} {theirs}, the first run {mine}"
            raise InputError(problem, file=second.path, remedy="repeat one of them with the other's")
    if first.shapes != second.shapes:
        targets = ", ".join(first.shapes)
        problem = f"other targets or categories than in the first run ({targets})"
        raise InputError(problem, file=second.path, remedy="repeat one of them with the other's --attributes")
    if not set(first.results) & set(second.results):
        raise InputError("the two runs share no layer", remedy="compare networks with layers of the same name")


def compare(config: CompareConfig) -> int:
    """Test every shared layer, write table and figure."""
    first, second = read_run(config.first), read_run(config.second)
    check_same_images(first, second)
    shapes, people = first.shapes, first.stored.arrays.get(PEOPLE)
    groups = collapsed_strata(first.fitting[1], people)
    rows: list[Difference] = []
    for metric in COMPARED:
        # Two runs of one network carry the same name, so the values are told apart by their place.
        mine = probe_values(f"first: {first.name}", first.results, shapes, metric)
        theirs = probe_values(f"second: {second.name}", second.results, shapes, metric)
        pairs, key = model_pairs(list(mine), list(theirs)), key_for(0, "bootstrap")
        rows += compare_probes(metric, mine | theirs, pairs, groups, draws=config.draws, key=key, people=people)
    out = Folder(config.out)
    out.save_table("comparison.parquet", [row._asdict() for row in rows])
    shown = [row for row in rows if row.metric == COMPARED[0]]
    title = f"{first.name}\nminus {second.name}, {len(groups)} images"
    out.save_figure("comparison.png", difference_by_layer([row._asdict() for row in shown], title))
    print(f"{COMPARED[0]} of {first.name}\n  minus that of {second.name}, {len(groups)} images")
    for row in shown:
        interval = f"{row.value:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
        print(f"{row.layer:<14} {row.target:<22} {interval}  p (Holm) {row.p_holm:.2g}")
    print(f"results: {Path(config.out)}/ (comparison.parquet, comparison.png)")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run(lambda: compare(parse(CompareConfig, argv, "compare", __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
