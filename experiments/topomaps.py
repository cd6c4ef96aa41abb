"""Topographic activation maps of every layer of a network: every layout, every group, measured.

    python -m experiments.topomaps --data fairface --data-dir FAIRFACE --weights CHECKPOINT --order dendrogram
    python -m experiments.topomaps --compare

Without --data the drawn calibration faces are used, without --weights the untrained network. With --compare no maps
are drawn, but all layouts are measured on all layers beside a random one. A run that was interrupted continues when
the same command is given.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from bias_jax.audit import RunConfig
from bias_jax.compilation import use_cache
from bias_jax.instruments import Maps
from experiments.audits import NetworkConfig, run_audits
from experiments.commands import parse, run
from experiments.datasets import DataConfig, flat, read_faces, read_features


@dataclass(frozen=True)
class TopomapsConfig:
    """Maps alone, measured."""

    maps: flat(Maps) = field(default_factory=lambda: Maps(quality=True))  # type: ignore[valid-type]
    data: flat(DataConfig) = field(default_factory=DataConfig)  # type: ignore[valid-type]
    networks: flat(NetworkConfig) = field(default_factory=NetworkConfig)  # type: ignore[valid-type]
    run: flat(RunConfig) = field(default_factory=RunConfig)  # type: ignore[valid-type]


def topomaps(config: TopomapsConfig) -> int:
    """Maps of every model."""
    use_cache(config.networks.cache)  # drawing calibration faces is a program already
    name = f"{config.data.data}-{'layouts' if config.maps.compare else 'topomaps'}"
    features = read_features(config.data, config.run)
    faces = read_faces(config.data, config.run, features=features)
    return run_audits(config.networks, config.run, faces, [config.maps], name, features)


def main(argv: Sequence[str] | None = None) -> int:
    return run(lambda: topomaps(parse(TopomapsConfig, argv, "topomaps", __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
