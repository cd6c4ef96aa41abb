"""`audit`: images, a network and instruments in; a run directory with tables, figures and findings out."""

import json
import logging
import shutil
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal

import jax
import numpy as np

from bias_jax.activations import RULES, Rule
from bias_jax.activations.memory import default_budget_gib
from bias_jax.activations.pooling import grid_shape, layer_rule
from bias_jax.audit.batches import Batches
from bias_jax.audit.finishing import Finished, finish
from bias_jax.audit.images import ImageSet, NearDuplicates, look
from bias_jax.audit.opening import open_work
from bias_jax.audit.protocol import BASELINE, NETWORK, UNTRAINED, Context, Instrument, Layer, pooling_of
from bias_jax.audit.result import Audit
from bias_jax.audit.road import Walk, needed_rows, plan_source, walk_source
from bias_jax.audit.stored import Stored
from bias_jax.audit.subjects import RANDOM, Baseline, Subject, load_subject
from bias_jax.audit.work import Assignment, Stopwatch, Work
from bias_jax.compilation import counted_programs
from bias_jax.data import FaceDataset
from bias_jax.devices import device_mesh
from bias_jax.errors import InputError
from bias_jax.hosts import leads, share
from bias_jax.networks import network as registered
from bias_jax.results import Folder, RunDirectory, device, exclusive, versions

log = logging.getLogger("bias_jax.audit")


@dataclass(frozen=True)
class RunConfig:
    """How activations are made, and the seed of a run."""

    layers: tuple[str, ...] = ()  # layers to audit (default: all blocks of the network)
    # reduction of feature maps: mean (a feature a channel), grid (at most 8 x 8, as published), window and subsample
    # (its other readings), equal (about 8192 features in every layer), none (every position)
    pooling: Rule = "mean"
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"  # arithmetic of the network
    batch_size: int = 32  # images per forward pass
    memory_gib: float | None = None  # memory for activations (default: a quarter of the device's)
    devices: int | None = None  # number of devices to use (default: all there are); the numbers do not depend on it
    skip_unreadable: bool = False  # leave out absent and damaged images and say how many
    drop_contradictory: bool = False  # leave out pictures that are there twice with different labels
    # pictures that look alike, such as resized copies: report their number, join them so that they stay in one fold and
    # count as one person, or ignore them
    near_duplicates: NearDuplicates = "report"
    seed: int = 0  # of everything random: sampling, folds, random weights, training, maps and bootstrap

    def __post_init__(self) -> None:
        if self.pooling not in RULES:
            raise InputError(f"unknown pooling {self.pooling!r}", remedy=f"choose one of {', '.join(RULES)}")
        if self.batch_size < 1:
            raise InputError("batch size must be positive", remedy="give the number of images per forward pass")


def audit(
    network: str | Subject,
    instruments: Sequence[Instrument],
    *,
    faces: FaceDataset | None = None,
    weights: str = RANDOM,
    config: RunConfig | None = None,
    out: str | Path | None = None,
) -> Audit:
    """Audit one network: every picture goes through it once, whatever instruments are chosen.

    Args:
        network: name of a network; or anything that turns images into named activations, see `Subject`.
        instruments: what is measured; see `bias_jax.instruments`.
        faces: labelled images, e.g. of `data.read_fairface`; None if no instrument needs any.
        weights: folder of a checkpoint (see the converters), or ``random``: the untrained control. Of a named network.
        config: see `RunConfig`.
        out: run directory; a run that was interrupted there continues. None: a temporary one, which goes with the
            result.

    Returns:
        Tables, figures and findings. What failed is in `Audit.failures`; everything else is complete.

    Raises:
        InputError: bad input that shows before anything is measured.
    """
    config = config or RunConfig()
    if isinstance(network, str):
        registered(network)
    names = [instrument.name for instrument in instruments]
    if not names or len(set(names)) < len(names):
        raise InputError(f"instruments must be chosen once each, got {names}", remedy="see bias_jax.instruments")
    path = Path(mkdtemp(prefix="bias-jax-") if out is None else out)
    watch, failures = Stopwatch(), dict[str, Exception]()
    try:
        with counted_programs() as programs, exclusive(path) if leads() else nullcontext():
            works, finished, images = _audit(network, instruments, faces, weights, config, path, watch, failures)
    except BaseException:
        if out is None:
            shutil.rmtree(path, ignore_errors=True)
        raise
    failures |= {work.assignment.instrument.name: work.failure for work in works if work.failure is not None}
    found = Audit(
        path,
        tuple(instruments),
        {work.assignment.instrument.name: work.stored for work in works},
        finished,
        {name: failures[name] for name in names if name in failures},
        watch.seconds,
        programs,
        images,
    )
    if out is None:
        weakref.finalize(found, shutil.rmtree, path, ignore_errors=True)
    return found


