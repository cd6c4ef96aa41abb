"""Tidy tables of erasure: what is left of every attribute and what that changed; and what every eraser is.

Everything held out is measured on the half of the images that no eraser was fitted to, which erasers count as given:
intervals are about other images to be measured, not about other images to fit erasers to.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from bias_jax.audit import PIXELS, Rows, Stored
from bias_jax.audit.stored import layer_file
from bias_jax.errors import InputError
from bias_jax.instruments.erasure.answer_tables import answer_tables, probed_layers
from bias_jax.instruments.erasure.asking import ANSWERED
from bias_jax.instruments.erasure.conditions import ERASED, NOTHING, Condition, conditions_of
from bias_jax.instruments.erasure.measuring import ERASER, FIT, HALF, VOTES, groups_and_people
from bias_jax.probes import COMPARED, OutOfFold, probe_values, redraw_choice
from bias_jax.randomness import key_for
from bias_jax.statistics import Exchange, by_person, holm, paired_differences

LINEAR, NEIGHBOURS = "linear", "neighbours"  # probes
ACCURACY = COMPARED[0]  # adjusted balanced accuracy: 0 is chance, 1 is perfect
Table = list[dict[str, Any]]


class Read(NamedTuple):
    """What one probe says of one target in one condition."""

    condition: Condition
    target: str
    probe: str
    metric: str


class Values(NamedTuple):
    """What it is made of, of n images; see `statistics.paired_differences`."""

    values: np.ndarray  # [n]
    limits: tuple[float, float]
    exchange: Exchange  # each [..., n]
    redrawn: np.ndarray  # [P]


def erasure_tables(stored: Stored, draws: int, seed: int) -> Iterator[tuple[str, Rows]]:
    """Tables by name."""
    key, common = key_for(seed, "bootstrap"), stored.layer_columns()
    left: Table = []
    about: Table = []
    for layer in probed_layers(stored):
        arrays = _load(stored, layer)
        left += [{**common[layer], **row} for row in change_rows(stored, arrays, draws, key)]
        for condition, numbers in zip(conditions_of(stored.facts), arrays["eraser"], strict=True):
            if condition.erased != NOTHING:
                own = dict(zip(ERASER, numbers.tolist(), strict=True))
                about.append({**common[layer], **condition._asdict(), **own, "rank": int(own["rank"])})
    changed = [row for row in left if row["erased"] != NOTHING and np.isfinite(row["p_change"])]
    for row, p in zip(changed, holm([row["p_change"] for row in changed]), strict=True):
        row["p_change_holm"] = float(p)
    yield "erasure", left
    yield "erasers", about
    yield from answer_tables(stored)


def change_rows(stored: Stored, arrays: Mapping[str, np.ndarray], draws: int, key: jax.Array) -> Table:
    """Of one layer: `value` with its interval, and `change` from the layer as it is, paired by image."""
    kept = stored.arrays[HALF] != FIT
    groups, people = groups_and_people(stored.facts, stored.arrays, kept)
    found = dict(_values(stored.facts, arrays, groups, people, draws, key))
    if not found:
        return []
    reads = list(found)
    before = [reads.index(read._replace(condition=Condition(NOTHING, ERASED))) for read in reads]
    count = len(reads)
    values, strata = by_person(np.stack([v.values for v in found.values()]), groups, people)
    parts = (np.stack(rows) for rows in zip(*(v.exchange for v in found.values()), strict=True))
    exchange = [by_person(rows, groups, people)[0] for rows in parts]
    redrawn = np.stack([v.redrawn for v in found.values()])
    # A last statistic that is 0 for every image: differences from it are the numbers themselves.
    padded = [np.concatenate([a, np.zeros_like(a[:1])]) for a in (values, *exchange, redrawn)]
    pairs = [(i, count) for i in range(count)] + [(i, b) for i, b in enumerate(before)]
    numbers = paired_differences(
        padded[0], np.array(pairs), strata, draws=draws, key=key, exchange=Exchange(*padded[1:4]), redrawn=padded[4]
    )
    rows: Table = []
    for i, read in enumerate(reads):
        least, most = found[read].limits
        row = {**read.condition._asdict(), "target": read.target, "probe": read.probe, "metric": read.metric}
        row |= {"value": float(numbers.value[i]), "low": float(max(numbers.low[i], least)),
                "high": float(min(numbers.high[i], most)), "before": float(numbers.value[before[i]])}  # fmt: skip
        names = {"change": "value", "change_low": "low", "change_high": "high", "p_change": "p_value"}
        row |= {name: float(getattr(numbers, of)[count + i]) for name, of in names.items()}
        rows.append({**row, "p_change_holm": row["p_change"], "images": int(kept.sum())})
    return rows


def _values(
    facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray], groups: np.ndarray, people: np.ndarray | None,
    draws: int, key: jax.Array,
) -> Iterator[tuple[Read, Values]]:  # fmt: skip
    sizes = {name: len(classes) for name, classes in facts["targets"].items()}
    for number, condition in enumerate(conditions_of(facts)):
        result = OutOfFold(**{name: arrays[f"{number} {name}"] for name in OutOfFold.__dataclass_fields__})
        shapes = {name: ((name, sizes[name]),) for name in condition.targets(list(sizes))}
        for metric in COMPARED:
            for probe, own in probe_values("", {"": result}, shapes, metric).items():
                redrawn = redraw_choice(own.inner_log_probability, own.inner_values[None], own.folds, groups,
                                        draws=draws, key=key, people=people)[0]  # fmt: skip
                read = Read(condition, probe.target, LINEAR, metric)
                yield read, Values(own.values, own.limits, own.exchange, redrawn)
                if metric == ACCURACY:
                    t = list(shapes).index(probe.target)
                    votes, *exchange = (arrays[f"{number} {name}"][t].astype(np.float64) for name in VOTES)
                    yield (
                        read._replace(probe=NEIGHBOURS),
                        Values(votes, own.limits, Exchange(*exchange), np.zeros(draws)),
                    )


def _load(stored: Stored, layer: str) -> dict[str, np.ndarray]:
    """Arrays of a layer.

    Raises:
        InputError: they were written by another version.
    """
    arrays, number = stored.load(layer), len(conditions_of(stored.facts))
    fields = (*OutOfFold.__dataclass_fields__, *VOTES)
    changes = {"amounts", "directions"} if ANSWERED in stored.arrays and layer != PIXELS else set()
    if arrays.keys() != {"eraser", *changes, *(f"{i} {name}" for i in range(number) for name in fields)}:
        remedy, file = "run that sweep with another --out", layer_file(stored.source, layer)
        raise InputError("written by another version of bias-jax", file=stored.folder.path / file, remedy=remedy)
    return arrays
