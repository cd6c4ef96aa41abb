"""From stored arrays to tables, illustrations, figures and findings, each instrument by itself."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from bias_jax.audit.images import ImageSet
from bias_jax.audit.protocol import (
    OUTPUT,
    PIXELS,
    Context,
    Illustrating,
    Intervening,
    Rows,
    intervenes_if_possible,
)
from bias_jax.audit.stored import INTERVENTIONS, TABLES, as_rows, layer_file, read_tables, save_tables
from bias_jax.audit.subjects import FlaxSubject, Subject
from bias_jax.audit.telling import tell
from bias_jax.audit.work import Stopwatch, Work
from bias_jax.progress import bar, track
from bias_jax.report.account import told_as_json
from bias_jax.report.reading import SECTION
from bias_jax.results import DamagedError


class Finished(NamedTuple):
    """What an instrument comes to."""

    tables: Mapping[str, pa.Table]
    findings: tuple[str, ...]  # sentences


def finish(
    work: Work, subject: Subject, images: ImageSet, context: Context, watch: Stopwatch, formats: Sequence[str]
) -> Finished:
    """Write whatever is not there yet of an instrument; its figures in some of `results.drawings.FORMATS`.

    What fails is left out: without its tables an instrument has nothing, but a figure takes no other figure with it,
    and neither figures nor findings take each other. `images` are the whole set, of which tasks name rows.

    Raises:
        WriteError: something cannot be written.
    """
    instrument, stored = work.assignment.instrument, work.stored
    tables: dict[str, pa.Table] = {}
    findings: tuple[str, ...] = ()
    with work.guarded("intervening"):
        _intervene(work, subject, images, context, watch)
    if work.failure is not None:
        return Finished({}, ())
    start = time.perf_counter()
    with work.guarded("making tables"):
        tables = _tables(work)
    watch.add("tables", start)
    if work.failure is not None:
        return Finished({}, ())
    rows = as_rows(tables)
    with work.guarded("making illustrations and figures"):  # without its illustrations a figure would be another one
        _illustrate(work, subject, rows, context, watch)
        start = time.perf_counter()
        for name, draw in track(list(instrument.figures(stored, rows)), f"figures of {instrument.name}", unit="figure"):
            files = [f"figures/{name}.{kind}" for kind in formats]
            if missing := [file for file in files if not stored.folder.has_figure(file)]:
                with work.guarded(f"drawing {missing[0]}"):
                    figure = draw()
                    for file in missing:
                        stored.folder.save_figure(file, figure)
        watch.add("figures", start)
    with work.guarded("telling what was found"):
        told = tell(instrument, stored, rows, (*work.assignment.seen.dataset.notes, *work.assignment.task.notes))
        stored.folder.keep_json(SECTION, told_as_json(told))
        findings = told.findings
    return Finished(tables, findings)


def _tables(work: Work) -> dict[str, pa.Table]:
    """Tables as stored; they are made if they are not there, or one of them is damaged."""
    stored, folder = work.stored, work.stored.folder
    try:
        if folder.has(TABLES):
            tables = read_tables(folder)
            if unnamed := {path.stem for path in folder.path.glob("[!.]*.parquet")} - tables.keys():
                raise DamagedError(folder.path / TABLES, f"it does not name {min(unnamed)}.parquet")
            return tables
    except DamagedError as error:
        folder.discard(TABLES, error)
    save_tables(stored, work.assignment.instrument.tables(stored))
    return read_tables(folder)


def _intervene(work: Work, subject: Subject, images: ImageSet, context: Context, watch: Stopwatch) -> None:
    instrument, task, stored, start = work.assignment.instrument, work.assignment.task, work.stored, time.perf_counter()
    if not isinstance(instrument, Intervening) or not task.intervenes:
        return
    if not isinstance(subject, FlaxSubject):
        assert intervenes_if_possible(instrument)  # `sources.check_interventions`
        return
    files = {p.name: layer_file(INTERVENTIONS, p.name) for p in stored.layers if p.name not in (PIXELS, OUTPUT)}
    wanted = [name for name, file in files.items() if not stored.folder.has(file)]
    if wanted:
        mine = images.take(task.rows)
        with bar(f"change layers for {instrument.name}", len(wanted), "layer") as progress:
            for name, arrays in instrument.intervene(task, mine, subject, stored, wanted, context):
                stored.folder.save_arrays(files[name], arrays)
                progress.update(1)
    watch.add("interventions", start)


def _illustrate(work: Work, subject: Subject, rows: Mapping[str, Rows], context: Context, watch: Stopwatch) -> None:
    instrument, given, start = work.assignment.instrument, work.assignment, time.perf_counter()
    if isinstance(instrument, Illustrating):
        for name, arrays in instrument.illustrate(given.task, given.seen, subject, work.stored, rows, context):
            work.stored.folder.save_arrays(f"illustrations/{name}.arrow", arrays)
        watch.add("illustrations", start)
