"""What an instrument tells: kept beside its tables, so that a report needs neither its options nor its code."""

from collections.abc import Mapping

from bias_jax.audit.protocol import Accounted, Instrument, Rows
from bias_jax.audit.stored import Stored
from bias_jax.report.account import Account, Excerpt, Told


def tell(instrument: Instrument, stored: Stored, rows: Mapping[str, Rows], notes: tuple[str, ...]) -> Told:
    """Findings, excerpts and names of figures; of an instrument without an account its name alone.

    Args:
        instrument: which one.
        stored: what it stored.
        rows: its tables.
        notes: about its images, a sentence each.
    """
    account, excerpts = Account(instrument.name, ""), tuple[Excerpt, ...]()
    if isinstance(instrument, Accounted):
        account, excerpts = instrument.account, tuple(instrument.excerpts(stored, rows))
    figures = tuple(name for name, _ in instrument.figures(stored, rows))
    return Told(account, notes, tuple(instrument.findings(stored, rows)), excerpts, figures)
