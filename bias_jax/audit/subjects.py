"""Where activations come from: a network with weights, or no network at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.activations import OUTPUT, GroupMeans, LayerPlan, activation_shapes, extract_wave
from bias_jax.audit.images import ImageSet
from bias_jax.audit.protocol import BASELINE, Choice
from bias_jax.data import FaceDataset, image_batches
from bias_jax.devices import first_device
from bias_jax.errors import InputError
from bias_jax.networks import (
    Preparation,
    Transform,
    Variant,
    load_checkpoint,
    network,
    params_digest,
    random_params,
    split,
)

CALIBRATION_IMAGES = 32  # for the batch-norm statistics of random weights
RANDOM = "random"  # in the place of a checkpoint
RAW_PIXELS, MEAN_COLOUR = "raw pixels", "mean colour"  # layers of `Baseline`
SIDE = 32  # pixels of `RAW_PIXELS`


class Subject(Protocol):
    """What is audited: it turns images into named activations."""

    @property
    def model(self) -> str:
        """Name of the network."""

    @property
    def title(self) -> str:
        """Weights in words; says "untrained control" where that is so."""

    @property
    def sha256(self) -> str:
        """Of the parameters, or of what determines them."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every activation for one image, [1, H, W, U] or [1, U], in depth order."""

    def choice(self, requested: tuple[str, ...]) -> Choice:
        """The requested layers, by default its own."""

    def extract(
        self, images: ImageSet, wave: Sequence[LayerPlan], labels: Mapping[int, np.ndarray], *, batch_size: int,
        precision: str, mesh: jax.sharding.Mesh,
    ) -> list[jax.Array | GroupMeans]:  # fmt: skip
        """As `activations.extract_wave`; what it keeps is on the first device of this process."""


@dataclass(frozen=True)
class FlaxSubject:
    """A network of the registry with weights."""

    model: str
    params: dict
    transform: Preparation
    title: str
    sha256: str
    untrained: str | None = None  # prefix of the first layers without valid weights; those behind have none either

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return activation_shapes(self.model, self.params, self.transform)

    def choice(self, requested: tuple[str, ...]) -> Choice:
        """The requested layers, by default the network's, of which those without valid weights are left out.

        Raises:
            InputError: such a layer was requested. (On CPU a ReLU may turn their NaN into zeros: nothing would show.)
        """
        own = tuple(layer for layer in network(self.model).layers if layer in self.shapes)
        if self.untrained is None:
            return Choice(requested or own, bool(requested), output=OUTPUT in self.shapes)
        layers = list(self.shapes)
        first = next((i for i, layer in enumerate(layers) if layer.startswith(self.untrained)), None)
        if first is None:
            problem = f"no layer of {self.model} begins with {self.untrained!r}, which the manifest calls untrained"
            raise InputError(f"{self.title}: {problem}", remedy="convert the weights again")
        if invalid := [layer for layer in requested if layer in layers[first:]]:
            remedy = "leave it out of --layers, or use weights with a trained classifier"
            raise InputError(f"{self.title}: layer {invalid[0]!r} has no valid weights", remedy=remedy)
        valid = tuple(layer for layer in own if layer in layers[:first])
        return Choice(requested or valid, bool(requested), output=False)

    def extract(
        self, images: ImageSet, wave: Sequence[LayerPlan], labels: Mapping[int, np.ndarray], *, batch_size: int,
        precision: str, mesh: jax.sharding.Mesh,
    ) -> list[jax.Array | GroupMeans]:  # fmt: skip
        return extract_wave(
            images.pictures, images.image_size, self.model, self.params, self.transform, wave, labels,
            batch_size=batch_size, precision=precision, mesh=mesh,
        )  # fmt: skip


@dataclass(frozen=True)
class Baseline:
    """No network at all: 32 x 32 pixels, and the mean colour.

    The centre square that networks see, from -1 (black) to 1 (white): the offset matters for a raw cosine.
    """

    model: str = BASELINE
    title: str = "pixels as they are"
    sha256: str = ""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {RAW_PIXELS: (1, SIDE * SIDE * 3), MEAN_COLOUR: (1, 3)}

    def choice(self, requested: tuple[str, ...]) -> Choice:
        return Choice((RAW_PIXELS, MEAN_COLOUR), False, output=False)

    def extract(
        self, images: ImageSet, wave: Sequence[LayerPlan], labels: Mapping[int, np.ndarray], *, batch_size: int,
        precision: str, mesh: jax.sharding.Mesh,
    ) -> list[jax.Array | GroupMeans]:  # fmt: skip
        prepare = Transform(resize=SIDE * 256 // 224, crop=SIDE).on_host
        batches = image_batches(images.pictures, batch_size, (SIDE, SIDE), prepare)
        pixels = np.concatenate([batch for _, batch in batches])[: len(images)] / 127.5 - 1.0
        found = {RAW_PIXELS: pixels.reshape(len(pixels), -1), MEAN_COLOUR: pixels.mean(axis=(1, 2))}
        return [jax.device_put(found[plan.name].astype(jnp.dtype(plan.storage)), first_device(mesh)) for plan in wave]


def load_subject(
    model: str, weights: str, images: FaceDataset, image_size: tuple[int, int] | None, seed: int,
    like: Subject | None = None,
) -> FlaxSubject:  # fmt: skip
    """Load a checkpoint, or draw random weights calibrated on some of the images, spread over all of them.

    Args:
        model: a network of the registry.
        weights: folder of a checkpoint, or ``random``.
        images: for the batch-norm statistics of random weights.
        image_size: (H, W) if they share it.
        seed: of random weights.
        like: a trained network of the registry, whose parts and preparation random weights get.

    Raises:
        InputError: an unknown network, or a folder that holds no checkpoint of it.
    """
    net = network(model)
    if weights != RANDOM:
        params, manifest = load_checkpoint(weights)
        if manifest.network != model:
            remedy = f"use --models {manifest.network}, or convert weights of {model}"
            raise InputError(f"holds {manifest.network}, not {model}", file=weights, remedy=remedy)
        title = f"weights {manifest.weights} from {manifest.source}"
        if manifest.untrained:
            title += f", without valid values for {manifest.untrained}*"
        return FlaxSubject(model, params, manifest.transform, title, manifest.params_sha256, manifest.untrained)
    transform: Preparation = net.preparation
    variant: Variant = net.usual
    if isinstance(like, FlaxSubject):
        own = net.variant(like.params)
        transform, variant = like.transform, {**own, "classes": variant["classes"] if own["classes"] else 0}
    rows = np.unique(np.linspace(0, len(images) - 1, CALIBRATION_IMAGES).astype(int))
    on_host, size, dtype, on_device = split(transform, image_size)
    _, batch = next(image_batches(images.take(rows), len(rows), size, on_host, dtype=dtype))
    params = random_params(model, seed, jax.jit(on_device.on_device)(jax.device_put(batch)), variant)
    title = f"random weights, seed {seed}: untrained control"
    return FlaxSubject(model, params, transform, title, params_digest(jax.device_get(params)))
