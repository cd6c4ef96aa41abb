"""`audit`: images, a network and instruments in; a run directory with tables, figures and findings out."""

import json
import logging
import shutil
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import jax
import numpy as np

from bias_jax.activations.memory import default_budget_gib
from bias_jax.audit.arguments import arguments
from bias_jax.audit.batches import Batches
from bias_jax.audit.config import RunConfig
from bias_jax.audit.estimate import estimate
from bias_jax.audit.feature_rows import look_at_rows
from bias_jax.audit.features import FeatureSubject
from bias_jax.audit.finishing import Finished, finish
from bias_jax.audit.images import look
from bias_jax.audit.opening import open_work
from bias_jax.audit.protocol import Context, Instrument
from bias_jax.audit.result import Audit
from bias_jax.audit.road import Walk, needed_rows, plan_source, walk_source
from bias_jax.audit.sources import check_interventions, layers_of, sources_of, used_sources
from bias_jax.audit.stored import Stored
from bias_jax.audit.subjects import RANDOM, Subject, load_subject
from bias_jax.audit.work import Assignment, Stopwatch, Work
from bias_jax.compilation import counted_programs
from bias_jax.data import FaceDataset, LabelRules
from bias_jax.devices import device_mesh
from bias_jax.errors import InputError, reason, writing
from bias_jax.hosts import leads, share
from bias_jax.networks import preparation_digest
from bias_jax.report.reading import FAILURES
from bias_jax.results import Folder, RunDirectory, device, exclusive, versions

log = logging.getLogger("bias_jax.audit")


def audit(
    network: str | Subject | None = None,
    instruments: Sequence[Instrument] | None = None,
    *,
    faces: FaceDataset | None = None,
    features: Any = None,
    labels: Mapping[str, Any] | None = None,
    persons: Sequence[Any] | None = None,
    rules: LabelRules | None = None,
    weights: str = RANDOM,
    config: RunConfig | None = None,
    out: str | Path | None = None,
) -> Audit:
    """Audit one network, or features that were computed elsewhere.

    Every picture goes through the network once, whatever instruments are chosen. Of features, a row stands for a
    picture; whatever needs pictures or a network is refused.

    Args:
        network: name of a network; `own_network` or `torch_network` of yours; or anything that turns images into named
            activations, see `Subject`.
        instruments: what is measured; see `bias_jax.instruments` (default: probes, maps and variance).
        faces: labelled images, e.g. of `data.read_fairface`; None if no instrument needs any.
        features: in the place of a network: layer -> array [N, D] or [N, H, W, U] of NumPy (also mapped) or JAX, in
            depth order; a single array; the path of a file, see `features.open_features`; or `Features`. What lies on
            the device stays there; to be checked and hashed it is copied to the host block by block.
        labels: of features: attribute -> N labels, as text, numbers, or a column of pandas or NumPy.
        persons: of features: who is on each image, N of anything, where persons have several.
        rules: what is done with `labels` that are no clean categories.
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
    network, faces, instruments = arguments(
        network, instruments, faces, features, labels, persons, rules, weights, config
    )
    names = [instrument.name for instrument in instruments]
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
    if leads() and (path / "run.json").exists():
        _keep_failures(Folder(path, path), found.failures)
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
    first_look = partial(look_at_rows, subject=network) if isinstance(network, FeatureSubject) else look
    images, seen = first_look(
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
    check_interventions(instruments, audited)
    subjects = sources_of(audited, trained, instruments, calibration, images, config.seed)
    watch.add("load weights", start)

    assignments = []
    for instrument, mine in zip(instruments, seen, strict=True):
        with _alone(instrument, failures, "preparing"):
            layers = {
                s: layers_of(instrument, subjects[s], s, config, context) for s in used_sources(instrument, subjects)
            }
            assignments.append(Assignment(instrument, mine, instrument.prepare(mine, faces, layers, context), layers))
    if not assignments:
        return [], {}, len(images)
    walks = []
    memory_gib = config.memory_gib if config.memory_gib is not None else share(default_budget_gib)
    for source, subject in subjects.items():
        if any(source in one.layers for one in assignments):
            rows = needed_rows(source, assignments)
            walks.append(Walk(source, subject, images.take(rows), rows, context, memory_gib, config.storage))
    plans = [plan_source(walk, assignments) for walk in walks]

    preparation = getattr(audited, "transform", None)
    how = ("pooling", "precision", "batch_size", "seed", *(["storage"] if config.storage != "float32" else []))
    identity = {
        "model": audited.model,
        "weights_sha256": audited.sha256,
        "preparation_sha256": preparation_digest(preparation) if preparation is not None else None,
        "data_sha256": of_faces[0].sha256 if of_faces else None,
        "activations": {name: getattr(config, name) for name in how},
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
        counts = {"counts": primary.dataset.counts} if of_faces else {}
        describes = of_faces or not (path / "run.json").exists()
        directory = RunDirectory(path, identity, {**about, **counts} if describes else {})
        works = [open_work(directory, one, subjects, run, context) for one, run in zip(assignments, facts, strict=True)]
    else:  # its folders are neither read nor written
        works = [Work(one, Stored(Folder(path), run, one.layers)) for one, run in zip(assignments, facts, strict=True)]
    _tell(works, audited, plans[0], estimate(walks, plans))
    batches = Batches(directory, config.batch_size)
    with jax.transfer_guard("disallow"):  # nothing is copied to or from the device by accident
        for walk, plan in zip(walks, plans, strict=True):
            walk_source(walk, plan, works, batches, watch)
        finished = {
            work.assignment.instrument.name: finish(work, audited, images, context, watch, config.formats)
            for work in works
            if work.failure is None and leads()
        }
    return works, finished, len(images)


def _keep_failures(directory: Folder, failures: Mapping[str, Exception]) -> None:
    """What failed, for a report that is made later."""
    if failures:
        directory.keep_json(FAILURES, {name: reason(error) for name, error in failures.items()})
    elif directory.has(FAILURES):
        with writing(directory.path / FAILURES):
            (directory.path / FAILURES).unlink()


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


def _tell(works: Sequence[Work], subject: Subject, plan: object, time_needed: str | None) -> None:
    """What a reader must know before numbers appear."""
    log.info("%s: %s\n%s", subject.model, subject.title, plan)
    if time_needed is not None:
        log.info("%s", time_needed)
    notes = dict.fromkeys(note for w in works for note in (*w.assignment.seen.dataset.notes, *w.assignment.task.notes))
    for note in notes:
        log.info("note: %s", note)
