"""What a generative network draws where a part of a picture is given.

    python -m experiments.completions --images PORTRAITS --weights CHECKPOINT --keep half --count 8

CHECKPOINT is made by `python -m converters igpt_s --source FOLDER --out CHECKPOINT`; without --weights the network is
the untrained control. Completions are 32 x 32 pixels; a sheet shows each picture beside them. With labelled pictures
(--data) they can be handed on to a network that recognises things, which is asked what it sees, by group of the
original, in the originals, in the completions, and in those of the untrained network:

    python -m experiments.completions --data fairface --data-dir FAIRFACE --per-group 2 --weights CHECKPOINT
        --audit resnet50 --audit-weights CLASSIFIER --predictions.families "weapon=rifle|revolver"

Completions of one person are not independent: persons are what rates and intervals count. Command lines that were
interrupted continue when they are given again.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bias_jax.audit import (
    RANDOM,
    Audit,
    CompletionConfig,
    Completions,
    RunConfig,
    audit,
    complete_pictures,
)
from bias_jax.compilation import use_cache
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError
from bias_jax.instruments import Predictions
from bias_jax.results import Folder
from converters.images import image_folder
from experiments.audits import NetworkConfig, tell, tell_report
from experiments.commands import parse, run, tell_failures
from experiments.datasets import DataConfig, flat, read_faces

ORIGINALS, COMPLETED, CONTROL = "originals", "completions", "completions of the untrained network"
CAVEAT = (
    "A completion shows what is probable for the network, not what is true of anybody. Rates compare what a second "
    "network sees in pictures of 32 x 32 pixels; that network errs too, and not equally for all groups, which its "
    "rates for the originals show."
)


@dataclass(frozen=True)
class CompletionsConfig:
    """Completions of pictures."""

    completions: flat(CompletionConfig) = field(default_factory=CompletionConfig)  # type: ignore[valid-type]
    images: str = ""  # folder of pictures, in the place of labelled data
    audit: str = ""  # network that is asked what it sees in the completions (default: none)
    audit_weights: str = RANDOM  # checkpoint folder of that network
    predictions: Predictions = field(default_factory=Predictions)
    data: flat(DataConfig) = field(default_factory=DataConfig)  # type: ignore[valid-type]
    networks: flat(NetworkConfig) = field(  # type: ignore[valid-type]
        default_factory=lambda: NetworkConfig(models=("igpt_s",))
    )
    run: flat(RunConfig) = field(default_factory=RunConfig)  # type: ignore[valid-type]

    def __post_init__(self) -> None:
        if self.audit and self.images:
            problem = "--audit compares groups, and pictures of --images have none"
            raise InputError(problem, remedy="give labelled pictures, e.g. --data table --table labels.csv")


def completions(config: CompletionsConfig) -> int:
    """Complete pictures with every model; and audit them, if that is asked for."""
    use_cache(config.networks.cache)
    pictures = image_folder(Path(config.images)) if config.images else read_faces(config.data, config.run)
    name = Path(config.images).resolve().name if config.images else config.data.data
    networks, status = config.networks, 0
    weights = networks.weights * len(networks.models) if len(networks.weights) == 1 else networks.weights
    for model, source in zip(networks.models, weights, strict=True):
        folder = f"{model}-{name}-completions"
        several = len(networks.models) > 1 or not networks.out
        out = Path(networks.out or "runs") / folder if several else Path(networks.out)
        found = _complete(model, source, pictures, config, out, None)
        print(f"{model}, {found.subject.title}: {found.samples.shape[1]} completions of {len(found.tokens)} pictures")
        print(f"results: {out}/ (run.json, completions.parquet, pictures/*.png, sheets/*.png)")
        if config.audit:
            status = max(status, _audit(found, source, pictures, config, out))
    return status


def _complete(
    model: str, weights: str, pictures: FaceDataset, config: CompletionsConfig, out: Path, like: Completions | None
) -> Completions:
    own = config.run
    return complete_pictures(
        model, pictures, weights=weights, config=config.completions, seed=own.seed, precision=own.precision,
        memory_gib=own.memory_gib, skip_unreadable=own.skip_unreadable, like=like.subject if like else None, out=out,
    )  # fmt: skip


def _audit(found: Completions, weights: str, pictures: FaceDataset, config: CompletionsConfig, out: Path) -> int:
    """What the second network says of originals, completions, and those of the untrained network."""
    sets = {ORIGINALS: found.original_faces(), COMPLETED: found.completed_faces()}
    if weights != RANDOM:
        control = _complete(found.subject.model, RANDOM, pictures, config, out / "untrained", found)
        sets[CONTROL] = control.completed_faces()
    audits: dict[str, Audit] = {}
    status = 0
    for what, faces in sets.items():
        print(f"\n{config.audit} on {what}")
        folder = out / "audit" / what.replace(" ", "-")
        audits[what] = audit(
            config.audit, [config.predictions], faces=faces, weights=config.audit_weights, config=config.run, out=folder
        )
        tell(audits[what])
        status = max(status, tell_report(audits[what]))
    rows = [
        {"pictures": what, **row, "persons": row.get("persons", row["images"])}
        for what, one in audits.items() if "predictions" in one.tables
        for row in one.tables["predictions"].to_pylist()
    ]  # fmt: skip
    Folder(out).save_table("predictions.parquet", rows)
    print(f"\n{CAVEAT}\nrates of all sets of pictures: {out}/predictions.parquet")
    return max(status, *(tell_failures(one.failures) for one in audits.values()))


def main(argv: Sequence[str] | None = None) -> int:
    return run(lambda: completions(parse(CompletionsConfig, argv, "completions", __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
