"""What an audit gives: tables, figures and findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from bias_jax.audit.protocol import Instrument
from bias_jax.audit.stored import Stored, as_rows
from bias_jax.compilation import Programs

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Audit:
    """A finished audit of one network."""

    path: Path  # run directory
    instruments: Sequence[Instrument]
    stored: Mapping[str, Stored]  # instrument -> what it stored
    by_instrument: Mapping[str, Mapping[str, pa.Table]]  # instrument -> its tables
    failures: Mapping[str, Exception]  # instrument -> what ended it; empty if all is well
    seconds: Mapping[str, float]  # wall time of the stages
    programs: Programs  # what was compiled
    images: int  # distinct pictures that went through the network

    @property
    def tables(self) -> dict[str, pa.Table]:
        """All tables by name; ``.to_pandas()`` makes data frames of them."""
        return {name: table for tables in self.by_instrument.values() for name, table in tables.items()}

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
        """What was found, in words."""
        paragraphs = [
            text
            for instrument in self._fine()
            for text in instrument.findings(self.stored[instrument.name], self._rows(instrument))
        ]
        return "\n\n".join(paragraphs)

    def _fine(self) -> list[Instrument]:
        return [i for i in self.instruments if i.name in self.by_instrument and i.name not in self.failures]

    def _rows(self, instrument: Instrument):
        return as_rows(self.by_instrument[instrument.name])

    def _figures(self, instrument: Instrument):
        return list(instrument.figures(self.stored[instrument.name], self._rows(instrument)))
