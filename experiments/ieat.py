"""Image Embedding Association Test in every layer of a network: does it place X nearer to A, and Y to B?

On a folder of stimuli, one folder per test with the folders x, y, a and b, or a download of ryansteed/ieat:

    python -m experiments.ieat --stimuli STIMULI --weights CHECKPOINT

or on two groups of FairFace, with two folders of attribute images:

    python -m experiments.ieat --data-dir FAIRFACE --x "White / Male" --y "Black / Male" --a PLEASANT --b UNPLEASANT

Raw pixels, mean colour and an untrained network are tested beside it. A run that was interrupted continues when the
same command is given.
"""

import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bias_jax.activations import plan_memory
from bias_jax.association.draws import LARGEST
from bias_jax.association.exact import feasible
from bias_jax.data import Stimuli, StimulusRequest, collect, folder_images, folder_tests, group_images, read_fairface
from bias_jax.errors import InputError
from bias_jax.report import effect_by_layer
from bias_jax.results import RunDirectory, device, exclusive, versions
from bias_jax.statistics import benjamini_hochberg, holm
from experiments.association_stages import (
    COLOUR,
    NETWORK,
    PIXELS,
    UNTRAINED,
    VARIANTS,
    measure_network,
    measure_pixels,
    run_tests,
)
from experiments.command_line import parse, run
from experiments.ieat_config import IeatConfig
from experiments.subject import load_subject

ELSEWHERE = ("stimuli", "data_dir", "a", "b", "weights", "memory_gib", "out")  # not part of a run's identity as text


def read_stimuli(config: IeatConfig) -> Stimuli:
    """All tests of the configuration, every image looked at."""
    if config.stimuli:
        return collect(folder_tests(config.stimuli, config.tests), skip_unreadable=config.skip_unreadable)
    faces = read_fairface(config.data_dir, splits=config.splits, skip_unreadable=config.skip_unreadable)
    sets = (
        group_images(faces, config.x, config.per_group),
        group_images(faces, config.y, config.per_group),
        folder_images(config.a),
        folder_images(config.b),
    )
    labels = (config.x, config.y, Path(config.a).name, Path(config.b).name)
    request = StimulusRequest(f"{config.x} - {config.y}", labels, sets)
    return collect([request], skip_unreadable=config.skip_unreadable)


def check_sizes(stimuli: Stimuli, config: IeatConfig) -> None:
    """Refuse, before anything runs, tests whose relabellings cannot be counted as asked."""
    for test in stimuli.tests:
        x, y = (len(rows) for rows in test.rows[:2])
        if x + y > LARGEST:
            problem = f"test {test.name!r} has {x + y} target images, more than the {LARGEST} that can be relabelled"
            raise InputError(problem, remedy="use fewer images, e.g. a smaller --per-group")
        if config.method == "exact" and not feasible(x + y, x):
            problem = f"test {test.name!r} has {x} and {y} target images, too many to count every relabelling"
            raise InputError(problem, remedy="use --method bounds or --method sampled")


