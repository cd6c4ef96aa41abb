"""What probes found, in words."""

from collections.abc import Iterator, Mapping, Sequence

from bias_jax.audit import PIXELS, Rows, Stored
from bias_jax.data import CalibrationConfig, bayes_accuracy
from bias_jax.data.calibration import NULL, PLANTED
from bias_jax.instruments.probes.stored import scores_by_layer
from bias_jax.probes import HELD_OUT, Score


def pick(scores: Sequence[Score], target: str, metric: str, control: str = "none") -> Score:
    """The score of a target's own probe."""
    wanted = (target, target, HELD_OUT, metric, control)
    return next(s for s in scores if (s.probe, s.target, s.split, s.metric, s.control) == wanted)


def best_layer(scores: Mapping[str, Sequence[Score]], groups: str) -> str:
    """The layer of the network in which the groups are told apart best."""
    layers = [name for name in scores if name != PIXELS]
    return max(layers, key=lambda name: pick(scores[name], groups, "balanced_accuracy").value)


def probe_findings(stored: Stored, rows: Rows) -> Iterator[str]:
    """Accuracy of every layer; for drawn faces, what was planted beside it."""
    scores, targets = scores_by_layer(rows), list(stored.facts["targets"])
    yield accuracy_table(scores, targets)
    if stored.run["data"] == "calibration":
        yield calibration_verdict(scores)
    singles = [target for target, parts in stored.facts["targets"].items() if len(parts) == 1]
    best = best_layer(scores, stored.facts["groups"])
    yield f"best layer for all groups: {best}; single attributes: {', '.join(singles)}"


def accuracy_table(scores: Mapping[str, Sequence[Score]], targets: Sequence[str]) -> str:
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


def calibration_verdict(scores: Mapping[str, Sequence[Score]]) -> str:
    """Planted strengths beside what the best layer recovers, and where the null attribute's interval lies."""
    lines = ["planted attribute: best possible accuracy (latent value known) and best layer's, chance = 0, perfect = 1"]
    for attribute in PLANTED:
        size = len(attribute.categories)
        bayes = (bayes_accuracy(CalibrationConfig(), [attribute.name]) - 1 / size) / (1 - 1 / size)
        found = [pick(s, attribute.name, "adjusted_balanced_accuracy") for n, s in scores.items() if n != PIXELS]
        best = max(found, key=lambda s: s.value)
        lines.append(
            f"  {attribute.name:<7} {bayes:.2f} possible, {best.value:.2f} [{best.low:.2f}, {best.high:.2f}] found"
        )
    null = [pick(layer, NULL.name, "balanced_accuracy") for name, layer in scores.items() if name != PIXELS]
    covered = sum(s.low <= s.chance <= s.high for s in null)
    lines.append(f"  {NULL.name:<7} 0.00 possible; interval covers chance at {covered} of {len(null)} layers")
    return "\n".join(lines)
