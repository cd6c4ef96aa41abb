"""From a weights file to a checkpoint with its manifest."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bias_jax.errors import InputError
from bias_jax.networks import Manifest, Preparation, network, params_digest, save_checkpoint
from converters.clusters import with_clusters
from converters.download import download
from converters.fitting import fit
from converters.formats import file_format
from converters.published import published
from converters.recognition import Recognised, recognise
from converters.sources import Identity, identify, read_content

log = logging.getLogger("bias_jax.converters")


@dataclass(frozen=True)
class Weights:
    """A weights file that was read."""

    network: str
    path: Path
    identity: Identity
    content: Any  # as in the file: names and arrays, in nested mappings
    take: str | None = None  # which of several networks in it
    ignore_extra: bool = False  # whether arrays that are no part of the network may be there
    preparation: str | None = None  # name of one of the network's, in the place of the usual one
    options: Mapping[str, str] = field(default_factory=dict)  # what the file does not say, see `naming.Option`
    clusters: Path | None = None  # file with the colours of a network that takes such; None: one beside the weights

    @cached_property
    def transform(self) -> Preparation:
        """The chosen one, else that which was published with the weights, else the usual one of the network; with the
        network's colours, if it has such.
        """
        return with_clusters(self._transform(), self.clusters, self.path)

    def _transform(self) -> Preparation:
        preparations = network(self.network).preparations
        if self.preparation is not None:
            if self.preparation not in preparations:
                remedy = f"choose one of {', '.join(preparations)}"
                raise InputError(f"{self.network} has no preparation {self.preparation!r}", remedy=remedy)
            return preparations[self.preparation]
        return network(self.network).preparation if self.identity.entry is None else self.identity.entry.transform

    @cached_property
    def recognised(self) -> Recognised:
        """The network in the file; faults name the file."""
        try:
            published = {} if self.identity.entry is None else self.identity.entry.options
            return recognise(
                self.network, self.content, take=self.take, ignore_extra=self.ignore_extra,
                options={**published, **self.options},
            )  # fmt: skip
        except InputError as error:
            raise InputError(str(error), file=self.path) from None

    @property
    def untrained(self) -> str | None:
        """Prefix of the first layers for which the file holds no valid values."""
        if self.identity.entry is not None and self.identity.entry.invalid is not None:
            return self.identity.entry.invalid
        return next(iter(self.recognised.missing), None)

    def params(self) -> dict[str, Any]:
        """Converted; faults name the file."""
        return self.converted()[0]

    def converted(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Parameters, and what was done to get there, for the reader; faults name the file."""
        entry, found = self.identity.entry, self.recognised
        try:
            params, odd = fit(self.network, found, invalid=entry.invalid if entry else None)
        except InputError as error:
            raise InputError(str(error), file=self.path) from None
        return params, found.changes + odd


def open_weights(
    name: str, source: Path | None, claimed: str | None, *, take: str | None = None, ignore_extra: bool = False,
    preparation: str | None = None, options: Mapping[str, str] | None = None, clusters: Path | None = None,
) -> Weights:  # fmt: skip
    """Read a local file, or without one the published entry from its cache or its address.

    Args:
        name: a network.
        source: weights file.
        claimed: name of the published entry that it is, or that is fetched.
        take: which of several networks in it, see `recognise`.
        ignore_extra: leave out arrays that are no part of the network.
        preparation: name of one of the network's, in the place of the usual one.
        options: what the file does not say, see `naming.Option`.
        clusters: file with the colours of a network that takes such, see `clusters.with_clusters`.

    Raises:
        InputError: see `download`, `file_format`, `identify` and `read_content`.
    """
    hub_sha256, downloaded = None, source is None
    if source is None:
        if claimed is None:
            raise InputError("no weights are named", remedy="give --source FILE or --weights ENTRY")
        source, hub_sha256 = download(published(name, claimed))
    file_format(source)  # what it is tells more than that its hash is another one
    identity = identify(name, source, claimed, hub_sha256, downloaded=downloaded)
    return Weights(
        name, source, identity, read_content(source), take, ignore_extra, preparation, options or {}, clusters
    )


def convert_file(weights: Weights, out: Path) -> Manifest:
    """Convert, log what was done to the names, and save with a manifest."""
    transform = weights.transform  # what is missing for it shows before the arrays are read
    params, changes = weights.converted()
    for change in changes:
        log.info(change)
    parts = dict(network(weights.network).variant(params))
    manifest = Manifest(
        network=weights.network,
        classes=parts.pop("classes"),
        weights=weights.identity.weights,
        source=weights.path.name,
        source_sha256=weights.identity.sha256,
        params_sha256=params_digest(params),
        transform=transform,
        accuracy=weights.identity.accuracy,
        untrained=weights.untrained,
        changes=changes,
        parts=parts,
    )
    save_checkpoint(out, params, manifest)
    return manifest
