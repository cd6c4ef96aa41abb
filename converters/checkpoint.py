"""From a weights file to a checkpoint with its manifest."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks import Manifest, Transform, class_count, network, params_digest, save_checkpoint
from converters.download import download
from converters.published import published
from converters.sources import Identity, identify, read_state_dict
from converters.torchvision import convert


@dataclass(frozen=True)
class Weights:
    """A weights file that was read and recognised."""

    network: str
    path: Path
    identity: Identity
    state_dict: dict[str, np.ndarray]  # as in the file

    @property
    def transform(self) -> Transform:
        """The published one, or for a user's own weights the usual one of the network."""
        if self.identity.entry is not None:
            return self.identity.entry.transform
        net = network(self.network)
        return Transform(net.resize, net.image_size)

    def params(self) -> dict:
        """Converted; faults name the file."""
        entry = self.identity.entry
        try:
            return convert(self.network, self.state_dict, invalid=entry.invalid if entry else None)
        except InputError as error:
            raise InputError(str(error), file=self.path) from None


def open_weights(name: str, source: Path | None, claimed: str | None) -> Weights:
    """Read a local file, or without one the published entry from its cache or its address.

    Raises:
        InputError: see `download`, `identify` and `read_state_dict`.
    """
    hub_sha256, downloaded = None, source is None
    if source is None:
        if claimed is None:
            raise InputError("no weights are named", remedy="give --source FILE or --weights ENTRY")
        source, hub_sha256 = download(published(name, claimed))
    identity = identify(name, source, claimed, hub_sha256, downloaded=downloaded)
    return Weights(name, source, identity, read_state_dict(source))


def convert_file(weights: Weights, out: Path) -> Manifest:
    """Convert, and save with a manifest."""
    params, entry = weights.params(), weights.identity.entry
    manifest = Manifest(
        network=weights.network,
        classes=class_count(weights.network, params),
        weights=weights.identity.weights,
        source=weights.path.name,
        source_sha256=weights.identity.sha256,
        params_sha256=params_digest(params),
        transform=weights.transform,
        accuracy=weights.identity.accuracy,
        untrained=entry.invalid if entry else None,
    )
    save_checkpoint(out, params, manifest)
    return manifest
