"""Check a data set before it is audited: python -m experiments.data check DIR.

Lists every defect with file and row, duplicate images (also across splits), empty groups, and differences from the
published counts; writes a table and a picture of the groups. Exit status 0 if nothing is wrong, 1 if something is,
2 if the data cannot be checked at all.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bias_jax.data import FaceDataset, read_fairface, read_utkface
from bias_jax.data.checking import SplitCheck, check_split, contradictions, duplicates, official_differences
from bias_jax.data.fairface import SPLITS
from bias_jax.data.labels import LabelRules
from bias_jax.data.separated import table_rows
from bias_jax.data.text_files import Table
from bias_jax.errors import InputError, counted
from bias_jax.report import group_counts
from bias_jax.results import Folder
from experiments.commands import run
from experiments.datasets import DataConfig

SHOWN = 5  # examples of each kind of defect


def check(config: DataConfig, out: Path) -> int:
    """Check, print and write; the number of defects decides the status."""
    if config.data == "utkface":
        checks = [check_split("all", lambda on_problem: read_utkface(config.data_dir))]
    else:
        checks = [check_split(split, partial(_read_split, config, split)) for split in SPLITS[config.splits]]
    readable = [c for c in checks if c.dataset is not None]
    if not readable and all(len(c.problems) == 1 for c in checks):  # nothing but why each split cannot be read
        raise checks[0].problems[0]
    defects = 0
    for found in checks:
        defects += len(found.problems)
        describe(found)
        if config.data == "fairface":
            for note in [*official_differences(found), *service_test_notes(config, found.split)]:
                print(f"  note: {note}")
    for names in (twins := duplicates(checks))[:SHOWN]:
        print(f"duplicate images (same pixels): {', '.join(names)}")
    if len(twins) > SHOWN:
        print(f"... and {len(twins) - SHOWN} more sets of duplicates")
    defects += len(contrary := contradictions(checks))
    if contrary:
        print(f"{len(contrary)} x duplicate image with other labels")
    for problem in contrary[:SHOWN]:
        print(f"    {problem}")
    told = f"{counted(defects, 'defect', 'defects')}, {counted(len(twins), 'set', 'sets')} of duplicates"
    if readable:
        write_counts(readable, out)
        print(f"{told}; table and picture: {out}/counts.parquet, counts.png")
    else:
        print(f"{told}; no image is left to count")
    return 1 if defects or twins else 0


def _read_split(config: DataConfig, split: str, on_problem: Callable[[InputError], None]) -> FaceDataset:
    return read_fairface(
        config.data_dir,
        splits=split,
        padding=config.padding,
        rules=LabelRules(config.missing, config.merge_case),
        encoding=config.encoding,
        skip_lines=config.skip_lines,
        repair_labels=config.repair_labels,
        on_problem=on_problem,
    )


def describe(found: SplitCheck) -> None:
    """Print one split: its size, its defects by kind, its groups."""
    total = len(found.dataset) if found.dataset else 0
    images = "image" if total == 1 else "images"
    print(f"{found.split}: {total:,} {images} with complete labels, {len(found.unreadable)} of them unreadable")
    kinds = Counter(_kind(str(problem)) for problem in found.problems)
    for kind, count in kinds.most_common():
        print(f"  {count} x {kind}")
        for problem in [p for p in found.problems if _kind(str(p)) == kind][:SHOWN]:
            print(f"    {problem}")
    if found.dataset is None:
        return
    for note in found.dataset.notes:
        print(f"  note: {note}")
    if found.blank:
        blank = counted(len(found.blank), "image is", "images are")
        print(f"  note: {blank} of one colour, the first {found.blank[0]!r}")
    counts = np.bincount(found.dataset.group_labels, minlength=found.dataset.groups.size)
    empty = [name for name, n in zip(found.dataset.groups.classes, counts, strict=True) if n == 0]
    print(f"  groups: {len(counts)}, {len(empty)} empty, smallest {counts[counts > 0].min()}, largest {counts.max():,}")
    for name in empty[:SHOWN]:
        print(f"    empty: {name}")


def _kind(message: str) -> str:
    for text, kind in (
        ("spreadsheet", "age mangled by a spreadsheet (--repair-labels accepts them)"),
        ("is not one of", "label outside the vocabulary"),
        ("in case alone", "label in another case (--merge-case accepts it)"),
        ("is missing", "label that is missing (--missing drop leaves the image out)"),
        ("listed but absent", "image listed but absent"),
        ("leaves the data directory", "path outside the data directory"),
        ("listed twice", "image listed twice"),
        ("cannot be decoded", "image that cannot be decoded"),
    ):
        if text in message:
            return kind
    return "other defect"


def service_test_notes(config: DataConfig, split: str) -> list[str]:
    """How unevenly the undocumented column falls on groups; nothing is ever filtered by it."""
    path = Path(config.data_dir) / f"fairface_label_{split}.csv"
    try:
        rows = [
            fields
            for _, fields in table_rows(
                Table.file(path, config.encoding, config.skip_lines), ["service_test", "race", "gender"]
            )
        ]
    except InputError:
        return []
    if not rows:
        return []
    totals = Counter((race, gender) for _, race, gender in rows)
    true = Counter((race, gender) for said, race, gender in rows if said.lower() == "true")
    shares = {group: true[group] / n for group, n in totals.items()}
    low, high = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    return [
        f"service_test is undocumented and left alone: True for {sum(true.values()):,} of {len(rows):,} images, from "
        f"{100 * shares[low]:.0f} % of {' '.join(low)} to {100 * shares[high]:.0f} % of {' '.join(high)}"
    ]


def write_counts(checks: list[SplitCheck], out: Path) -> None:
    """A tidy table and a picture of images per group and split."""
    rows, counts = [], {}
    for found in checks:
        assert found.dataset is not None
        counts[found.split] = np.bincount(found.dataset.group_labels, minlength=found.dataset.groups.size)
        for name, number in zip(found.dataset.groups.classes, counts[found.split], strict=True):
            rows.append({"split": found.split, "group": name, "images": int(number)})
    folder = Folder(out)
    folder.save_table("counts.parquet", rows)
    assert checks[0].dataset is not None
    attributes = [(a.name, a.categories) for a in checks[0].dataset.attributes]
    folder.save_figure("counts.png", group_counts(counts, attributes))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["check"])
    parser.add_argument("directory", type=Path, help="folder or zip of the data set")
    parser.add_argument("--data", choices=["fairface", "utkface"], default="fairface", help="whose layout it has")
    parser.add_argument("--splits", choices=list(SPLITS), help="FairFace splits to check (default: both)")
    parser.add_argument("--padding", choices=["0.25", "1.25"], default="0.25", help="FairFace crop")
    parser.add_argument("--repair-labels", action="store_true", help="accept ages that a spreadsheet mangled")
    parser.add_argument("--missing", choices=["refuse", "drop"], default="refuse",
                        help="where a label is empty, nan, NA ...: a defect, or leave the image out")  # fmt: skip
    parser.add_argument("--merge-case", action="store_true", help="labels that differ in case alone are one")
    parser.add_argument("--encoding", default="", help="of CSVs without byte order mark, e.g. cp1252 (default: utf-8)")
    parser.add_argument("--skip-lines", type=int, default=0, help="lines above the header of the CSVs")
    parser.add_argument("--out", type=Path, help="folder for table and picture (default: runs/check-DIR)")

    def program() -> int:
        options = vars(parser.parse_args(argv))
        del options["command"]
        directory, out = options.pop("directory"), options.pop("out")
        if (splits := options.pop("splits")) or options["data"] == "fairface":
            options["splits"] = splits or "both"
        out = out or Path("runs") / f"check-{directory.resolve().name}"
        return check(DataConfig(data_dir=str(directory), **options), out)

    return run(program)


if __name__ == "__main__":
    sys.exit(main())
