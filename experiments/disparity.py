"""Does the training loss of a multi-label head change who is recognised? The question of Mahadev & Chakravarti (2021).

Heads with four losses are trained on frozen features of every layer of a network and evaluated by group. Without
arguments it is a self-test on drawn faces with a planted disparity. On real data, with attributes as labels:

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
from dataclasses import asdict
from pathlib import Path

import jax

from bias_jax.activations import plan_memory
from bias_jax.errors import InputError
from bias_jax.networks import network
from bias_jax.results import RunDirectory, device, exclusive, versions
from experiments.command_line import parse, run
from experiments.datasets import DESCRIPTIONS
from experiments.disparity_config import DisparityConfig
from experiments.disparity_planted import planted_verdict
from experiments.disparity_stages import train_layers
from experiments.disparity_summary import summarise, text_table
from experiments.disparity_task import Task, read_task
from experiments.stopwatch import Stopwatch
from experiments.subject import load_subject

ELSEWHERE = ("out", "data_dir", "table", "labels", "machine_labels", "descriptions", "images", "weights")  # as text
PLANTED_LAYERS = 4  # of the self-test by default: the shallow blocks see lines and palette, and are quick to run


def disparity(config: DisparityConfig) -> int:
    """Train, evaluate, tell."""
    watch = Stopwatch()
    with watch("read data"):
        task = read_task(config)
    _check(config, task)
    with watch("load weights"):
        subject = load_subject(config.model, config.weights, task.images, task.image_size, config.seed)
    requested = config.layers or (network(config.model).layers[:PLANTED_LAYERS] if config.planted else ())
    plan = plan_memory(
        config.model,
        subject.params,
        images=len(task.images),
        layers=subject.layers(requested),
        rule=config.pooling,
        crop=subject.transform.crop,
        budget_gib=config.memory_gib,
    )
    if config.report_layer and config.report_layer not in [layer.name for layer in plan.layers]:
        remedy = "choose one of --layers"
        raise InputError(f"--report-layer {config.report_layer!r} has no heads", remedy=remedy)
    split = task.splits[0]
    print(f"{task.evaluated.name}: {len(task.evaluated)} images evaluated, in {task.evaluated.groups.size} groups. "
          f"{DESCRIPTIONS[config.data]}")  # fmt: skip
    print(f"{len(task.classes)} labels; {len(task.splits)} splits of about {len(split.training)} training, "
          f"{len(split.tuning)} tuning and {len(split.test)} test images")  # fmt: skip
    for note in task.notes:
        print(f"  note: {note}")
    print(f"{config.model}: {subject.title}\n{plan}")
    identity = {
        "config": {k: v for k, v in asdict(config).items() if k not in ELSEWHERE},
        "data_sha256": task.sha256,
        "weights_sha256": subject.sha256,
        "versions": versions(),
        "device": device(),
        "waves": [[layer.name for layer in wave] for wave in plan.waves],
    }
    record = {"weights": subject.title, "data_dir": config.data_dir or config.table, "labels": task.classes,
              "notes": task.notes}  # fmt: skip
    out = Path(config.out or f"runs/{config.model}-{config.data}-disparity")
    with exclusive(out):
        directory = RunDirectory(out, identity, record)
        with jax.transfer_guard("disallow"):
            with watch("extract and train"):
                train_layers(directory, config, task, subject, plan)
            with watch("tables and figures"):
                tables = summarise(directory, config, task, subject, plan)
            print(text_table(tables, task, config))
            if config.planted:
                with watch("large sample"):
                    print(planted_verdict(config, tables))
    print("wall time: " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in watch.seconds.items()))
    print(f"results: {out}/ (run.json, heads.parquet, rates.parquet, spreads.parquet, losses.parquet, figures/)")
    return 0


def _check(config: DisparityConfig, task: Task) -> None:
    """What can only be said when the labels are known."""
    task.reported(config.report_labels)
    if config.decision == "top" and not 5 <= config.top_pool < len(task.classes):
        problem = f"--top-pool {config.top_pool} does not fit {len(task.classes)} labels"
        raise InputError(problem, remedy="it must be from 5 to one less than the number of labels")
    for entry in config.families:
        name, _, labels = entry.partition("=")
        if not any(label in task.classes for label in labels.split("|")):
            raise InputError(f"no label of the family {name!r} is trained", remedy="see --families in --help")


def main(argv: Sequence[str] | None = None) -> int:
    return run(lambda: disparity(parse(DisparityConfig, argv, __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
