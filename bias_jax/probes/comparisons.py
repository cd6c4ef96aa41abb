"""Paired differences between probes of the same images: which layer, attribute or model is more revealing?"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import jax
import numpy as np

from bias_jax.probes.between_folds import VALUES
from bias_jax.probes.choice import redraw_choice
from bias_jax.probes.readouts import HELD_OUT, image_values, inner_readouts, readouts
from bias_jax.probes.validation import OutOfFold
from bias_jax.statistics import Exchange, benjamini_hochberg, by_person, holm, paired_differences

COMPARED = VALUES  # metrics; the first is comparable between targets


class Probe(NamedTuple):
    """Which probe a number belongs to."""

    model: str
    layer: str
    target: str


class ImageValues(NamedTuple):
    """What each image adds to a metric, and what makes the metric vary more than that."""

    values: np.ndarray  # [N]
    limits: tuple[float, float]  # of the metric
    exchange: Exchange  # of these values
    inner_log_probability: np.ndarray  # by which the strength was chosen, [R, 2, N]
    inner_values: np.ndarray  # the same metric of inner predictions, [R, N]
    folds: np.ndarray  # fold of each image, int [N]


class Difference(NamedTuple):
    """Held-out metric of one probe minus that of another on the same images."""

    metric: str
    model: str
    layer: str
    target: str
    versus_model: str
    versus_layer: str
    versus_target: str
    value: float
    low: float  # 95 % interval, bootstrap over images, with what images teach each other and the choice
    high: float
    p_value: float  # of no difference, two-sided
    p_holm: float  # corrected for all differences of this call
    p_benjamini_hochberg: float
    images: int


def probe_values(
    model: str, results: Mapping[str, OutOfFold], shapes: Mapping[str, tuple[tuple[str, int], ...]], metric: str
) -> dict[Probe, ImageValues]:
    """Values of the images in the metric of every layer's and target's own probe; the metric is their sum.

    Args:
        model: its name.
        results: layer -> result of `cross_validate`.
        shapes: target -> (attribute, number of categories).
        metric: one of `COMPARED`.
    """
    found, v = {}, VALUES.index(metric)
    for layer, result in results.items():
        own = {r.target: r for r in readouts(result, shapes) if r.split == HELD_OUT and r.target == r.probe}
        for t, (target, attributes) in enumerate(shapes.items()):
            outer, inner = (
                {there.name: there for there in image_values(readout, ordinal=False)}
                for readout in (own[target], next(inner_readouts(result, t, target, attributes)))
            )
            if metric in outer:  # a single class has no accuracy above chance
                log_probability = result.inner_log_probability[t]
                found[Probe(model, layer, target)] = ImageValues(
                    outer[metric].values[0],
                    outer[metric].limits,
                    Exchange(*(rows[0] for rows in result.exchange(t, v))),
                    log_probability,
                    inner[metric].values.reshape(log_probability.shape).mean(axis=1),
                    result.folds,
                )
    return found


def layer_pairs(probes: Sequence[Probe]) -> list[tuple[Probe, Probe]]:
    """Every two layers, target by target."""
    return [(a, b) for a, b in combinations(probes, 2) if a.model == b.model and a.target == b.target]


def attribute_pairs(probes: Sequence[Probe], attributes: Sequence[str]) -> list[tuple[Probe, Probe]]:
    """Every two attributes, layer by layer."""
    singles = [probe for probe in probes if probe.target in attributes]
    return [(a, b) for a, b in combinations(singles, 2) if a.model == b.model and a.layer == b.layer]


def model_pairs(first: Sequence[Probe], second: Sequence[Probe]) -> list[tuple[Probe, Probe]]:
    """The same layer and target in two models."""
    others = {(b.layer, b.target): b for b in second}
    return [(a, others[a.layer, a.target]) for a in first if (a.layer, a.target) in others]


def compare_probes(
    metric: str,
    values: Mapping[Probe, ImageValues],
    pairs: Sequence[tuple[Probe, Probe]],
    groups: np.ndarray,
    *,
    draws: int,
    key: jax.Array,
    people: np.ndarray | None = None,
) -> list[Difference]:
    """Differences of all pairs, with intervals and p-values corrected for their number.

    Args:
        metric: of the values.
        values: of `probe_values`; of several models, on the same images in the same order, cross-validated with the
            same folds, groups, seed and number of signs.
        pairs: which to compare.
        groups: intersectional group of each image, int [N].
        draws: bootstrap draws.
        key: random key.
        people: person of each image, int [N]: persons are drawn; None: all differ.
    """
    if not pairs:
        return []
    numbers = {probe: i for i, probe in enumerate(values)}
    index = np.array([(numbers[a], numbers[b]) for a, b in pairs])
    stacked, strata = by_person(np.stack([v.values for v in values.values()]), groups, people)
    exchanged = (np.stack(rows) for rows in zip(*(v.exchange for v in values.values()), strict=True))
    exchange = Exchange(*(by_person(rows, groups, people)[0] for rows in exchanged))
    redrawn = np.concatenate([
        redraw_choice(v.inner_log_probability, v.inner_values[None], v.folds, groups, draws=draws, key=key,
                      people=people)
        for v in values.values()
    ])  # fmt: skip
    found = paired_differences(stacked, index, strata, draws=draws, key=key, exchange=exchange, redrawn=redrawn)
    least, most = np.array([v.limits for v in values.values()])[index].transpose(2, 1, 0)  # of first and second, [2, Q]
    found = found._replace(
        low=np.maximum(found.low, least[0] - most[1]), high=np.minimum(found.high, most[0] - least[1])
    )
    known = np.isfinite(found.p_value)  # without two images in any group there is none
    p_holm, p_bh = np.full(len(pairs), np.nan), np.full(len(pairs), np.nan)
    p_holm[known], p_bh[known] = holm(found.p_value[known]), benjamini_hochberg(found.p_value[known])
    rows = np.stack([*found, p_holm, p_bh], axis=1).tolist()
    return [Difference._make((metric, *a, *b, *row, len(groups))) for (a, b), row in zip(pairs, rows, strict=True)]
