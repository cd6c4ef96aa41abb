"""The network under audit: parameters, how its images are prepared, and what to call it."""

from dataclasses import dataclass

import jax
import numpy as np

from bias_jax.data import FaceDataset, image_batches
from bias_jax.errors import InputError
from bias_jax.networks import Transform, load_checkpoint, network, params_digest, random_params

CALIBRATION_IMAGES = 32  # for the batch-norm statistics of random weights


@dataclass(frozen=True)
class Subject:
    """A network with weights."""

    model: str
    params: dict
    transform: Transform
    title: str  # weights in words; says "untrained control" where that is so
    sha256: str  # of the parameters, or of what determines them
    untrained: str | None = None  # prefix of the layers for which the weights hold no valid values

    def layers(self, requested: tuple[str, ...]) -> tuple[str, ...]:
        """The requested layers, by default the network's, of which those without valid weights are left out.

        Raises:
            InputError: such a layer was requested. (On CPU a ReLU may turn their NaN into zeros: nothing would show.)
        """
        if self.untrained is None:
            return requested or network(self.model).layers
        if invalid := [layer for layer in requested if layer.startswith(self.untrained)]:
            remedy = "leave it out of --layers, or use weights with a trained classifier"
            raise InputError(f"{self.title}: layer {invalid[0]!r} has no valid weights", remedy=remedy)
        return requested or tuple(x for x in network(self.model).layers if not x.startswith(self.untrained))


def load_subject(
    model: str, weights: str, dataset: FaceDataset, image_size: tuple[int, int] | None, seed: int
) -> Subject:
    """Load a checkpoint, or draw random weights calibrated on images of the data, spread over all groups."""
    net = network(model)
    if weights != "random":
        params, manifest = load_checkpoint(weights)
        if manifest.network != model:
            remedy = f"use --models {manifest.network}, or convert weights of {model}"
            raise InputError(f"holds {manifest.network}, not {model}", file=weights, remedy=remedy)
        title = f"weights {manifest.weights} from {manifest.source}"
        if manifest.untrained:
            title += f", without valid values for {manifest.untrained}*"
        return Subject(model, params, manifest.transform, title, manifest.params_sha256, manifest.untrained)
    transform = Transform(net.resize, net.image_size)
    rows = np.unique(np.linspace(0, len(dataset) - 1, CALIBRATION_IMAGES).astype(int))
    on_host, on_device = (None, transform) if image_size else (transform.on_host, transform.cropped())
    size = image_size or (transform.crop, transform.crop)
    _, batch = next(image_batches(dataset.take(rows), len(rows), size, on_host))
    params = random_params(model, seed, jax.jit(on_device.on_device)(jax.device_put(batch)))
    title = f"random weights, seed {seed}: untrained control"
    return Subject(model, params, transform, title, params_digest(jax.device_get(params)))
