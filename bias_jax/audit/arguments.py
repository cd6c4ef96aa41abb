"""What `audit` was given, brought to a subject, faces and instruments."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from bias_jax.audit.config import RunConfig
from bias_jax.audit.features import FeatureSubject
from bias_jax.audit.protocol import PIXELS, Instrument, needs_no_pictures
from bias_jax.audit.subjects import RANDOM, Subject
from bias_jax.data import FaceDataset, LabelRules
from bias_jax.errors import InputError
from bias_jax.features import Features, hold_features, labels_of, of_layers, open_features
from bias_jax.networks import network as registered

USUAL = ("Probes", "Maps", "Variance")  # instruments, where none is chosen


class Arguments(NamedTuple):
    """What is audited, on what, by what."""

    subject: str | Subject
    faces: FaceDataset | None
    instruments: tuple[Instrument, ...]


def arguments(
    network: str | Subject | None,
    instruments: Sequence[Instrument] | None,
    faces: FaceDataset | None,
    features: Any,
    labels: Mapping[str, Any] | None,
    persons: Sequence[Any] | None,
    rules: LabelRules | None,
    weights: str,
    config: RunConfig,
) -> Arguments:
    """See `run.audit`.

    Raises:
        InputError: what does not go together, or a network, a layer, an instrument that is none.
    """
    if features is not None:
        if network is not None or weights != RANDOM:
            raise InputError("both features and a network are given", remedy="leave one of them out")
        opened = of_layers(_features(features, config.layers), config.layers)
        if PIXELS in opened.layers:  # what is called so is a control, no layer
            raise InputError(f"a layer is called {PIXELS!r}", file=opened.source, remedy="call it otherwise")
        network = FeatureSubject(opened)
        if labels is not None and faces is None:
            faces = labels_of(opened, labels, persons, rules or LabelRules())
            labels = persons = rules = None
    if network is None:
        raise InputError("neither a network nor features are given", remedy="give one of them")
    if any(given is not None for given in (labels, persons, rules)):
        raise InputError("labels, persons and rules go with features, and without faces", remedy="give faces alone")
    if isinstance(network, str):
        registered(network)
    chosen = tuple(_usual() if instruments is None else instruments)
    names = [instrument.name for instrument in chosen]
    if not names or len(set(names)) < len(names):
        raise InputError(f"instruments must be chosen once each, got {names}", remedy="see bias_jax.instruments")
    if isinstance(network, FeatureSubject):
        if faces is None:
            raise InputError("features have no labels", remedy="give labels={attribute: [...]}, or faces")
        if seeing := [one.name for one in chosen if not needs_no_pictures(one)]:
            problem = f"features are not enough for {' and '.join(seeing)}: pictures or a network are needed"
            raise InputError(problem, remedy="leave out what needs them")
    return Arguments(network, faces, chosen)


def _features(features: Any, layers: Sequence[str]) -> Features:
    if isinstance(features, Features):
        return features
    if isinstance(features, str | Path):
        return open_features(features, layers=layers)
    if hasattr(features, "shape"):
        return hold_features({"features": features}, layers)
    if not isinstance(features, Mapping) or not features:
        problem = f"features cannot be {type(features).__name__}" if features else "features holds no layer"
        raise InputError(problem, remedy="give {layer: array [N, D]}, or the path of a file")
    return hold_features(features, layers)


def _usual() -> list[Instrument]:
    """Instruments lie above the road, which knows none of them: so they are looked up only here, and by name."""
    found = import_module("bias_jax.instruments")
    return [getattr(found, name)() for name in USUAL]
