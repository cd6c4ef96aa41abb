"""What probes found, in sentences, and their accuracies as text."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bias_jax.audit import PIXELS, Rows, Stored
from bias_jax.data import CalibrationConfig, bayes_accuracy
from bias_jax.data.calibration import NULL, PLANTED
from bias_jax.instruments.probes.stored import scores_by_layer
from bias_jax.probes import HELD_OUT, Score

Scores = Mapping[str, Sequence[Score]]  # layer -> its scores
ALPHA = 0.05  # p-values below are called significant
COMPARABLE = "adjusted_balanced_accuracy"  # between attributes
SHUFFLED = "shuffled labels"


def pick(scores: Sequence[Score], target: str, metric: str, control: str = "none") -> Score:
    """The score of a target's own probe."""
    wanted = (target, target, HELD_OUT, metric, control)
    return next(s for s in scores if (s.probe, s.target, s.split, s.metric, s.control) == wanted)


def shuffled_score(scores: Sequence[Score], target: str, metric: str) -> Score | None:
    """The same of a probe of shuffled labels; None where none was trained."""
    controls = {s.control for s in scores}
    return pick(scores, target, metric, SHUFFLED) if SHUFFLED in controls else None


def best_layer(scores: Scores, target: str) -> str:
    """The layer of the network in which a target's classes are told apart best."""
    layers = [name for name in scores if name != PIXELS]
    return max(layers, key=lambda name: pick(scores[name], target, "balanced_accuracy").value)


def most_pronounced(scores: Scores, targets: Mapping[str, Sequence[str]]) -> list[str]:
    """Single attributes by how well their best layer tells them apart, from chance (0) to perfect (1)."""
    singles = [target for target, parts in targets.items() if len(parts) == 1]
    return sorted(singles, key=lambda t: -pick(scores[best_layer(scores, t)], t, COMPARABLE).value)


def probe_findings(stored: Stored, tables: Mapping[str, Rows], gaps: Rows) -> Iterator[str]:
    """The attributes, the one told apart best first, each beside its controls; for drawn faces, what was planted.

    Args:
        stored: with the names of targets.
        tables: of the instrument.
        gaps: see `gaps.recall_gaps`.
    """
    scores, differences = scores_by_layer(tables["probes"]), tables["differences"]
    order, groups = most_pronounced(scores, stored.facts["targets"]), stored.facts["groups"]
    for place, target in enumerate(order):
        first = f"Told apart best is {target}" if not place else f"Number {place + 1} is {target}"
        yield f"{first}: {_recovered(scores, differences, target)}"
    yield from _order(differences, order, best_layer(scores, order[0]))
    if len(order) > 1:
        yield "Which attribute lies furthest apart in a layer is another question: the variance partition answers it."
    if groups not in order:
        yield f"All groups of {groups}: {_recovered(scores, differences, groups, 'them')}"
    if gaps:
        yield _worst(gaps)
    if stored.run["data"] == "calibration":
        yield from calibration_verdict(scores)


def _recovered(scores: Scores, differences: Rows, target: str, it: str = "it") -> str:
    """Where a target is told apart best, on the scale by which targets are ordered, and what the controls attain."""
    layer = best_layer(scores, target)
    comparable = pick(scores[layer], target, COMPARABLE)
    own = pick(scores[layer], target, "balanced_accuracy")
    shuffled = shuffled_score(scores[layer], target, own.metric)
    text = f"{_scaled(comparable)} from chance (0) to perfect (1). In layer {layer} a linear probe recognises {it} "
    text += f"with a balanced accuracy of {_percent(own)}; chance is {100 * own.chance:.3g} %"
    if shuffled is not None:
        text += f", shuffled labels give {_percent(shuffled)}"
    if PIXELS in scores:
        text += f", the pixels without a network {_percent(pick(scores[PIXELS], target, 'balanced_accuracy'))}"
        text += against_pixels(differences, target, layer)
    return f"{text}."


def against_pixels(differences: Rows, target: str, layer: str) -> str:
    """Whether a layer tells more of a target than the pixels do, on the same images."""
    for row in differences:
        pair = row["layer"], row["versus_layer"]
        if row["metric"] != COMPARABLE or row["target"] != row["versus_target"] or row["target"] != target:
            continue
        if {*pair} != {layer, PIXELS}:
            continue
        sign = 1.0 if pair[0] == layer else -1.0
        value, *ends = (round(sign * row[name], 2) + 0.0 for name in ("value", "low", "high"))  # no -0
        low, high = sorted(ends)
        sure = "" if low > 0 else ", less than the pixels" if high < 0 else ", so that it is more is not certain"
        return f" (layer minus pixels, from chance to perfect: {_signed(value, low, high)}{sure})"
    return ""