def _audit(
    network: str | Subject, instruments: Sequence[Instrument], faces: FaceDataset | None, weights: str,
    config: RunConfig, path: Path, watch: Stopwatch, failures: dict[str, Exception],
) -> tuple[list[Work], dict[str, Finished], int]:  # fmt: skip
    start = time.perf_counter()
    mesh = device_mesh(config.devices)
    context = Context(config.seed, config.pooling, config.precision, config.drop_contradictory, mesh)
    faces = faces if faces is None else faces.varying()
    wanted = {}
    for instrument in instruments:
        with _alone(instrument, failures, "choosing its pictures"):
            wanted[instrument.name] = instrument.pictures(faces, context)
    instruments = [instrument for instrument in instruments if instrument.name in wanted]
    if not instruments:
        return [], {}, 0
    asked = list(wanted.values())
    first = [faces] if faces is not None and any(given is faces for given in asked) else []
    images, seen = look(
        [*first, *asked],
        skip_unreadable=config.skip_unreadable,
        drop_contradictory=config.drop_contradictory,
        near_duplicates=config.near_duplicates,
    )
    seen = seen[len(first) :]
    watch.add("read data", start)

    # Random weights are calibrated on the faces if there are any, so that adding an instrument does not change them;
    # else on the distinct pictures of the first instrument.
    start = time.perf_counter()
    of_faces = [mine for mine, given in zip(seen, asked, strict=True) if given is faces]
    primary = (of_faces or seen)[0]
    distinct = np.sort(np.unique(primary.rows, return_index=True)[1])
    calibration = primary.dataset if of_faces else primary.dataset.take(distinct)
    audited, trained = network, True
    if isinstance(audited, str):
        audited = load_subject(audited, weights, calibration, images.image_size, config.seed)
        trained = weights != RANDOM
    subjects = _sources(audited, trained, instruments, calibration, images, config.seed)
    watch.add("load weights", start)

    assignments = []
    for instrument, mine in zip(instruments, seen, strict=True):
        with _alone(instrument, failures, "preparing"):
            layers = {s: _layers(instrument, subjects[s], s, config, context) for s in _used(instrument, subjects)}
            assignments.append(Assignment(instrument, mine, instrument.prepare(mine, faces, layers, context), layers))
    if not assignments:
        return [], {}, len(images)
    walks = []
    memory_gib = config.memory_gib if config.memory_gib is not None else share(default_budget_gib)
    for source, subject in subjects.items():
        if any(source in one.layers for one in assignments):
            rows = needed_rows(source, assignments)
            walks.append(Walk(source, subject, images.take(rows), rows, context, memory_gib))
    plans = [plan_source(walk, assignments) for walk in walks]

    identity = {
        "model": audited.model,
        "weights_sha256": audited.sha256,
        "data_sha256": of_faces[0].sha256 if of_faces else None,
        "activations": {name: getattr(config, name) for name in ("pooling", "precision", "batch_size", "seed")},
        "versions": versions(),
        "device": device(),
    }
    about = {
        "model": audited.model,
        "weights": audited.title,
        "data": primary.dataset.name,
        "images": len(primary.dataset),
        "persons": None if primary.dataset.persons is None else int(primary.dataset.persons.max()) + 1,
        "equal_images_left_out": primary.left_out,
        "near_duplicates": primary.look_alikes,
        "seed": config.seed,
    }
    identity = json.loads(json.dumps(identity))
    if share(lambda: identity) != identity:
        problem = "this process sees other images, weights or versions than the leading one"
        raise InputError(problem, remedy="give all processes the same data, weights and installation")
    facts = [{**about, "data": one.seen.dataset.name, "images": len(one.task.rows)} for one in assignments]
    directory = None
    if leads():
        directory = RunDirectory(path, identity, about if of_faces or not (path / "run.json").exists() else {})
        works = [open_work(directory, one, subjects, run, context) for one, run in zip(assignments, facts, strict=True)]
    else:  # its folders are neither read nor written
        works = [Work(one, Stored(Folder(path), run, one.layers)) for one, run in zip(assignments, facts, strict=True)]
    _tell(works, audited, plans[0])
    batches = Batches(directory, config.batch_size)
    with jax.transfer_guard("disallow"):  # nothing is copied to or from the device by accident
        for walk, plan in zip(walks, plans, strict=True):
            walk_source(walk, plan, works, batches, watch)
        finished = {
            work.assignment.instrument.name: finish(work, audited, context, watch)
            for work in works
            if work.failure is None and leads()
        }
    return works, finished, len(images)


