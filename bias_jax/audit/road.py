"""The road every run walks: waves of layers -> instruments -> stored arrays.

It knows no instrument by name. Every picture that any instrument needs goes through a network once; what is stored is
not done again, and an instrument that fails takes nothing of the others with it.
"""

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import numpy as np

from bias_jax.activations import GroupMeans, LayerPlan, MemoryPlan, group_means, pack
from bias_jax.audit.batches import Batches
from bias_jax.audit.images import ImageSet
from bias_jax.audit.protocol import Context, Layer, Task, measured_by_all
from bias_jax.audit.stored import layer_file
from bias_jax.audit.subjects import Subject
from bias_jax.audit.work import Assignment, Stopwatch, Work
from bias_jax.compilation import make_room_for_programs
from bias_jax.hosts import leads, share
from bias_jax.progress import Bar, bar

log = logging.getLogger("bias_jax.audit")
Kept = Mapping[LayerPlan, jax.Array | GroupMeans]


@dataclass(frozen=True)
class Walk:
    """What goes through one source, and how."""

    source: str
    subject: Subject
    images: ImageSet  # the pictures that an instrument needs of this source
    rows: np.ndarray  # which rows of the whole set these are, int, ascending
    context: Context
    memory_gib: float | None  # for activations; None: a quarter of the device's
    storage: str = "float32"  # how they lie there, a key of `activations.STORAGES`

    def places(self, task: Task) -> np.ndarray:
        """Where an instrument's images are among those that go through."""
        return np.searchsorted(self.rows, task.rows)


def needed_rows(source: str, assignments: Sequence[Assignment]) -> np.ndarray:
    """Rows of the image set that any instrument needs of a source: stimuli alone go through an untrained network."""
    return np.unique(np.concatenate([one.task.rows for one in assignments if source in one.layers]))


def plan_source(walk: Walk, assignments: Sequence[Assignment]) -> MemoryPlan:
    """What must be kept of a source for all instruments that use it, packed into waves.

    A layer that one instrument needs whole is kept once and whole; means of groups are then taken of that bank.
    """
    needs = dict.fromkeys(need for one in assignments for need in one.needs(walk.source, walk.context))
    banks = {(need.layer, need.rule) for need in needs if not need.groups}
    kept = [need for need in needs if not need.groups or (need.layer, need.rule) not in banks]
    plan = pack(
        walk.subject.shapes, kept, len(walk.images), walk.memory_gib, of=walk.subject.model, storage=walk.storage
    )
    return replace(plan, devices=walk.context.mesh.size)


def walk_source(walk: Walk, plan: MemoryPlan, works: Sequence[Work], batches: Batches, watch: Stopwatch) -> None:
    """Extract and measure wave by wave.

    A wave is always extracted whole: a program that computes fewer layers may be compiled to other roundings, and a
    resumed run must give the same numbers. Only if memory is short does it fall in two.
    """
    waves, number = deque(plan.waves), 0
    while waves:
        wave, number = waves.popleft(), number + 1
        served = {
            work.assignment.instrument.name: work.assignment.served(walk.source, walk.context, wave) for work in works
        }
        todo = share(partial(_todo, walk.source, served, works))
        if not any(todo.values()):
            continue
        start = time.perf_counter()
        kept = _extract(walk, wave, works, batches)
        watch.add("extract", start)
        if kept is None and len(wave) > 1:
            waves.extendleft([wave[len(wave) // 2 :], wave[: len(wave) // 2]])
            number -= 1
            continue
        if kept is None:
            for work in works:
                if todo[work.assignment.instrument.name]:
                    work.fail(MemoryError(f"layer {wave[0].name}, one image at a time"))
            continue
        with bar(f"measure, wave {number} of {number + len(waves)}", sum(map(len, todo.values())), "layer") as progress:
            for width in dict.fromkeys(layer.features for layer in wave):
                for work in works:
                    name, start = work.assignment.instrument.name, time.perf_counter()
                    mine = [p for p in served[name] if p.features == width]
                    wanted = [p.name for p in mine if p.name in todo[name]]
                    if wanted and work.failure is None and (leads() or measured_by_all(work.assignment.instrument)):
                        _measure(walk, work, mine, wanted, kept, progress)
                        watch.add(name, start)
                        make_room_for_programs()
                for layer in [p for p in kept if p.features == width]:
                    del kept[layer]  # its memory is free for what comes


def _todo(source: str, served: Mapping[str, Sequence[LayerPlan]], works: Sequence[Work]) -> dict[str, list[str]]:
    """Instrument -> layers of a wave that it has to measure."""
    own = {work.assignment.instrument.name: work.missing(source) for work in works}
    return {name: [plan.name for plan in plans if plan.name in own[name]] for name, plans in served.items()}


def _extract(
    walk: Walk, wave: Sequence[LayerPlan], works: Sequence[Work], batches: Batches
) -> dict[LayerPlan, jax.Array | GroupMeans] | None:
    """What is kept of a wave; None if there is no memory for it."""
    tasks = {work.assignment.instrument.name: work.assignment.task for work in works}
    labels = {i: _by_row(walk, tasks[p.owner], p.name) for i, p in enumerate(wave) if p.owner}

    def extract(batch_size: int) -> list[jax.Array | GroupMeans]:
        context = walk.context
        return walk.subject.extract(
            walk.images, wave, labels, batch_size=batch_size, precision=context.precision, mesh=context.mesh
        )

    found = batches.shrinking(f"{walk.source}: {wave[0].name} to {wave[-1].name} ({len(wave)})", extract)
    return None if found is None else dict(zip(wave, found, strict=True))


def _by_row(walk: Walk, task: Task, layer: str) -> np.ndarray:
    """Groups of an instrument's images as groups of all that go through, int32 [N]; -1 elsewhere."""
    assert task.groups is not None
    found = np.full(len(walk.images), -1, np.int32)
    found[walk.places(task)] = task.groups.labels[layer]
    return found


def _measure(
    walk: Walk, work: Work, plans: Sequence[LayerPlan], wanted: Sequence[str], kept: Kept, progress: Bar
) -> None:
    """One instrument on all its layers of one width; an error ends this instrument only."""
    task, instrument = work.assignment.task, work.assignment.instrument
    alone_or_not = work.agreed if measured_by_all(instrument) else work.guarded
    with alone_or_not(f"measuring {wanted[0]} to {wanted[-1]}"):
        features = {plan.name: _features(walk, task, plan.name, kept[plan]) for plan in plans}
        layers = [Layer(plan.name, plan.grid) for plan in plans]
        for name, arrays in instrument.measure(task, layers, features, wanted, walk.context):
            if name in wanted and leads():
                work.stored.folder.save_arrays(layer_file(walk.source, name), arrays)
                progress.update(1)


def _features(walk: Walk, task: Task, layer: str, kept: jax.Array | GroupMeans) -> jax.Array | GroupMeans:
    """What an instrument gets of a layer: its own rows of the bank, or means of its groups."""
    if isinstance(kept, GroupMeans):
        return kept
    places = walk.places(task)
    whole = np.array_equal(places, np.arange(len(kept)))
    own = kept if whole else _take(kept, jax.device_put(places.astype(np.int32)))
    if task.groups is None:
        return own
    labels = jax.device_put(task.groups.labels[layer].astype(np.int32))
    return _group_means(own, labels, task.groups.size)


@jax.jit
def _take(bank: jax.Array, rows: jax.Array) -> jax.Array:
    return bank[rows]


_group_means = jax.jit(group_means, static_argnums=2)
