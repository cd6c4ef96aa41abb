"""Image Embedding Association Test in every layer of a network: does it place X nearer to A, and Y to B?

On a folder of stimuli, one folder per test with the folders x, y, a and b, or a download of ryansteed/ieat:

    python -m experiments.ieat --stimuli STIMULI --weights CHECKPOINT

or on two groups of labelled faces, with two folders of attribute images:

    python -m experiments.ieat --data fairface --data-dir FAIRFACE --x "White / Male" --y "Black / Male" --a PLEASANT
        --b UNPLEASANT

Raw pixels, mean colour and an untrained network are tested beside it. A run that was interrupted continues when the
same command is given.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from bias_jax.audit import RunConfig
from bias_jax.errors import InputError
from bias_jax.instruments import Associations
from experiments.audits import NetworkConfig, run_audits
from experiments.commands import parse, run
from experiments.datasets import DataConfig, flat, read_faces


@dataclass(frozen=True)
class IeatConfig:
    """Association tests alone."""

    associations: flat(Associations)  # type: ignore[valid-type]
    data: flat(DataConfig) = field(default_factory=DataConfig)  # type: ignore[valid-type]
    networks: flat(NetworkConfig) = field(default_factory=NetworkConfig)  # type: ignore[valid-type]
    run: flat(RunConfig) = field(default_factory=RunConfig)  # type: ignore[valid-type]


def ieat(config: IeatConfig) -> int:
    """Test every model; faces are read only if two of their groups are compared."""
    if config.data.per_group is not None and config.data.data != "calibration":
        problem = "--per-group draws no images for association tests, which take them from the whole data set"
        raise InputError(problem, remedy="pass --per-set, the images of x and of y at most")
    faces = read_faces(config.data, config.run, subset=False) if config.associations.x else None
    return run_audits(config.networks, config.run, faces, [config.associations], "ieat")


def main(argv: Sequence[str] | None = None) -> int:
    return run(lambda: ieat(parse(IeatConfig, argv, "ieat", __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
