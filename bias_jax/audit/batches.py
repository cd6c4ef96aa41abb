"""Images per forward pass: as many as asked for, and fewer where memory is short."""

import logging
from collections.abc import Callable
from typing import TypeVar

import jax

from bias_jax.errors import out_of_memory
from bias_jax.hosts import share
from bias_jax.results import RunDirectory

log = logging.getLogger("bias_jax.audit")
NOTE = "batches"  # in run.json
Found = TypeVar("Found")


class Batches:
    """Batch sizes of the waves of a run, kept in ``run.json``.

    The size of a batch decides roundings, so a wave that is extracted again gets the batch that it had before. Waves of
    one run may differ in it: their numbers agree as those of two batch sizes do.

    Args:
        directory: of the run; None in processes that do not lead.
        asked: images per forward pass.
    """

    def __init__(self, directory: RunDirectory | None, asked: int):
        self.directory, self.asked = directory, asked
        noted = share(lambda: (directory.noted(NOTE, {str: int}) if directory else None) or {})
        self.used: dict[str, int] = dict(noted)  # wave -> batch; 0: it did not fit

    def shrinking(self, wave: str, extract: Callable[[int], Found]) -> Found | None:
        """Call `extract` with a batch size, and with half of it as long as memory is short; None: not even one fits.

        What went with a batch before goes with it at once; another wave starts with the smallest batch there was. One
        of several processes cannot halve its batch alone: there, memory that is short ends the run.
        """
        size = self.used.get(wave, min([self.asked, *(used for used in self.used.values() if used)]))
        while size:
            reason = ""
            try:
                found = extract(size)
            except Exception as error:
                if not out_of_memory(error) or jax.process_count() > 1:
                    raise
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
            # Here nothing refers to the arrays of the failed attempt any more.
            if not reason:
                self._note(wave, size)
                return found
            size //= 2
            then = f"{size} images per forward pass from now on" if size else "fewer layers at a time"
            log.info("note: not enough memory for %s (%s): %s", wave, reason, then)
        self._note(wave, 0)
        return None

    def _note(self, wave: str, size: int) -> None:
        if self.used.get(wave) != size:
            self.used[wave] = size
            if self.directory is not None:
                self.directory.note(NOTE, self.used)
