"""Which images form the groups that are mapped: those of the data, chosen ones, or what probes made of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bias_jax.audit import Seen, Stored, open_stored
from bias_jax.data import Attribute, FaceDataset, Target, group_categories
from bias_jax.errors import InputError
from bias_jax.instruments.maps.config import MapsConfig
from bias_jax.instruments.probes.stored import probe_facts
from bias_jax.results import RunDirectory
from bias_jax.topomaps import error_groups


class Grouping(NamedTuple):
    """Groups of images; with error groups they differ from layer to layer."""

    target: Target  # its classes are the groups
    labels: Mapping[str, np.ndarray]  # layer -> group of each image, int32 [N]
    chosen: tuple[int, ...] | None  # groups that are mapped (None: all)


def check_grouping(config: MapsConfig, faces: FaceDataset) -> None:
    """Refuse groups, targets and predictions that do not exist, before any image is decoded.

    Raises:
        InputError: naming what is there.
    """
    if config.contrast:
        chosen_groups(faces, config.contrast)
    if config.errors != "none":
        _target(faces, config.target)
        _probes(Path(config.predictions))


def group_images(config: MapsConfig, seen: Seen, layers: Sequence[str]) -> Grouping:
    """The groups of the images in every layer.

    Raises:
        InputError: fewer than two groups; predictions are missing, or were made with other images.
    """
    dataset = seen.dataset
    if config.errors == "none":
        chosen = chosen_groups(dataset, config.contrast) if config.contrast else None
        return Grouping(dataset.groups, dict.fromkeys(layers, dataset.group_labels), chosen)
    target = _target(dataset, config.target)
    outcome = ("wrong", "correct") if config.errors == "correct" else target.classes
    grouped = Target((Attribute(target.name, target.classes), Attribute("prediction", outcome)))
    probes, made_with = _probes(Path(config.predictions))
    # Every instrument of a run shares its faces, whose digest covers names, labels and pixels in their order.
    if made_with != seen.sha256:
        remedy = "use the same data options as that sweep"
        raise InputError("was made with other images", file=config.predictions, remedy=remedy)
    labels = {}
    for layer in layers:
        truth, predicted = _predicted(probes, layer, target)
        labels[layer] = error_groups(truth, predicted, target.size, config.errors)
    return Grouping(grouped, labels, None)


def chosen_groups(dataset: FaceDataset, wanted: Sequence[str]) -> tuple[int, ...]:
    """Numbers of the groups that have images and are named in full or in part, e.g. ``Black / Female``."""
    parts = dataset.groups.decode(np.arange(dataset.groups.size))
    chosen: set[int] = set()
    for text in wanted:
        matches = [parts[name] == number for name, number in group_categories(dataset, text).items()]
        chosen |= set(np.flatnonzero(np.all(matches, axis=0)).tolist())
    found = sorted(chosen & set(dataset.group_labels.tolist()))
    if len(found) < 2:
        raise InputError(f"maps: contrast leaves {len(found)} groups with images", remedy="name at least two groups")
    return tuple(found)


def _target(dataset: FaceDataset, name: str) -> Target:
    for target in dataset.targets:
        if target.name == name:
            return target
    names = ", ".join(target.name for target in dataset.targets)
    raise InputError(f"maps: no probe predicts {name!r}", remedy=f"choose target among {names}")


def _probes(run: Path) -> tuple[Stored, str | None]:
    """The probes of a run directory, and the digest of the images they were trained on."""
    try:
        _, manifest = RunDirectory.existing(run)
        return open_stored(run / "probes"), manifest["identity"].get("data_sha256")
    except InputError:
        raise _nothing(run, "no finished probes") from None


def _predicted(probes: Stored, layer: str, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes of all images, int [N], out of fold."""
    if layer not in [there.name for there in probes.layers]:
        raise _nothing(probes.folder.path, f"layer {layer!r} is not there")
    arrays = probes.load(layer)
    try:
        number = list(probe_facts(probes)["targets"]).index(target.name)
        return arrays["truth"][0, number], arrays["predicted"][0, number]
    except (KeyError, ValueError, IndexError) as error:
        raise _nothing(probes.folder.path, f"layer {layer!r}, target {target.name!r}: {error}") from None


def _nothing(folder: Path, why: str) -> InputError:
    remedy = "give the run directory of a finished sweep with probes of these layers"
    return InputError(f"holds no predictions ({why})", file=folder, remedy=remedy)