def _order(differences: Rows, order: Sequence[str], layer: str) -> Iterator[str]:
    """How sure it is that the first attribute is above the second."""
    for row in differences:
        pair = row["target"], row["versus_target"]
        if row["compared"] != "attributes" or row["layer"] != layer or {*pair} != {*order[:2]}:
            continue
        sign = 1.0 if pair[0] == order[0] else -1.0
        low, high = sorted((sign * row["low"], sign * row["high"]))
        sure = "" if row["p_holm"] < ALPHA else "; which of them is ahead is not certain"
        value = _signed(sign * row["value"], low, high)
        yield (f"From chance (0) to perfect (1), {order[0]} is ahead of {order[1]} by {value} in layer {layer} "
               f"(paired by image, p {row['p_holm']:.2g} by Holm's correction){sure}.")  # fmt: skip


def _worst(gaps: Rows) -> str:
    """The worst of the gaps, which come worst first."""
    row, tested = gaps[0], [gap for gap in gaps if gap["p_holm"] is not None]
    text = f"The surest gap in recall: {row['group']} ({row['target']}, layer {row['layer']}) is recognised in "
    text += f"{100 * row['recall']:.1f} % of {row['images']} images, {100 * row['difference']:+.1f} points "
    text += f"[{100 * row['low']:+.1f}, {100 * row['high']:+.1f}] from the mean of the others"
    if not tested:
        return f"{text}."
    sure = sum(gap["p_holm"] < ALPHA for gap in tested)
    return f"{text}; {sure} of {len(tested)} gaps have p < {ALPHA} by Holm's correction."


def calibration_verdict(scores: Scores) -> Iterator[str]:
    """Planted strengths beside what the best layer recovers, and where the null attribute's interval lies."""
    for attribute in PLANTED:
        size = len(attribute.categories)
        bayes = (bayes_accuracy(CalibrationConfig(), [attribute.name]) - 1 / size) / (1 - 1 / size)
        found = [pick(s, attribute.name, COMPARABLE) for n, s in scores.items() if n != PIXELS]
        best = max(found, key=lambda s: s.value)
        yield (f"Planted {attribute.name}: {bayes:.2f} possible (latent value known; chance = 0, perfect = 1), "
               f"{best.value:.2f} [{best.low:.2f}, {best.high:.2f}] found.")  # fmt: skip
    null = [pick(layer, NULL.name, "balanced_accuracy") for name, layer in scores.items() if name != PIXELS]
    covered = sum(s.low <= s.chance <= s.high for s in null)
    yield f"Planted {NULL.name}: nothing to find; the interval covers chance at {covered} of {len(null)} layers."


def accuracy_table(scores: Scores, targets: Sequence[str]) -> str:
    """Balanced accuracy in percent with its interval, one row per layer."""
    width = max(len(name) for name in scores)
    lines = ["balanced accuracy, % [95 % interval], held out"]
    lines.append(" " * width + "  " + "  ".join(f"{t:>20}" for t in targets))
    for name, layer in scores.items():
        cells = [pick(layer, t, "balanced_accuracy") for t in targets]
        text = [f"{100 * s.value:5.1f} [{100 * s.low:4.1f}, {100 * s.high:5.1f}]" for s in cells]
        lines.append(f"{name:<{width}}  " + "  ".join(f"{cell:>20}" for cell in text))
    chance = [pick(next(iter(scores.values())), t, "balanced_accuracy").chance for t in targets]
    lines.append(f"{'chance':<{width}}  " + "  ".join(f"{100 * c:>20.1f}" for c in chance))
    return "\n".join(lines)


def _signed(value: float, low: float, high: float) -> str:
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _scaled(score: Score) -> str:
    low, high = (f"{end:.2f}" if np.isfinite(end) else "?" for end in (score.low, score.high))
    return f"{score.value:.2f} [{low}, {high}]"


def _percent(score: Score) -> str:
    low, high = (f"{100 * end:.1f}" if np.isfinite(end) else "?" for end in (score.low, score.high))
    return f"{100 * score.value:.1f} % [{low}, {high}]"