@contextmanager
def _alone(instrument: Instrument, failures: dict[str, Exception], doing: str) -> Iterator[None]:
    """An instrument that breaks before anything is measured leaves the others alone; bad input ends the run."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        error.add_note(f"while {doing}")
        failures[instrument.name] = error
        log.debug("%s failed", instrument.name, exc_info=error)


def _sources(
    audited: Subject, trained: bool, instruments: Sequence[Instrument], calibration: FaceDataset, images: ImageSet,
    seed: int,
) -> dict[str, Subject]:  # fmt: skip
    """Source -> subject: what is audited first, then what any instrument wants beside it."""
    subjects: dict[str, Subject] = {NETWORK if trained else UNTRAINED: audited}
    wanted = {source for instrument in instruments for source in instrument.sources}
    if UNTRAINED in wanted and UNTRAINED not in subjects:
        subjects[UNTRAINED] = load_subject(audited.model, RANDOM, calibration, images.image_size, seed)
    if BASELINE in wanted:
        subjects[BASELINE] = Baseline()
    return subjects


def _used(instrument: Instrument, subjects: Mapping[str, Subject]) -> list[str]:
    """The sources of one instrument: what is audited, and what it wants beside it."""
    first = next(iter(subjects))
    return [source for source in subjects if source == first or source in instrument.sources]


def _layers(
    instrument: Instrument, subject: Subject, source: str, config: RunConfig, context: Context
) -> tuple[Layer, ...]:
    """Layers of a source that an instrument measures, in depth order, each once.

    Raises:
        InputError: the network has no such layer.
    """
    shapes, rule = subject.shapes, pooling_of(instrument, context)
    choice = subject.choice(config.layers if source != BASELINE else ())
    names = instrument.choose(choice) if source != BASELINE else choice.layers
    if unknown := [name for name in names if name not in shapes]:
        remedy = f"choose among {', '.join(shapes)}"
        raise InputError(f"{subject.model} has no layer {unknown[0]!r}", remedy=remedy)
    return tuple(
        Layer(name, grid_shape(layer_rule(name, rule), shape)) for name, shape in shapes.items() if name in names
    )


def _tell(works: Sequence[Work], subject: Subject, plan: object) -> None:
    """What a reader must know before numbers appear."""
    log.info("%s: %s\n%s", subject.model, subject.title, plan)
    notes = dict.fromkeys(note for w in works for note in (*w.assignment.seen.dataset.notes, *w.assignment.task.notes))
    for note in notes:
        log.info("note: %s", note)
