"""The folder of an instrument: opened, begun anew if something else decides its numbers, mended if it is damaged."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np

from bias_jax.audit.protocol import Context, Task, pooling_of
from bias_jax.audit.stored import ABOUT, IDENTITY, TASK, Stored
from bias_jax.audit.subjects import Subject
from bias_jax.audit.work import Assignment, Work
from bias_jax.results import Folder, RunDirectory


def open_work(
    directory: RunDirectory, one: Assignment, subjects: Mapping[str, Subject], run: Mapping[str, Any], context: Context
) -> Work:
    """The folder of an instrument, with what decides its numbers."""
    instrument, task = one.instrument, one.task
    assert is_dataclass(instrument)
    options = {k: v for k, v in asdict(instrument).items() if k not in (*instrument.places, *instrument.looks)}
    identity = {
        "options": options,
        "task_sha256": _digest(task),
        "layers": {source: [[layer.name, layer.grid] for layer in own] for source, own in one.layers.items()},
        "pooling": pooling_of(instrument, context),
        "sources": {source: subjects[source].sha256 for source in one.layers},
    }
    folder = directory.instrument(instrument.name, identity)
    folder.keep_json("layers.json", identity["layers"])
    folder.keep_json(ABOUT, dict(run))
    folder.keep_json("facts.json", dict(task.facts))
    if not folder.has_arrays(TASK):
        folder.save_arrays(TASK, task.arrays)
    for path in [*folder.path.glob("*/[!.]*.arrow")]:  # of layers, and illustrations; what is damaged is made again
        folder.has_arrays(str(path.relative_to(folder.path)))
    _renew_figures(folder, {name: getattr(instrument, name) for name in instrument.looks})
    return Work(one, Stored(folder, run, one.layers))


def _renew_figures(folder: Folder, looks: Mapping[str, Any]) -> None:
    """Figures that were drawn with other looks are drawn again; what else somebody wrote beside them goes."""
    about = folder.load_json(IDENTITY)
    wanted = json.loads(json.dumps({"identity": about["identity"], "looks": dict(looks)}))
    if about.get("looks", {}) != wanted["looks"]:
        for figure in (folder.path / "figures").glob("*"):
            figure.unlink()
    if json.dumps(about) != json.dumps(wanted):
        folder.save_json(IDENTITY, wanted)


def _digest(task: Task) -> str:
    """SHA-256 of everything that decides what is measured; rows of the image set depend on other instruments too."""
    digest = hashlib.sha256(json.dumps([task.sha256, dict(task.facts)], sort_keys=True).encode())
    for name, array in sorted(task.arrays.items()):
        given = np.ascontiguousarray(array)
        digest.update(f"{name}{given.shape}{given.dtype}".encode())
        digest.update(given.tobytes())
    return digest.hexdigest()
