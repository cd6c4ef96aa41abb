"""What one instrument has to do, how far it is, and what ended it."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from bias_jax.activations import LayerPlan, Need
from bias_jax.audit.images import Seen
from bias_jax.audit.protocol import Context, Instrument, Layer, Task, pooling_of
from bias_jax.audit.stored import Stored, layer_file
from bias_jax.errors import CONTINUE, AloneError, WriteError
from bias_jax.hosts import PATIENCE, exchange, peer_lost

log = logging.getLogger("bias_jax.audit")


@dataclass(frozen=True)
class Assignment:
    """What one instrument will measure."""

    instrument: Instrument
    seen: Seen
    task: Task
    layers: Mapping[str, tuple[Layer, ...]]  # source -> layers, in depth order

    def needs(self, source: str, context: Context) -> list[Need]:
        """What it would have kept, if nobody else wanted anything."""
        rule, groups = pooling_of(self.instrument, context), self.task.groups
        layers = self.layers.get(source, ())
        # Means that are summed while images go by count a picture once, however often an instrument has it.
        if groups is None or len(np.unique(self.task.rows)) < len(self.task.rows):
            return [Need(layer.name, rule) for layer in layers]
        return [Need(layer.name, rule, groups.size, self.instrument.name) for layer in layers]

    def served(self, source: str, context: Context, wave: Sequence[LayerPlan]) -> list[LayerPlan]:
        """What it can use of a wave: banks, and means of its own groups."""
        wanted = {(need.layer, need.rule) for need in self.needs(source, context)}
        return [p for p in wave if (p.name, p.rule) in wanted and p.owner in ("", self.instrument.name)]


@dataclass
class Work:
    """An assignment on its way."""

    assignment: Assignment
    stored: Stored
    failure: Exception | None = None  # what ended it

    def missing(self, source: str) -> set[str]:
        """Layers of a source that are not stored yet."""
        if self.failure is not None:
            return set()
        layers = self.assignment.layers.get(source, ())
        return {layer.name for layer in layers if not self.stored.folder.has(layer_file(source, layer.name))}

    def fail(self, error: Exception) -> None:
        """End this instrument; the others go on."""
        if self.failure is None:
            self.failure = error
        else:
            notes = ", ".join(getattr(error, "__notes__", ()))
            self.failure.add_note(f"{notes}: {type(error).__name__}: {error}")
        log.debug("%s failed", self.assignment.instrument.name, exc_info=error)

    @contextmanager
    def guarded(self, doing: str) -> Iterator[None]:
        """What goes wrong ends this step of this instrument only; a disk or a process that gives out ends the run."""
        try:
            yield
        except WriteError:
            raise
        except Exception as error:
            if peer_lost(error):
                raise
            error.add_note(f"while {doing}")
            self.fail(error)

    @contextmanager
    def agreed(self, doing: str) -> Iterator[None]:
        """As `guarded`, for what all processes do together: what fails in one of them ends this instrument in all.

        Raises:
            AloneError: something failed here, and the others do not get to the end of this step.
        """
        before = self.failure
        with self.guarded(doing):
            yield
        failed = None if self.failure is before else self.failure
        word = f"{type(failed).__name__}: {failed}" if failed else ""
        try:
            words = exchange(word, PATIENCE if failed else None)
        except TimeoutError:
            problem = f"{self.assignment.instrument.name} failed in one process alone while {doing} ({word})"
            raise AloneError(problem, remedy=CONTINUE) from failed
        if not failed and any(words):
            self.fail(AloneError(f"failed in another process ({next(filter(None, words))})", remedy=CONTINUE))


@dataclass
class Stopwatch:
    """Adds up the seconds spent in each named stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, since: float) -> None:
        """Count the time from `since`, of `time.perf_counter`, until now."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - since
