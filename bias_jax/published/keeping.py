"""Tested findings as a part of a run directory, in the form of an instrument's folder: the report shows it first."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bias_jax.audit import Rows
from bias_jax.published.finding import Finding, as_rows, lines
from bias_jax.report.account import Account, Excerpt, Told, told_as_json
from bias_jax.report.reading import SECTION
from bias_jax.results import RunDirectory, device, exclusive, versions
from bias_jax.results.tables import TABLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "published"


def begin_run(path: str | Path, model: str, data: str, sha256: str, images: int, seed: int) -> None:
    """A run directory of what no network of ours has seen.

    Args:
        path: of the directory, new or begun by the same call.
        model: what was tested.
        data: on what.
        sha256: digest of everything that was read.
        images: how many.
        seed: of intervals.

    Raises:
        InputError: it holds something else.
    """
    identity = {"model": model, "weights_sha256": None, "preparation_sha256": None, "data_sha256": sha256,
                "activations": {"seed": seed}, "versions": versions(), "device": device()}  # fmt: skip
    record = {"model": model, "weights": "as they were published", "data": data, "images": images, "seed": seed}
    with exclusive(path):
        RunDirectory(path, identity, record)


def keep_findings(
    run: str | Path, account: Account, findings: Sequence[Finding], *, excerpts: Sequence[Excerpt], tables:
    Mapping[str, Rows] | None = None, figures: Mapping[str, "Callable[[], Figure]"] | None = None,
    options: Mapping[str, Any] | None = None, notes: Sequence[str] = (), formats: Sequence[str] = ("svg",),
) -> Path:  # fmt: skip
    """Write findings into a run directory that is there.

    Args:
        run: the directory.
        account: about the paper, for a reader.
        findings: in the order of the paper; they become ``published/findings.parquet``.
        excerpts: tables that a reader should see, the findings among them.
        tables: further tidy tables.
        figures: further figures; one that is there is not drawn again, unless what decides it is other.
        options: what decides all that, beside what the instruments of the run found.
        notes: for the reader, a sentence each.
        formats: of figures.

    Returns:
        The folder.

    Raises:
        InputError: no run directory, or another process writes there.
        WriteError: it cannot be written.
    """
    with exclusive(run):
        directory, _ = RunDirectory.existing(run)
        identity = {"options": dict(options or {}), "layers": {}, "made_of": _digest(directory.path)}
        folder = directory.instrument(FOLDER, identity)
        all_tables = {"findings": as_rows(findings), **(tables or {})}
        folder.save_json(TABLES, {n: folder.save_table(f"{n}.parquet", rows) for n, rows in all_tables.items() if rows})
        for name, draw in (figures or {}).items():
            if missing := [f for kind in formats if not folder.has_figure(f := f"figures/{name}.{kind}")]:
                figure = draw()
                for file in missing:
                    folder.save_figure(file, figure)
        told = Told(account, tuple(notes), tuple(lines(findings)), tuple(excerpts), tuple(figures or {}))
        folder.keep_json(SECTION, told_as_json(told))
    return folder.path


def _digest(run: Path) -> str:
    """SHA-256 of what every instrument of a run is and found."""
    digest = hashlib.sha256()
    for name in ("instrument.json", TABLES):
        for path in sorted(run.glob(f"*/{name}")):
            if path.parent.name != FOLDER:
                digest.update(f"{path.parent.name}/{name}".encode() + path.read_bytes())
    return digest.hexdigest()