def ieat_run(config: IeatConfig) -> int:
    """From images to table and figures."""
    stimuli = read_stimuli(config)
    check_sizes(stimuli, config)
    print(f"{len(stimuli.tests)} association tests, {len(stimuli.dataset)} distinct pictures")
    for note in stimuli.notes:
        print(f"  note: {note}")
    kinds = {UNTRAINED: "random"} if config.weights == "random" else {NETWORK: config.weights, UNTRAINED: "random"}
    subjects = {
        source: load_subject(config.model, weights, stimuli.dataset, stimuli.image_size, config.seed)
        for source, weights in kinds.items()
    }
    plans = {
        source: plan_memory(
            config.model, subject.params, images=len(stimuli.dataset), layers=config.layers or None,
            rule=config.pooling, crop=subject.transform.crop, budget_gib=config.memory_gib,
        )
        for source, subject in subjects.items()
    }  # fmt: skip
    title = next(iter(subjects.values())).title
    identity = {
        "config": {k: v for k, v in asdict(config).items() if k not in ELSEWHERE},
        "stimuli_sha256": stimuli.sha256,
        "weights_sha256": {source: subject.sha256 for source, subject in subjects.items()},
        "versions": versions(),
        "device": device(),
        "waves": {source: [[layer.name for layer in wave] for wave in plan.waves] for source, plan in plans.items()},
    }
    out = Path(config.out or f"runs/{config.model}-ieat")
    with exclusive(out):
        record = {"weights": title, "stimuli": config.stimuli or config.data_dir, "notes": stimuli.notes}
        directory = RunDirectory(out, identity, record)
        layers: dict[str, tuple[str, ...]] = {PIXELS: (PIXELS,), COLOUR: (COLOUR,)}
        with jax.transfer_guard("disallow"), warnings.catch_warnings():
            # Grey pictures have no colour to associate; the table says so by an undefined d.
            warnings.filterwarnings("ignore", "all associations are equal", RuntimeWarning)
            measure_pixels(directory, stimuli)
            for source, subject in subjects.items():
                measure_network(directory, config, stimuli, source, subject, plans[source])
                layers[source] = tuple(layer.name for layer in plans[source].layers)
            tests = run_tests(directory, config, stimuli, layers)
        rows = correct([row for found in tests for row in found])
        directory.save_table("associations.parquet", {key: [row[key] for row in rows] for key in rows[0]})
        for variant in VARIANTS:
            shown = {t.name: [r for r in rows if (r["test"], r["cosine"]) == (t.name, variant)] for t in stimuli.tests}
            with directory.figure(f"figures/effect_by_layer-{variant}.png") as path:
                effect_by_layer(path, shown, f"{config.model}: {title}\n{variant} cosines; filled: p <= 0.05 (max-T)")
        print(table(rows, next(iter(subjects))))
    print(f"results: {out}/ (run.json, associations.parquet, figures/)")
    return 0


def correct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add p-values adjusted over tests, within each source, layer and kind of cosine.

    What is adjusted is `p_value`: one looks at one layer in all tests. `p_max_t` is for all layers of one test.
    """
    families: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault((row["source"], row["layer"], row["cosine"]), []).append(row)
    for family in families.values():
        p = np.array([row["p_value"] for row in family])
        for row, first, second in zip(family, holm(p), benjamini_hochberg(p), strict=True):
            row.update(p_holm=float(first), p_benjamini_hochberg=float(second))
    return rows


def table(rows: Sequence[dict[str, Any]], source: str) -> str:
    """Per test: the last layer, the strongest layer, and the baselines, for raw cosines."""
    names = list(dict.fromkeys(row["test"] for row in rows))
    width = max(10, *(len(name) for name in names))
    lines = [
        f"effect size d of {source}, raw cosines [95 % BCa interval, targets resampled], p and corrections",
        f"{'test':<{width}}  {'images':>7}  {'last layer: d':>20}  {'p':>8}  {'Holm':>6}  {'BH':>6}"
        f"  {'strongest layer, p (max-T)':>34}  {'pixels':>6}  {'colour':>6}  {'untrained':>9}",
    ]
    for name in names:
        mine = [row for row in rows if row["test"] == name and row["cosine"] == "raw"]
        layers = [row for row in mine if row["source"] == source]
        last = layers[-1]
        best = max(layers, key=lambda row: (not np.isnan(row["effect_size"]), abs(row["effect_size"])))
        pixels, colour = (next(r for r in mine if r["source"] == s)["effect_size"] for s in (PIXELS, COLOUR))
        untrained = next(r for r in mine if (r["source"], r["layer"]) == (UNTRAINED, last["layer"]))["effect_size"]
        lines.append(
            f"{name:<{width}}  {last['images_x']:>3}/{last['images_y']:<3}"
            f"  {last['effect_size']:5.2f} [{last['low']:5.2f}, {last['high']:5.2f}]  {last['p_value']:8.2g}"
            f"  {last['p_holm']:6.2g}  {last['p_benjamini_hochberg']:6.2g}"
            f"  {best['layer']:>14} {best['effect_size']:6.2f}, {best['p_max_t']:8.2g}"
            f"  {pixels:6.2f}  {colour:6.2f}  {untrained:9.2f}"
        )
    if any(row["few_images"] for row in rows):
        lines.append("fewer than 8 target images in a set: their intervals are too narrow, see `few_images`")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    return run(lambda: ieat_run(parse(IeatConfig, argv, __doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
