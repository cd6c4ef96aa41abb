"""From stored arrays to tables, illustrations, figures and findings, each instrument by itself."""

import time
from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

from bias_jax.audit.protocol import Context, Illustrating
from bias_jax.audit.road import Stopwatch, Work
from bias_jax.audit.stored import TABLES, as_rows, read_tables, save_tables
from bias_jax.audit.subjects import Subject
from bias_jax.progress import track


class Finished(NamedTuple):
    """What an instrument comes to."""

    tables: Mapping[str, pa.Table]
    findings: tuple[str, ...]  # paragraphs


def finish(work: Work, subject: Subject, context: Context, watch: Stopwatch) -> Finished:
    """Write whatever is not there yet of an instrument.

    What fails ends this instrument, except for a figure: then the other figures are still drawn.
    """
    instrument, stored = work.assignment.instrument, work.stored
    start = time.perf_counter()
    try:
        if not stored.folder.has(TABLES):
            save_tables(stored, instrument.tables(stored))
        tables = read_tables(stored.folder)
        rows = as_rows(tables)
        if isinstance(instrument, Illustrating):
            assignment = work.assignment
            for name, arrays in instrument.illustrate(assignment.task, assignment.seen, subject, stored, rows, context):
                stored.folder.save_arrays(f"illustrations/{name}.arrow", arrays)
        watch.add("tables", start)
        start = time.perf_counter()
        for name, draw in track(list(instrument.figures(stored, rows)), f"figures of {instrument.name}", unit="figure"):
            file = f"figures/{name}.png"
            if stored.folder.has(file):
                continue
            try:
                stored.folder.save_figure(file, draw())
            except Exception as error:
                error.add_note(f"while drawing {file}")
                work.fail(error)
        watch.add("figures", start)
        return Finished(tables, tuple(instrument.findings(stored, rows)))
    except Exception as error:
        work.fail(error)
        return Finished({}, ())
