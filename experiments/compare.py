"""Compare two finished sweeps on the same images: trained against untrained, or one network against another.

    python -m experiments.compare --first runs/trained --second runs/untrained

For every target it takes the layers that both runs share, and tests the difference of their held-out probes image by
image. Writes comparison.parquet and comparison.png and prints the table. Corrections are for all rows of a metric.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bias_jax.errors import InputError
from bias_jax.probes import COMPARED, Difference, OutOfFold, compare_probes, model_pairs, probe_values
from bias_jax.randomness import key_for
from bias_jax.report import difference_by_layer
from bias_jax.results import RunDirectory, save_columns
from experiments.analyses import probes_file
from experiments.command_line import option, parse, run
from experiments.probe_tables import Shapes, columns


@dataclass(frozen=True)
class CompareConfig:
    """Two runs."""

    first: str = option("", "run directory of a sweep")
    second: str = option("", "run directory to subtract: another network, other weights, or the untrained control")
    out: str = option("runs/comparison", "where table and figure go")
    draws: int = option(2000, "bootstrap draws for intervals")

    def __post_init__(self) -> None:
        if not self.first or not self.second:
            raise InputError("--first and --second must name two run directories", remedy="see --help")
        if self.draws < 100:
            raise InputError("--draws must be at least 100", remedy="see --help")


@dataclass(frozen=True)
class Run:
    """What is read from a finished sweep."""

    name: str
    record: dict
    results: dict[str, OutOfFold]  # layer ->

    @property
    def shapes(self) -> Shapes:
        return {target: tuple((name, size) for name, size in parts) for target, parts in self.record["targets"].items()}


def read_run(path: str) -> Run:
    directory, record = RunDirectory.existing(path)
    layers = [layer for wave in record["identity"].get("waves", ()) for layer in wave]
    missing = [layer for layer in layers if not directory.has(probes_file(layer))]
    if missing or not layers or "targets" not in record:
        what = f"layer {missing[0]} is missing" if missing else "it is not a sweep"
        raise InputError(f"is not finished ({what})", file=path, remedy="run the same sweep again: it continues")
    results = {}
    for layer in layers:
        arrays = directory.load_arrays(probes_file(layer))
        if arrays.keys() != OutOfFold.__dataclass_fields__.keys():
            file, remedy = directory.path / probes_file(layer), "run that sweep again, with another --out"
            raise InputError("written by another version of bias-jax", file=file, remedy=remedy)
        results[layer] = OutOfFold(**arrays)
    return Run(f"{record['identity']['config']['model']}, {record['weights']}", record, results)


def check_same_images(config: CompareConfig, first: Run, second: Run) -> None:
    """Paired differences need the same images in the same folds."""
    a, b = first.record["identity"], second.record["identity"]
    if a["data_sha256"] != b["data_sha256"]:
        raise InputError(
            "other images than in the first run", file=config.second, remedy="compare runs on the same data"
        )
    for field in ("seed", "folds"):
        if a["config"][field] != b["config"][field]:
            problem = f"has --{field} {b['config'][field]}, the first run {a['config'][field]}"
            raise InputError(problem, file=config.second, remedy="repeat one of them with the other's")
    if not set(first.results) & set(second.results):
        raise InputError("the two runs share no layer", remedy="compare networks with layers of the same name")


def compare(config: CompareConfig) -> int:
    first, second = read_run(config.first), read_run(config.second)
    check_same_images(config, first, second)
    groups = next(iter(first.results.values())).truth[0, list(first.shapes).index(first.record["groups"])]
    rows: list[Difference] = []
    for metric in COMPARED:
        # Two runs of one network carry the same name, so the values are told apart by their place.
        mine = probe_values(f"first: {first.name}", first.results, first.shapes, metric)
        theirs = probe_values(f"second: {second.name}", second.results, second.shapes, metric)
        pairs, key = model_pairs(list(mine), list(theirs)), key_for(0, "bootstrap")
        rows += compare_probes(metric, mine | theirs, pairs, groups, draws=config.draws, key=key)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    save_columns(out / "comparison.parquet", columns(row._asdict() for row in rows))
    shown = [row for row in rows if row.metric == COMPARED[0]]
    title = f"{first.name}\nminus {second.name}, {len(groups)} images"
    difference_by_layer(out / "comparison.png", shown, title)
    print(f"{COMPARED[0]} of {first.name}\n  minus that of {second.name}, {len(groups)} images")
    for row in shown:
        interval = f"{row.value:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
        print(f"{row.layer:<14} {row.target:<22} {interval}  p (Holm) {row.p_holm:.2g}")
    print(f"results: {out}/ (comparison.parquet, comparison.png)")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run(lambda: compare(parse(CompareConfig, argv, __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
