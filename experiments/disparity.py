"""Does the training loss of a multi-label head change who is recognised? The question of Mahadev & Chakravarti (2021).

Heads with four losses are trained on frozen features of every layer of a network and evaluated by group. Without
options it is a self-test on drawn faces with a planted disparity. On real data, with attributes as labels:

    python -m experiments.disparity --data fairface --data-dir FAIRFACE --weights CHECKPOINT

or with labels of Open Images, evaluated on a folder of faces with a table of attributes (MR2 and the like):

    python -m experiments.disparity --labels train_human_labels.csv --descriptions class-descriptions.csv
        --images IMAGES --data table --table faces.csv --attributes race,gender
        --truth "female=Woman|Girl,male=Man|Boy" --always Person

Loss, labels, decision rule and network are options: those of the paper are not all known, so this is the same question,
not a reproduction. Heads on frozen features compare losses given the representation; networks trained end to end are
another experiment. A run that was interrupted continues when the same command is given.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bias_jax.audit import RunConfig
from bias_jax.compilation import use_cache
from bias_jax.data import FaceDataset
from bias_jax.instruments import Heads
from experiments.audits import NetworkConfig, run_audits
from experiments.commands import parse, run
from experiments.datasets import DataConfig, flat, read_faces

FAIRFACE_LABELS = ("age", "race")  # genders are told apart by too few labels to compare losses


@dataclass(frozen=True)
class DisparityConfig:
    """Multi-label heads alone."""

    heads: flat(Heads) = field(default_factory=Heads)  # type: ignore[valid-type]
    data: flat(DataConfig) = field(default_factory=DataConfig)  # type: ignore[valid-type]
    networks: flat(NetworkConfig) = field(default_factory=NetworkConfig)  # type: ignore[valid-type]
    run: flat(RunConfig) = field(default_factory=RunConfig)  # type: ignore[valid-type]


def heads_and_faces(config: DisparityConfig) -> tuple[Heads, FaceDataset | None]:
    """The instrument with the labels of the data, and the faces of the run, if it has any."""
    heads, data = config.heads, config.data.data
    if not heads.labels and not heads.label_attributes:
        heads = replace(heads, planted=data == "calibration")
        heads = replace(heads, label_attributes=FAIRFACE_LABELS) if data == "fairface" else heads
    return heads, None if heads.planted else read_faces(config.data, config.run)


def disparity(config: DisparityConfig) -> int:
    """Train, evaluate, tell."""
    use_cache(config.networks.cache)  # drawing calibration faces is a program already
    heads, faces = heads_and_faces(config)
    return run_audits(config.networks, config.run, faces, [heads], f"{config.data.data}-disparity")


def main(argv: Sequence[str] | None = None) -> int:
    return run(lambda: disparity(parse(DisparityConfig, argv, "disparity", __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
