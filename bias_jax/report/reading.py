"""What a run directory holds for a report: what was audited, what each instrument told, and what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from bias_jax.errors import InputError
from bias_jax.report.account import SHAPE, Told, told_of
from bias_jax.results import DamagedError, Folder, RunDirectory
from bias_jax.results.drawings import check_drawing
from bias_jax.results.shapes import misfit
from bias_jax.results.tables import TABLES, read_tables

SECTION = "section.json"  # of an instrument: what it tells, see `account.told_as_json`
SHOWN = ("svg", "png")  # formats that a page shows, the better one first
FAILURES = "failures.json"  # of a run: instrument -> what ended it; absent if all is well
RECORD = {"model": str, "weights": str, "data": str, "images": int, "seed": int,
          "identity": {"versions": {str: str}, "device": str, "activations": {}}}  # fmt: skip
OPTIONAL: dict[str, Any] = {"persons": 0, "equal_images_left_out": 0, "near_duplicates": 0, "counts": {}}
FURTHER_SHAPE = {**dict.fromkeys(("persons", "equal_images_left_out", "near_duplicates"), int),
                 "counts": {str: {str: int}}, "identity": {"versions": {"bias_jax": str}}}  # fmt: skip
HASHES = {"weights_sha256": None, "data_sha256": None, "preparation_sha256": None}
IDENTITY = {"identity": {"options": {}, "layers": {str: [[str, [int, int, int]]]}}}


@dataclass(frozen=True)
class Section:
    """One instrument of a run."""

    name: str
    told: Told
    tables: Mapping[str, pa.Table]
    figures: Mapping[str, Path]  # name -> file, of those that are there
    options: Mapping[str, Any]
    layers: Mapping[str, tuple[str, ...]]  # source -> layers, in depth order


@dataclass(frozen=True)
class Run:
    """A run as a report sees it."""

    path: Path
    record: Mapping[str, Any]  # of run.json
    sections: tuple[Section, ...]
    missing: tuple[str, ...]  # sentences: what this report lacks, and why
    place: str = ""  # name of its directory, where that alone tells it from another run

    @property
    def title(self) -> str:
        """Which network this is."""
        return f"{self.record['model']}, {self.record['weights']}" + (f" ({self.place})" if self.place else "")


def told_apart(runs: Sequence[Run]) -> list[Run]:
    """The runs; of those of the same network and weights, such as with other options, the directory is in the title."""
    titles = [run.title for run in runs]
    return [replace(run, place=run.path.name) if titles.count(run.title) > 1 else run for run in runs]


def read_run(path: str | Path) -> Run:
    """Everything a report needs of one run; what is not finished or damaged becomes a sentence.

    Raises:
        InputError: it is no run directory, or its ``run.json`` is damaged.
    """
    directory, _ = RunDirectory.existing(path)
    found = directory.load_json("run.json", RECORD)
    if said := misfit({**OPTIONAL, **found}, FURTHER_SHAPE):
        raise InputError(f"damaged manifest ({said})", file=directory.path / "run.json", remedy="run that sweep again")
    record = {**OPTIONAL, **found, "identity": {**HASHES, **found["identity"]}}
    missing, sections = [], []
    failed: dict[str, str] = {}
    if directory.has(FAILURES):
        try:
            failed = directory.load_json(FAILURES, {str: str})
        except DamagedError:
            missing.append("Which instruments failed is not known: the file that says so is damaged.")
    folders = sorted(found.parent for found in directory.path.glob("*/instrument.json"))
    for folder in folders:
        try:
            section, lacks = _section(Folder(folder))
        except InputError as error:
            lacks, section = [_sentence(folder.name, error)], None
        if section is not None:
            sections.append(section)
        if folder.name in failed:
            lacks = [f"{folder.name} failed: {failed.pop(folder.name)}", *lacks]
        missing += lacks
    missing += [f"{name} failed: {reason}" for name, reason in failed.items()]
    sections.sort(key=lambda section: (section.told.account.place, section.name))
    return Run(directory.path, record, tuple(sections), tuple(missing))


def _section(folder: Folder) -> tuple[Section | None, list[str]]:
    """An instrument, and what is missing of it.

    Raises:
        InputError: a file of it is damaged.
    """
    name = folder.path.name
    identity = folder.load_json("instrument.json", IDENTITY)["identity"]
    if not folder.has(TABLES):
        return None, [f"{name} was begun and is not finished; the same command continues it."]
    tables = read_tables(folder)
    if not folder.has(SECTION):
        return None, [f"{name} has tables and tells nothing yet; run the same command again."]
    try:
        told = told_of(folder.load_json(SECTION, SHAPE))
    except (TypeError, ValueError) as error:
        raise DamagedError(folder.path / SECTION, error) from None
    layers = {source: tuple(layer for layer, _ in own) for source, own in identity["layers"].items()}
    drawn = {figure: path for figure in told.figures if (path := _drawing(folder, figure))}
    lacks = [
        f"The figure {figure} of {name} is not there, or damaged." for figure in told.figures if figure not in drawn
    ]
    return Section(name, told, tables, drawn, identity["options"], layers), lacks


def _drawing(folder: Folder, figure: str) -> Path | None:
    """The file of a figure that a page can show, SVG if it is whole, else PNG."""
    for kind in SHOWN:
        path = folder.path / "figures" / f"{figure}.{kind}"
        try:
            check_drawing(path)
            return path
        except Exception:  # absent, or damaged; pillow raises many kinds
            continue
    return None


def _sentence(name: str, error: InputError) -> str:
    return f"{name} cannot be read: {error}"
