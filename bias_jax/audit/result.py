"""What an audit gives: tables, figures and findings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from bias_jax.audit.finishing import Finished
from bias_jax.audit.protocol import Accounted, Instrument, Listing
from bias_jax.audit.stored import Stored, as_rows
from bias_jax.compilation import Programs
from bias_jax.report.aligned import aligned
from bias_jax.report.page import write_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Audit:
    """A finished audit of one network."""

    path: Path  # run directory
    instruments: Sequence[Instrument]
    stored: Mapping[str, Stored]  # instrument -> what it stored
    finished: Mapping[str, Finished]  # instrument -> its tables and findings
    failures: Mapping[str, Exception]  # instrument -> what ended it; empty if all is well
    seconds: Mapping[str, float]  # wall time of the stages
    programs: Programs  # what was compiled
    images: int  # distinct pictures that went through the network

    @property
    def tables(self) -> dict[str, pa.Table]:
        """All tables by name; ``.to_pandas()`` makes data frames of them."""
        return {name: table for finished in self.finished.values() for name, table in finished.tables.items()}

    def __repr__(self) -> str:
        """Short, for a notebook or a debugger: all arrays and tables would fill many pages."""
        failed = f", failed: {', '.join(self.failures)}" if self.failures else ""
        return f"Audit(path={str(self.path)!r}, images={self.images}, tables: {', '.join(self.tables)}{failed})"

    def figure_names(self) -> dict[str, list[str]]:
        """instrument -> names of its figures."""
        return {i.name: [name for name, _ in self._figures(i)] for i in self._fine()}

    def figure(self, name: str) -> "Figure":
        """Draw one figure.

        Raises:
            KeyError: lists those there are.
        """
        for instrument in self._fine():
            for found, draw in self._figures(instrument):
                if found == name:
                    return draw()
        raise KeyError(f"no figure {name!r}; there are {self.figure_names()}")

    @property
    def findings(self) -> str:
        """What was found, in sentences, a line each; a paragraph for each instrument."""
        return "\n\n".join("\n".join(own.findings) for own in self.finished.values() if own.findings)

    @property
    def listing(self) -> str:
        """The main numbers as aligned text: what instruments list, or else their excerpts."""
        texts: list[str] = []
        for instrument in self._fine():
            stored, rows = self.stored[instrument.name], as_rows(self.finished[instrument.name].tables)
            if isinstance(instrument, Listing):
                texts += instrument.listing(stored, rows)
            elif isinstance(instrument, Accounted):
                texts += map(aligned, instrument.excerpts(stored, rows))
        return "\n\n".join(texts)

    def report(self, *, with_images: bool = False) -> Path:
        """Write ``report.html`` into the run directory: one page with everything, readable offline.

        Args:
            with_images: whether figures that show pictures of people are in it.

        Returns:
            Where it is.
        """
        return write_report([self.path], with_images=with_images)

    def _fine(self) -> list[Instrument]:
        return [i for i in self.instruments if i.name in self.finished and i.name not in self.failures]

    def _figures(self, instrument: Instrument) -> list[tuple[str, "Callable[[], Figure]"]]:
        rows = as_rows(self.finished[instrument.name].tables)
        return list(instrument.figures(self.stored[instrument.name], rows))
