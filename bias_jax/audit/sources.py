"""Where the activations of a run come from, and which layers of each source an instrument measures."""

import logging
from collections.abc import Mapping, Sequence

from bias_jax.activations.pooling import grid_shape, layer_rule
from bias_jax.audit.config import RunConfig
from bias_jax.audit.images import ImageSet
from bias_jax.audit.own import OwnNetwork
from bias_jax.audit.protocol import (
    BASELINE,
    NETWORK,
    UNTRAINED,
    Context,
    Instrument,
    Intervening,
    Layer,
    intervenes_if_possible,
    pooling_of,
)
from bias_jax.audit.subjects import RANDOM, Baseline, FlaxSubject, Subject, load_subject
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS

log = logging.getLogger("bias_jax.audit")


def sources_of(
    audited: Subject, trained: bool, instruments: Sequence[Instrument], calibration: FaceDataset, images: ImageSet,
    seed: int,
) -> dict[str, Subject]:  # fmt: skip
    """Source -> subject: what is audited first, then what any instrument wants beside it."""
    subjects: dict[str, Subject] = {NETWORK if trained else UNTRAINED: audited}
    wanted = {source for instrument in instruments for source in instrument.sources}
    if UNTRAINED in wanted and UNTRAINED not in subjects:
        control = audited.control if isinstance(audited, OwnNetwork) else None
        if control is not None:
            subjects[UNTRAINED] = control
        elif isinstance(audited, OwnNetwork):
            log.info("note: there is no untrained control: own networks bring theirs, as untrained=")
        elif audited.model in NETWORKS:
            subjects[UNTRAINED] = load_subject(audited.model, RANDOM, calibration, images.image_size, seed, audited)
        else:
            log.info("note: there is no untrained control of %s, which is no network of the registry", audited.model)
    if BASELINE in wanted:
        subjects[BASELINE] = Baseline()
    return subjects


def check_interventions(instruments: Sequence[Instrument], audited: Subject) -> None:
    """Refuse instruments that change layers on the way where that cannot be done; tell of those that do without it.

    Raises:
        InputError: the subject is no network of the registry.
    """
    for instrument in instruments:
        if not isinstance(instrument, Intervening) or isinstance(audited, FlaxSubject):
            continue
        name = instrument.name
        if not intervenes_if_possible(instrument):
            problem = f"{name} changes layers on the way, and {audited.model} is no network of the registry"
            raise InputError(problem, remedy=f"leave {name} out, or convert the weights")
        log.info("note: %s changes no layers on the way, for %s is no network of the registry", name, audited.model)


def used_sources(instrument: Instrument, subjects: Mapping[str, Subject]) -> list[str]:
    """The sources of one instrument: what is audited, and what it wants beside it."""
    first = next(iter(subjects))
    return [source for source in subjects if source == first or source in instrument.sources]


def layers_of(
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
