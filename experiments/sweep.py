"""Audit every layer of a network: linear probes, topographic maps, variance partition and more, in one resumable run.

Without options it is a self-test: drawn faces with planted attributes go through an untrained ResNet50, the planted
order of strengths should come out, and the null attribute should stay at chance. On real data:

    python -m experiments.sweep --data fairface --data-dir FAIRFACE --weights CHECKPOINT

CHECKPOINT is made by `python -m converters resnet50 --source resnet50-0676ba61.pth --out CHECKPOINT`; without
--weights the network is the untrained control. All instruments share one pass over the images. A run that was
interrupted continues when the same command is given; an instrument that is added later does not repeat the others. All
devices of this machine are used; --distributed makes it one of several processes, on as many hosts.
"""

import sys
from collections.abc import Sequence
from dataclasses import field, make_dataclass
from typing import Annotated, Any

import tyro

from bias_jax.audit import RunConfig
from bias_jax.compilation import use_cache
from bias_jax.errors import InputError
from bias_jax.instruments import INSTRUMENTS
from experiments.audits import NetworkConfig, run_audits
from experiments.commands import parse, run
from experiments.datasets import DataConfig, flat, read_faces, read_features
from experiments.distributed import HostsConfig, together

DEFAULT = ("probes", "maps", "variance")
CHOICE = f"what is measured, of {', '.join(INSTRUMENTS)}"

# One group of options for the data, the networks and the run, and one for each instrument there is.
SweepConfig = make_dataclass(
    "SweepConfig",
    [
        ("instruments", Annotated[tuple[str, ...], tyro.conf.arg(help=CHOICE)], field(default=DEFAULT)),
        ("data", flat(DataConfig), field(default_factory=DataConfig)),
        ("networks", flat(NetworkConfig), field(default_factory=NetworkConfig)),
        ("run", flat(RunConfig), field(default_factory=RunConfig)),
        ("hosts", flat(HostsConfig), field(default_factory=HostsConfig)),
        *((name, kind, field(default_factory=kind)) for name, kind in INSTRUMENTS.items()),
    ],
    frozen=True,
)


def sweep(config: Any) -> int:
    """Audit every model of the configuration with every chosen instrument."""
    for name in config.instruments:
        if name not in INSTRUMENTS:
            raise InputError(f"unknown instrument {name!r}", remedy=f"choose among {', '.join(INSTRUMENTS)}")
    chosen = [getattr(config, name) for name in INSTRUMENTS if name in config.instruments]
    use_cache(config.networks.cache)  # drawing calibration faces is a program already
    features = read_features(config.data, config.run)
    faces = read_faces(config.data, config.run, features=features)
    return run_audits(config.networks, config.run, faces, chosen, config.data.data, features)


def main(argv: Sequence[str] | None = None) -> int:
    def program() -> int:
        config = parse(SweepConfig, argv, "sweep", __doc__ or "")
        return together(config.hosts, lambda: sweep(config))

    return run(program)


if __name__ == "__main__":
    sys.exit(main())
